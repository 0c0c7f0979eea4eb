import type Database from 'better-sqlite3'

import type { Bookmark } from '../changes/change-feed.ts'
import type { BatchRecord, BatchTable, Sent } from './send.ts'

/** How far the one-way upload is with one endpoint. */
export interface Place {
  /** The last line of `local_changes` that was sent. */
  readonly bookmark: Bookmark
  /** While all rows are sent first: those up to this id of this table are. The lines come after. */
  readonly full: { readonly table: BatchTable; readonly after: string } | null
}

/** A record that the endpoint refused: it was put aside, so that the others go on. */
export interface RefusedRecord {
  readonly table: string
  readonly id: string
  /** Of HTTP. */
  readonly status: number
  /** Milliseconds. */
  readonly at: number
}

/** What is known of the upload, in daemon.db: durable before anything new is sent. */
export interface Progress {
  /** Null: all rows are to be sent. */
  place(): Place | null
  /** How often it was reset, by whichever process: what is under way since before must not move the place. */
  resets(): number
  /** Milliseconds; null: the endpoint never took anything. */
  lastSyncAt(): number | null
  /** Moves on, and notes what became of the records, in one transaction; not where it was reset since `resets`. */
  advance(place: Place, sent: Sent | null, at: number, resets: number): void
  refused(limit: number): readonly RefusedRecord[]
  countRefused(): number
  /** All rows are sent again, those that were put aside too. */
  reset(): void
}

/** Of one endpoint: where another one is set, that has nothing yet. */
export function openProgress(database: Database.Database, endpoint: string): Progress {
  const select = database
    .prepare<[string], string | null>('SELECT state FROM batch WHERE one = 1 AND endpoint = ?')
    .pluck()
  const save = database.prepare(
    `INSERT INTO batch (one, endpoint, state, last_sync_at) VALUES (1, @endpoint, @state, @at)
     ON CONFLICT (one) DO UPDATE SET endpoint = excluded.endpoint, state = excluded.state,
       last_sync_at = CASE WHEN endpoint = excluded.endpoint THEN coalesce(excluded.last_sync_at, last_sync_at)
                      ELSE excluded.last_sync_at END`,
  )
  const last = database
    .prepare<[string], number | null>('SELECT last_sync_at FROM batch WHERE one = 1 AND endpoint = ?')
    .pluck()
  const forget = database.prepare('UPDATE batch SET state = NULL, resets = resets + 1 WHERE one = 1')
  const resets = database.prepare<[], number>('SELECT resets FROM batch WHERE one = 1').pluck()
  const refuse = database.prepare(
    `INSERT INTO batch_refused (table_name, row_id, status, at) VALUES (@table, @id, @status, @at)
     ON CONFLICT (table_name, row_id) DO UPDATE SET status = excluded.status, at = excluded.at`,
  )
  const accept = database.prepare('DELETE FROM batch_refused WHERE table_name = @table AND row_id = @id')
  const clear = database.prepare('DELETE FROM batch_refused')
  const list = database.prepare<[number], RefusedRecord>(
    'SELECT table_name AS "table", row_id AS id, status, at FROM batch_refused ORDER BY at, row_id LIMIT ?',
  )
  const count = database.prepare<[], number>('SELECT count(*) FROM batch_refused').pluck()
  const keyOf = ({ table, id }: BatchRecord) => ({ table, id })
  const isOurs = (): boolean => last.get(endpoint) !== undefined

  return {
    place() {
      const state = select.get(endpoint)
      return state === undefined || state === null ? null : (JSON.parse(state) as Place)
    },
    lastSyncAt: () => last.get(endpoint) ?? null,
    resets: () => resets.get() ?? 0,
    advance: (place, sent, at, before) =>
      database
        .transaction(() => {
          if ((resets.get() ?? 0) !== before) return
          if (!isOurs()) clear.run()
          save.run({
            endpoint,
            state: JSON.stringify(place),
            at: sent === null || sent.accepted.length === 0 ? null : at,
          })
          for (const record of sent?.accepted ?? []) accept.run(keyOf(record))
          for (const { record, status } of sent?.refused ?? []) refuse.run({ ...keyOf(record), status, at })
        })
        .immediate(),
    refused: (limit) => (isOurs() ? list.all(limit) : []),
    countRefused: () => (isOurs() ? (count.get() ?? 0) : 0),
    reset: () =>
      database
        .transaction(() => {
          forget.run()
          clear.run()
        })
        .immediate(),
  }
}
