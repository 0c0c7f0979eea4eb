import { sleep } from '../../../kernel/clock.ts'
import type { Bounds } from './bind.ts'
import { goneRowsSql, markSql, rowsAfter, statesAfter, type JoinedRow } from './joined-rows.ts'
import type { Session } from './session.ts'
import { equalsImage } from './standing.ts'
import type { SyncedTable } from './synced-table.ts'

/** Rows read, and marked, at a time: other work gets its turn in between. Large rows come to the time first. */
const SLICE_ROWS = 1_000
const SLICE_MS = 20

/** Where the next slice begins: after a key, as long as the table's key is the same. */
interface Place {
  readonly after: string
  readonly signature: string
}

interface Slice {
  readonly table: string
  /** Keys to be marked. */
  readonly keys: readonly string[]
  /** Null: the table is at its end. */
  readonly next: Place | null
}

/**
 * Compares tables whole: after triggers were missing, any row may have changed unseen (I1). A slice at a time, each
 * in transactions of its own, for the triggers are back by now: what changes meanwhile is marked by them, and a mark
 * too many goes when it is met. Broken off, it begins anew: a table stays suspect until all of it was compared.
 */
export class Comparison {
  readonly #session: Session
  /** Runs what the store itself writes (`watch.ts`). */
  readonly #own: <T>(work: () => T) => T
  #running: Promise<void> | null = null

  constructor(session: Session, own: <T>(work: () => T) => T) {
    this.#session = session
    this.#own = own
  }

  /** Resolves when no table is suspect; rejects with `aborted` when the store is closed meanwhile. */
  settle(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #run(): Promise<void> {
    const session = this.#session
    const { meta } = session
    for (;;) {
      const suspects = this.#own(() => session.read(() => meta.get('suspect')))
      const [first] = suspects
      if (first === undefined) return
      const { table: name } = first
      await this.#inSlices((place) => readSuspects(session, name, place))
      await this.#inSlices((place) => readGone(session, name, place))
      // What was added since is another suspicion: writes may have been missed in rows that were compared before.
      const ids = new Set(suspects.filter(({ table }) => table === name).map(({ id }) => id))
      this.#own(() =>
        session.write(() =>
          meta.set(
            'suspect',
            meta.get('suspect').filter(({ id }) => !ids.has(id)),
          ),
        ),
      )
    }
  }

  async #inSlices(read: (place: Place | null) => Slice | null): Promise<void> {
    const session = this.#session
    let place: Place | null = null
    do {
      place = this.#own(() => {
        const slice = session.read(() => read(place))
        if (slice !== null && slice.keys.length > 0) markKeys(session, slice)
        return slice?.next ?? null
      })
      if (place !== null) await sleep(session.clock, 0)
      session.assertOpen()
    } while (place !== null)
  }
}

function markKeys(session: Session, { table: name, keys }: Slice): void {
  session.write(() => {
    const table = session.table(name)
    const at = session.time
    for (const key of table === undefined ? [] : keys) {
      const bounds = table?.bindKey(key) ?? null
      if (bounds !== null) table?.states.addMark(bounds, at)
    }
  })
}

/** Rows that differ from their image. */
function readSuspects(session: Session, name: string, place: Place | null): Slice | null {
  const table = session.table(name)
  const after = table === undefined ? 'elsewhere' : startOf(table, place)
  // Under another key every row is marked as news, and there is nothing to compare with.
  if (table === undefined || after === 'elsewhere') return null
  return collect(session, table, rowsAfter(table, after, SLICE_ROWS), (row) => isSuspect(table, row))
}

/** Agreed rows that the table has no more: they were deleted unseen. */
function readGone(session: Session, name: string, place: Place | null): Slice | null {
  const table = session.table(name)
  const after = table === undefined ? 'elsewhere' : startOf(table, place)
  if (table === undefined || after === 'elsewhere') return null
  return collect(session, table, statesAfter(table, after, SLICE_ROWS), ({ isGone }) => isGone)
}

function startOf(table: SyncedTable, place: Place | null): Bounds | null | 'elsewhere' {
  if (place === null) return null
  if (place.signature !== table.dictionary.key) return 'elsewhere'
  return table.bindKey(place.after) ?? 'elsewhere'
}

/** The rows of one slice; `rows` is read no further than that. */
function collect<T extends { readonly key: string }>(
  { clock }: Session,
  table: SyncedTable,
  rows: Iterable<T>,
  choose: (row: T) => boolean,
): Slice {
  const keys: string[] = []
  const begun = clock.now()
  let count = 0
  for (const row of rows) {
    if (choose(row)) keys.push(row.key)
    if (++count < SLICE_ROWS && clock.now() - begun < SLICE_MS) continue
    return { table: table.name, keys, next: { after: row.key, signature: table.dictionary.key } }
  }
  return { table: table.name, keys, next: null }
}

/** Marks agreed rows that the table has no more: they were deleted unseen. */
export function markGoneRows(session: Session, table: SyncedTable): void {
  session.connection.prepare(markSql(table, goneRowsSql(table))).run(BigInt(session.time))
}

function isSuspect(table: SyncedTable, { fields, state }: JoinedRow): boolean {
  if (fields === null) return false
  if (state === null || state.agreed !== 'live' || state.image === null) return true
  return !equalsImage(table, fields, state.image)
}
