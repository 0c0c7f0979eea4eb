import type Database from 'better-sqlite3'

import type { Clock } from '../../kernel/clock.ts'
import type { Logger } from '../../kernel/logger.ts'
import { placeOf } from '../../machine/files.ts'
import { describeFailure } from './failures.ts'

/** One line of `local_changes`. */
export interface ChangedRow {
  readonly seq: number
  readonly table: string
  readonly rowId: string
  readonly sessionId: string | null
  /** `insert` also of a row that was there: INSERT OR REPLACE deletes unseen. */
  readonly verb: string
  readonly at: number
}

/** The last line that a reader has passed. `mark` shows that it is the same line still, and not one of another copy. */
export interface Bookmark {
  readonly seq: number
  readonly mark: string
}

/**
 * Whoever reads `local_changes` of agents.db. A reader keeps its bookmark in the transaction of what it makes of the
 * lines, so that a kill between two files repeats lines and loses none (D5).
 */
export interface ChangeFeed extends Disposable {
  /**
   * At most `limit` lines after a bookmark, in order, and the bookmark behind them; it is the given one where there are
   * none. Null: the place is gone (the file was replaced or restored, or the lines were deleted). Then take `end()`,
   * read all rows, and go on from there.
   */
  read(
    after: Bookmark,
    limit: number,
  ): { readonly rows: readonly ChangedRow[]; readonly next: Bookmark } | null
  /** Distinct rows in the lines after a bookmark, by table. Null as in `read`. */
  waiting(after: Bookmark): { readonly [table: string]: number } | null
  /** The newest line; what is committed by now can be read from the tables. */
  end(): Bookmark
  /** Keeps lines that this reader has not passed. `bookmark` is asked often; null: it needs none. */
  register(bookmark: () => Bookmark | null): () => void
  /** Calls when there may be new lines. Answers the function that stops it. */
  on(listener: () => void): () => void
  /** Says that this process wrote to agents.db. */
  wake(): void
}

/** How often `PRAGMA data_version` and the file's place are looked at, in milliseconds. */
const LOOK_EVERY_MS = 250
/** Lines are deleted when so many were passed by all readers, or when the first has been passed for a minute. */
const DELETE_FROM_LINES = 1_000
const DELETE_AFTER_MS = 60_000
/** Lines deleted in one transaction: it must be short, others write to the file. */
const DELETE_SLICE = 4_000
/** A reader further behind is given up: it begins again, rather than have the file grow without end. */
const MAX_BEHIND_LINES = 1_000_000

const MARKS = 'SELECT seq, table_name, row_id, verb, at, session_id FROM local_changes'

interface Line {
  readonly seq: number
  readonly table_name: unknown
  readonly row_id: unknown
  readonly verb: unknown
  readonly at: unknown
  readonly session_id: unknown
}

/** Another copy of the file may have another line under the number: it would need the same row in the same millisecond. */
const markOf = ({ table_name, row_id, verb, at }: Line): string =>
  [verb, at, table_name, row_id].map(String).join(' ')

/** The bookmark of one line, for who passes lines one by one. */
export const bookmarkOf = ({ seq, table, rowId, verb, at }: ChangedRow): Bookmark => ({
  seq,
  mark: [verb, at, table, rowId].join(' '),
})

