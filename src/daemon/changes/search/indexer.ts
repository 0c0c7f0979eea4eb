import type Database from 'better-sqlite3'

import { TidemarkError } from '../../../kernel/errors.ts'
import type { Clock } from '../../../kernel/clock.ts'
import type { Logger } from '../../../kernel/logger.ts'
import type { Random } from '../../../kernel/random.ts'
import { placeOf } from '../../../machine/files.ts'
import { bookmarkOf, type Bookmark, type ChangedRow, type ChangeFeed } from '../change-feed.ts'
import { startTurns } from '../turns.ts'
import { openDocuments, type Document, type Documents, type Numbered } from './documents.ts'
import { charsOf, KINDS, kindOfTable, openRows, type Rows, type RowPlace } from './rows.ts'
import { isDamaged, openSearchFile, removeSearchFile } from './search-file.ts'

/** Of one turn, after which the event loop goes on. */
const TURN_LINES = 200
const TURN_ROWS = 100
const TURN_CHARS = 128 * 1024
const TURN_MOVES = 20
/** How often it is seen to that what was indexed would outlive a power cut, in milliseconds. */
const KEEP_EVERY_MS = 30_000

export interface SearchIndex extends Disposable {
  /** Reads in both files, as they are now: each may have been made again or replaced. */
  use<T>(work: (documents: Documents, rows: Rows) => T): T
  /** Whether everything that is there is indexed. */
  isWhole(): boolean
}

export interface IndexOptions {
  /** Of search.db. */
  readonly file: string
  /** A new connection to agents.db. */
  readonly open: () => Database.Database
  readonly feed: ChangeFeed
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Documents of a full shard; tests have fewer. */
  readonly shard?: number
}

/**
 * Keeps search.db in step with messages and tool calls, in turns:
 *
 *   lines of local_changes ─▶ merging ─▶ rows that were there already, newest first ─▶ shards too large ─▶ idle
 *
 * Each turn is one transaction with the place behind it, so that a kill repeats a turn and loses none (D5).
 */
export function startIndexer(options: IndexOptions): SearchIndex {
  const { file, open, feed, clock, random, logger } = options
  let search: SearchFile | null = null
  let agents: ReturnType<typeof connectAgents> | null = null
  let caughtUp = false
  /** What of search.db a power cut would leave, and when that was last seen to. */
  let passed: Bookmark | null = null
  let keptAt = options.clock.now()

  const closeSearch = (): void => {
    search?.database.close()
    search = null
  }
  const closeAgents = (): void => {
    agents?.database.close()
    agents = null
  }
  const openSearch = (): SearchFile => {
    if (search !== null && placeOf(file) !== search.place) closeSearch()
    if (search !== null) return search
    search = connectSearch(file, random, logger, options.shard)
    const at = search.bookmark()
    passed = at === null || search.checkpoint() ? at : { seq: 0, mark: '' }
    // A new one has to be filled, whoever noticed it.
    if (at === null) nudge()
    return search
  }
  /** What a connection knows of its tables may be of a transaction that was undone: another is made. */
  const usingSearch = <T>(work: (one: SearchFile) => T): T => {
    try {
      return work(openSearch())
    } catch (error) {
      closeSearch()
      if (isDamaged(error)) {
        logger.warn('search.db is damaged and is made again')
        removeSearchFile(file)
      }
      throw error
    }
  }
  const reading = <T>(work: (rows: Rows) => T): T => {
    if (agents !== null && placeOf(agents.database.name) !== agents.place) closeAgents()
    try {
      agents ??= connectAgents(open)
      return work(agents.rows)
    } catch (error) {
      closeAgents()
      // A damaged agents.db must not be taken for a damaged search.db.
      throw error instanceof TidemarkError
        ? error
        : new TidemarkError('unavailable', undefined, { cause: error })
    }
  }

  /** All rows again, from a place on behind which every change is told. */
  const begin = (): void => {
    const end = feed.end()
    closeSearch()
    removeSearchFile(file)
    openSearch().begin(end)
    passed = end
  }
  const readLines = (one: SearchFile): boolean => {
    const at = one.bookmark()
    const page = at === null ? null : feed.read(at, TURN_LINES)
    if (at === null || page === null) {
      begin()
      return true
    }
    if (page.next === at) return false
    const { changes, next } = reading((rows) => gather(page, rows))
    one.write(changes, next)
    return true
  }
  /** Commits need not wait for the disk, as long as no line is deleted that a power cut may have them need again. */
  const keep = (one: SearchFile): void => {
    const at = one.bookmark()
    if (at?.seq === passed?.seq || clock.now() - keptAt < KEEP_EVERY_MS) return
    if (!one.checkpoint()) return
    passed = at
    keptAt = clock.now()
  }
  const readOld = (one: SearchFile): boolean => {
    const places = one.unread()
    if (places.length === 0) return false
    const slice = reading((rows) => {
      const newest = places
        .map((place) => ({ ...place, time: rows.nextTime(place.kind, place.at) }))
        .reduce((a, b) => ((b.time ?? -1) > (a.time ?? -1) ? b : a))
      return { ...newest, ...rows.documentsBefore(newest.kind, newest.at, TURN_ROWS, TURN_CHARS) }
    })
    one.writeOld(slice.kind, slice.at, slice.documents, slice.next)
    return true
  }
  const split = (one: SearchFile): boolean => {
    const surplus = one.documents.surplus(TURN_MOVES)
    if (surplus.length === 0) return false
    one.move(reading((rows) => surplus.map((key) => rows.document(key))))
    return true
  }

  // All steps of a turn are on one file: a place that was read in one must not be written into another.
  const turns = startTurns({
    ...options,
    name: 'The search index',
    turn: () =>
      usingSearch((one) => {
        if (readLines(one)) return true
        caughtUp = true
        keep(one)
        return one.merge() || readOld(one) || split(one)
      }),
  })
  function nudge(): void {
    caughtUp = false
    turns.nudge()
  }
  const off = feed.on(nudge)
  const unregister = feed.register(() => passed)
  nudge()

  return {
    use(work) {
      const ask = () => usingSearch(({ documents }) => reading((rows) => work(documents, rows)))
      try {
        return ask()
      } catch (error) {
        // It was taken away, and nothing is indexed of the new one yet.
        if (!isDamaged(error)) throw error
        return ask()
      }
    },
    isWhole: () => usingSearch(({ unread }) => caughtUp && unread().length === 0),
    [Symbol.dispose]() {
      off()
      unregister()
      turns[Symbol.dispose]()
      closeSearch()
      closeAgents()
    },
  }
}

