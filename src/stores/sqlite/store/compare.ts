import { sleep } from '../../../kernel/clock.ts'
import { uuidV7 } from '../../../kernel/random.ts'
import type { Bounds } from './bind.ts'
import { goneAfter, rowsAfter, type JoinedRow } from './joined-rows.ts'
import type { Session } from './session.ts'
import { equalsImage } from './standing.ts'
import type { SyncedTable } from './synced-table.ts'

/** Rows read, and marked, at a time: other work gets its turn in between. Large rows come to the time first. */
const SLICE_ROWS = 1_000
const SLICE_MS = 20
/** States looked through at a time for rows that are gone: SQLite takes some milliseconds for so many. */
const GONE_SLICE_ROWS = 10_000

/** Writes may have been missed in this table: it is compared before anything counts on every edit being marked. */
export function suspect(session: Session, table: string, what: { readonly goneOnly?: true } = {}): void {
  const id = uuidV7(session.clock.now(), session.random)
  session.meta.set('suspect', [...session.meta.get('suspect'), { table, id, ...what }])
}

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
  readonly #own: <T>(work: () => T) => Promise<T>
  #running: Promise<void> | null = null

  constructor(session: Session, own: <T>(work: () => T) => Promise<T>) {
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
      const suspects = await this.#own(() => session.read(() => meta.get('suspect')))
      const [first] = suspects
      if (first === undefined) return
      const { table: name } = first
      const goneOnly = suspects.every(({ table, goneOnly: only }) => table !== name || only === true)
      if (!goneOnly) await this.#inSlices((place) => readSuspects(session, name, place))
      await this.#inSlices((place) => readGone(session, name, place))
      // What was added since is another suspicion: writes may have been missed in rows that were compared before.
      const ids = new Set(suspects.filter(({ table }) => table === name).map(({ id }) => id))
      await this.#own(() =>
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
      const from: Place | null = place
      place = await this.#own((): Place | null => {
        const slice = session.read(() => read(from))
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
  return collect(session, table, rowsAfter(table, after, SLICE_ROWS))
}

/** Agreed rows that the table has no more: they were deleted unseen. */
function readGone(session: Session, name: string, place: Place | null): Slice | null {
  const table = session.table(name)
  const after = table === undefined ? 'elsewhere' : startOf(table, place)
  if (table === undefined || after === 'elsewhere') return null
  const { keys, to } = goneAfter(table, after, GONE_SLICE_ROWS, SLICE_ROWS)
  const next = to === null ? null : { after: to, signature: table.dictionary.key }
  return { table: name, keys, next }
}

function startOf(table: SyncedTable, place: Place | null): Bounds | null | 'elsewhere' {
  if (place === null) return null
  if (place.signature !== table.dictionary.key) return 'elsewhere'
  return table.bindKey(place.after) ?? 'elsewhere'
}

/** The rows of one slice that differ; `rows` is read no further than that. */
function collect({ clock }: Session, table: SyncedTable, rows: Iterable<JoinedRow>): Slice {
  const keys: string[] = []
  const begun = clock.now()
  let count = 0
  for (const row of rows) {
    if (isSuspect(table, row)) keys.push(row.key)
    if (++count < SLICE_ROWS && clock.now() - begun < SLICE_MS) continue
    return { table: table.name, keys, next: { after: row.key, signature: table.dictionary.key } }
  }
  return { table: table.name, keys, next: null }
}

function isSuspect(table: SyncedTable, { fields, state }: JoinedRow): boolean {
  if (fields === null) return false
  if (state === null || state.agreed !== 'live' || state.image === null) return true
  return !equalsImage(table, fields, state.image)
}