/** `open` answers a new connection to agents.db, whose tables are there; the feed closes it. */
export function openChangeFeed(options: {
  readonly open: () => Database.Database
  readonly clock: Clock
  readonly logger: Logger
}): ChangeFeed {
  const { open, clock, logger } = options
  const listeners = new Set<() => void>()
  const bookmarks = new Set<() => Bookmark | null>()
  let connection: Connection | null = connect(open)
  let deletedTo = 0
  let deletedAt = clock.now()
  let failing = false
  let stopped = false

  /** Whatever a connection failed of but a lock, another may not: the file may be another one by now. */
  const using = <T>(work: (connection: Connection) => T): T => {
    if (connection !== null && placeOf(connection.database.name) !== connection.place) drop()
    connection ??= connect(open)
    try {
      return work(connection)
    } catch (error) {
      if (describeFailure(error).code !== 'database_locked') drop()
      throw error
    }
  }
  const drop = (): void => {
    connection?.database.close()
    connection = null
    deletedTo = 0
  }
  const tell = (): void => listeners.forEach((listener) => listener())

  /** Deletes what all registered readers have passed, a slice at most; never the newest line. */
  const deletePassed = (): void => {
    const places = [...bookmarks].flatMap((bookmark) => bookmark()?.seq ?? [])
    if (places.length === 0) return
    using(({ newest, remove }) => {
      const to = Math.max(Math.min(...places), Number(newest.get()) - MAX_BEHIND_LINES)
      const due = to - deletedTo >= DELETE_FROM_LINES || clock.now() - deletedAt >= DELETE_AFTER_MS
      if (to <= deletedTo || !due) return
      if (remove.run({ to, slice: DELETE_SLICE }).changes < DELETE_SLICE) {
        deletedTo = to
        deletedAt = clock.now()
      }
    })
  }

  const look = (): void => {
    if (stopped) return
    cancel = clock.after(LOOK_EVERY_MS, look)
    try {
      const changed = using((one) => {
        const version = one.version()
        const before = one.seen
        one.seen = version
        return version !== before
      })
      if (changed) tell()
      deletePassed()
      failing = false
    } catch (error) {
      const { code, sqlite } = describeFailure(error)
      if (!failing && code !== 'database_locked') logger.warn('agents.db cannot be read', { code, sqlite })
      failing = true
    }
  }
  let cancel = clock.after(LOOK_EVERY_MS, look)

  return {
    read: (after, limit) =>
      using(({ database, line, lines }) =>
        database.transaction(() => {
          const here = line.get(after.seq) as Line | undefined
          if (here === undefined || markOf(here) !== after.mark) return null
          const found = lines.all(after.seq, limit) as Line[]
          const last = found.at(-1)
          return {
            rows: found.flatMap(toRow),
            next: last === undefined ? after : { seq: last.seq, mark: markOf(last) },
          }
        })(),
      ),
    waiting: (after) =>
      using(({ database, line, counts }) =>
        database.transaction(() => {
          const here = line.get(after.seq) as Line | undefined
          if (here === undefined || markOf(here) !== after.mark) return null
          return Object.fromEntries(counts.all(after.seq) as [string, number][])
        })(),
      ),
    end: () =>
      using(({ database, last, mark }) =>
        database.transaction(() => {
          const line = (last.get() ?? mark.get(crypto.randomUUID(), clock.now())) as Line
          return { seq: line.seq, mark: markOf(line) }
        })(),
      ),
    register(bookmark) {
      bookmarks.add(bookmark)
      return () => void bookmarks.delete(bookmark)
    },
    on(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    wake: tell,
    [Symbol.dispose]() {
      stopped = true
      cancel()
      drop()
      listeners.clear()
    },
  }
}

/** Lines that name no row a record could be: of the feed itself, or of a key that is no text. */
function toRow({ seq, table_name, row_id, verb, at, session_id }: Line): readonly ChangedRow[] {
  if (typeof table_name !== 'string' || table_name === '') return []
  if (typeof row_id !== 'string' || typeof verb !== 'string') return []
  const sessionId = typeof session_id === 'string' ? session_id : null
  return [{ seq, table: table_name, rowId: row_id, sessionId, verb, at: Number(at) }]
}

type Connection = ReturnType<typeof connect>

function connect(open: () => Database.Database) {
  const database = open()
  try {
    // A lock of another program must not stop the event loop: it is tried again.
    database.pragma('busy_timeout = 0')
    // Which lines are deleted need not survive a power cut.
    database.pragma('synchronous = NORMAL')
    const version = (): number => Number(database.pragma('data_version', { simple: true }))
    return {
      database,
      place: placeOf(database.name),
      version,
      /** Nothing yet: whoever opened the file has to look. */
      seen: -1,
      line: database.prepare(`${MARKS} WHERE seq = ?`),
      lines: database.prepare(`${MARKS} WHERE seq > ? ORDER BY seq LIMIT ?`),
      last: database.prepare(`${MARKS} ORDER BY seq DESC LIMIT 1`),
      newest: database.prepare('SELECT max(seq) FROM local_changes').pluck(),
      counts: database
        .prepare(
          `SELECT table_name, count(DISTINCT row_id) FROM local_changes
           WHERE seq > ? AND table_name <> '' GROUP BY table_name`,
        )
        .raw(),
      // An empty table proves nothing: a copy with other rows has an empty one too.
      mark: database.prepare(
        `INSERT INTO local_changes (table_name, row_id, verb, at) VALUES ('', ?, 'mark', ?)
         RETURNING seq, table_name, row_id, verb, at, session_id`,
      ),
      remove: database.prepare(
        `DELETE FROM local_changes WHERE seq < @to AND seq < (SELECT max(seq) FROM local_changes)
         AND seq < (SELECT min(seq) FROM local_changes) + @slice`,
      ),
    }
  } catch (error) {
    database.close()
    throw error
  }
}
