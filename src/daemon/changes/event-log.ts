import type Database from 'better-sqlite3'

import type { Clock } from '../../kernel/clock.ts'

/** One line of the durable log behind `GET /stream/events`. */
export interface LoggedEvent {
  readonly id: number
  readonly type: string
  readonly record_id: string
  readonly session_id: string | null
  /** Milliseconds. */
  readonly at: number
}

export type NewEvent = Omit<LoggedEvent, 'id' | 'at'>

export interface EventFilter {
  readonly types: readonly string[] | null
  readonly session: string | null
}

export interface EventLog {
  /** Writes one event, within the transaction of whoever makes it. `wake` is called once that is committed. */
  append(event: NewEvent): void
  /** Says that events are missing: whoever follows has to list anew. Written as `append` is. */
  appendReset(): void
  /** Tells listeners that there may be new events. */
  wake(): void
  /** Answers the function that stops listening. */
  on(listener: () => void): () => void
  /** The place behind all events. */
  end(): number
  /** Whether all events behind a place are there. Of another database, or of a later state of this one, they are not. */
  holdsAfter(id: number): boolean
  /**
   * Events after a place, in order; `next` is the place behind what was looked at, whether or not the filter let it
   * through. A `reset` passes every filter.
   */
  read(
    after: number,
    filter: EventFilter,
    limit: number,
  ): { readonly events: readonly LoggedEvent[]; readonly next: number }
  /** Deletes a slice of what is too old or too much. True: there may be more. */
  deleteOld(): boolean
}

export const RESET = 'reset'
/** How long and how many events are kept. */
const KEEP_MS = 7 * 86_400_000
const KEEP_EVENTS = 100_000
/** Events deleted in one transaction. */
const DELETE_SLICE = 1_000

/** The row of `readers` that says up to where events were deleted. */
const FLOOR = 'events-deleted'

/**
 * `database` is daemon.db. Ids begin at the milliseconds of the first opening and are moved on to those of each later
 * one: so they are never given twice, neither after the newest were deleted nor where the file was lost or put back.
 */
export function openEventLog(database: Database.Database, clock: Clock): EventLog {
  const insert = database.prepare(
    'INSERT INTO events (type, record_id, session_id, at) VALUES (@type, @record_id, @session_id, @at)',
  )
  const lastId = database.prepare('SELECT max(id) FROM events').pluck()
  const hasId = database.prepare('SELECT 1 FROM events WHERE id = ?').pluck()
  const floorId = database.prepare('SELECT seq FROM readers WHERE name = ?').pluck()
  const setFloor = database.prepare(
    `INSERT INTO readers (name, seq, mark) VALUES ('${FLOOR}', ?, '')
     ON CONFLICT (name) DO UPDATE SET seq = excluded.seq`,
  )
  const select = database.prepare(
    `SELECT id, type, record_id, session_id, at FROM events
     WHERE id > @after AND id <= @end AND (type = '${RESET}' OR
       (@types IS NULL OR type IN (SELECT value FROM json_each(@types))) AND (@session IS NULL OR session_id = @session))
     ORDER BY id LIMIT @limit`,
  )
  const oldest = database.prepare('SELECT id, at FROM events ORDER BY id LIMIT ?')
  const beyond = database.prepare('SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?').pluck()
  const remove = database.prepare('DELETE FROM events WHERE id <= ?')
  const listeners = new Set<() => void>()

  const floor = (): number => Number(floorId.get(FLOOR) ?? 0)
  const end = (): number => Number(lastId.get() ?? floor())

  database
    .transaction(() => {
      const now = clock.now()
      const given = database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'events'").pluck().get()
      if (given === undefined) {
        database.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)").run(now)
        setFloor.run(now)
      } else database.prepare("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'events'").run(now)
    })
    .immediate()

  return {
    append: (event) => void insert.run({ ...event, at: clock.now() }),
    appendReset: () => void insert.run({ type: RESET, record_id: '', session_id: null, at: clock.now() }),
    wake: () => listeners.forEach((listener) => listener()),
    on(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    end,
    holdsAfter: (id) => {
      const from = floor()
      return id === from || (id > from && hasId.get(id) !== undefined)
    },
    read(after, { types, session }, limit) {
      const last = end()
      const given = types === null ? null : JSON.stringify(types)
      const events = select.all({ after, end: last, types: given, session, limit }) as LoggedEvent[]
      return { events, next: events.length < limit ? last : (events.at(-1)?.id ?? last) }
    },
    deleteOld: database.transaction(() => {
      const before = clock.now() - KEEP_MS
      const most = Number(beyond.get(KEEP_EVENTS) ?? 0)
      const slice = oldest.all(DELETE_SLICE) as { readonly id: number; readonly at: number }[]
      const kept = slice.findIndex(({ id, at }) => id > most && at >= before)
      const last = kept === -1 ? slice.at(-1) : slice[kept - 1]
      if (last === undefined) return false
      remove.run(last.id)
      setFloor.run(last.id)
      return kept === -1 && slice.length === DELETE_SLICE
    }),
  }
}