/** What a page of lines makes of the index. A row that changed often is read once, as it is now. */
function gather(
  { rows: lines, next }: { readonly rows: readonly ChangedRow[]; readonly next: Bookmark },
  rows: Rows,
): { readonly changes: ReadonlyMap<string, Change>; readonly next: Bookmark } {
  const changes = new Map<string, Change>()
  let chars = 0
  for (const line of lines) {
    const kind = kindOfTable(line.table)
    if (kind === null) continue
    const key = `${kind} ${line.rowId}`
    if (changes.has(key)) continue
    const document = rows.document({ kind, id: line.rowId })
    changes.set(key, { key: { kind, id: line.rowId }, document })
    chars += document === null ? 0 : charsOf(document)
    if (chars >= TURN_CHARS) return { changes, next: bookmarkOf(line) }
  }
  return { changes, next }
}

interface Change {
  readonly key: Numbered
  /** Null: the row is gone. */
  readonly document: Document | null
}

interface Unread {
  readonly kind: Document['kind']
  /** Null: at the beginning. */
  readonly at: RowPlace | null
}

/** Before all rows that have no time, as their ids are texts or blobs. */
const TIMELESS: RowPlace = { time: null, id: Buffer.alloc(2_048, 0xff) }

function connectAgents(open: () => Database.Database) {
  const database = open()
  database.pragma('busy_timeout = 0')
  return { database, place: placeOf(database.name), rows: openRows(database) }
}

function connectSearch(file: string, random: Random, logger: Logger, shard?: number) {
  const database = openSearchFile(file, logger)
  const documents = openDocuments(database, random, shard)
  const bookmark = database.prepare('SELECT seq, mark FROM bookmark')
  const setBookmark = database.prepare(
    'INSERT INTO bookmark (one, seq, mark) VALUES (1, @seq, @mark) ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, mark = excluded.mark',
  )
  const unread = database.prepare('SELECT kind, begun, time, id FROM unread').safeIntegers()
  const setUnread = database.prepare(
    'INSERT INTO unread (kind, begun, time, id) VALUES (?, ?, ?, ?) ON CONFLICT (kind) DO UPDATE SET begun = excluded.begun, time = excluded.time, id = excluded.id',
  )
  const dropUnread = database.prepare('DELETE FROM unread WHERE kind = ?')
  /** FTS5 writes out what it has gathered wherever a number is not above the one before. */
  const put = (list: readonly Document[]): void =>
    [...list].sort((a, b) => a.time - b.time).forEach((document) => documents.put(document))
  const transact = <T>(work: () => T): T => database.transaction(work).immediate()
  return {
    database,
    documents,
    place: placeOf(file),
    bookmark: () => (bookmark.get() as Bookmark | undefined) ?? null,
    /** Writes all commits into the file and waits for the disk. False: somebody reads what is to be written over. */
    checkpoint(): boolean {
      const [told] = database.pragma('wal_checkpoint(PASSIVE)') as {
        busy: number
        log: number
        checkpointed: number
      }[]
      return told !== undefined && told.busy === 0 && told.log === told.checkpointed
    },
    unread: (): readonly Unread[] =>
      (unread.all() as { kind: Document['kind']; begun: bigint; time: unknown; id: unknown }[]).map(
        ({ kind, begun, time, id }) => ({ kind, at: begun === 0n ? null : { time, id } }),
      ),
    begin: (end: Bookmark) =>
      transact(() => {
        setBookmark.run(end)
        for (const kind of KINDS) setUnread.run(kind, 0, null, null)
      }),
    write: (changes: ReadonlyMap<string, Change>, next: Bookmark) =>
      transact(() => {
        for (const { key, document } of changes.values())
          if (document === null) documents.remove(key.kind, key.id)
        put([...changes.values()].flatMap(({ document }) => document ?? []))
        setBookmark.run(next)
      }),
    writeOld: (
      kind: Document['kind'],
      at: RowPlace | null,
      list: readonly Document[],
      next: RowPlace | null,
    ) =>
      transact(() => {
        // A row that changed meanwhile is there already, as it is now.
        put(list.filter(({ id }) => !documents.has(kind, id)))
        if (next !== null) setUnread.run(kind, 1, next.time, next.id)
        else if (at !== null && at.time !== null) setUnread.run(kind, 1, TIMELESS.time, TIMELESS.id)
        else dropUnread.run(kind)
      }),
    move: (list: readonly (Document | null)[]) => transact(() => documents.move(list)),
    merge: () => transact(() => documents.merge()),
  }
}
type SearchFile = ReturnType<typeof connectSearch>
