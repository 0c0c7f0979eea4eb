import type { Change, Generation as HistoryGeneration, WireRecord } from '../../protocol/records.ts'
import type { SchemaTable } from '../../protocol/schema.ts'
import type { Write } from './decide.ts'
import type { History, Reader } from './history.ts'
import { listClaims, rowId, type Standing } from './standing.ts'
import { compareText } from './text-order.ts'
import type { LastMutation, StagedPart } from './turns.ts'

/** A replica as the memory log keeps it. Never changed, only replaced. */
export interface MemoryReplica extends Reader {
  readonly last: LastMutation
  /** The kept answer of that mutation (`kept-answer.ts`). */
  readonly answer: string
  readonly staged: readonly MemoryPart[]
}

export interface MemoryPart extends StagedPart {
  readonly changes: readonly Change[]
}

/** A row and, for a tombstone, when the cloud learned of it (milliseconds). */
export interface MemoryRow {
  readonly standing: Standing
  readonly buriedAt: number | null
}

/** What a space is, apart from the ways to look it up. */
export interface SpaceImage {
  readonly epoch: string
  readonly generations: readonly HistoryGeneration[]
  readonly head: number
  readonly floor: number
  readonly schema: number
  readonly tables: readonly SchemaTable[]
  readonly rows: ReadonlyMap<string, MemoryRow>
  readonly replicas: ReadonlyMap<string, MemoryReplica>
}

export interface RowPlace {
  readonly table: string
  readonly key: string
}

/** One space in memory: its committed state. Every method is one step that nothing can interrupt. */
export class MemorySpace implements History {
  readonly epoch: string
  generations: readonly HistoryGeneration[]
  head: number
  floor: number
  schema: number
  tables: readonly SchemaTable[]
  readonly replicas: Map<string, MemoryReplica>
  readonly #rows: Map<string, MemoryRow>
  readonly #claims = new Map<string, string>()
  /** Rows by version; entries of versions that were replaced since are skipped, and dropped from time to time. */
  #byVersion: { readonly version: number; readonly row: string }[]
  /** Live rows in (table, key) order; null when a row came or went since. */
  #inOrder: RowPlace[] | null = null

  constructor(image: SpaceImage) {
    this.epoch = image.epoch
    this.generations = image.generations
    this.head = image.head
    this.floor = image.floor
    this.schema = image.schema
    this.tables = image.tables
    this.replicas = new Map(image.replicas)
    this.#rows = new Map(image.rows)
    this.#byVersion = [...image.rows].map(([row, { standing }]) => ({
      version: standing.record.version,
      row,
    }))
    this.#sort()
    for (const { standing } of image.rows.values()) this.#hold(standing)
  }

  image(): SpaceImage {
    const { epoch, generations, head, floor, schema, tables } = this
    return {
      epoch,
      generations,
      head,
      floor,
      schema,
      tables,
      rows: new Map(this.#rows),
      replicas: new Map(this.replicas),
    }
  }

  standing(table: string, key: string): Standing | null {
    return this.#rows.get(rowId(table, key))?.standing ?? null
  }

  holder(table: string, index: string, value: string): string | null {
    return this.#claims.get(claimId(table, index, value)) ?? null
  }

  /** Carries decided writes out: values are let go before any is taken, so that rows can swap them. */
  write(writes: readonly Write[], now: number): void {
    for (const { before } of writes) if (before !== null) this.#release(before)
    for (const { after } of writes) {
      const { table, key, version, deleted } = after.record
      const row = rowId(table, key)
      this.#rows.set(row, { standing: after, buriedAt: deleted === true ? now : null })
      this.#hold(after)
      this.#byVersion.push({ version, row })
    }
    if (writes.length > 0) this.#inOrder = null
    this.#sort()
    if (this.#byVersion.length > 2 * this.#rows.size + 1_000) {
      this.#byVersion = this.#byVersion.filter((entry) => this.#current(entry) !== undefined)
    }
  }

  /** Rows with a version above `version`, in version order. */
  *since(version: number): Generator<WireRecord> {
    const entries = this.#byVersion
    const first = countUntil(entries.length, (at) => (entries[at]?.version ?? 0) <= version)
    for (let at = first; at < this.#byVersion.length; at++) {
      const row = this.#current(this.#byVersion[at])
      if (row !== undefined) yield row.standing.record
    }
  }

  /** Live rows after a place, in the order of UTF-8 bytes. */
  *inOrder(after: RowPlace | null): Generator<WireRecord> {
    this.#inOrder ??= [...this.#rows.values()]
      .map(({ standing }) => standing.record)
      .filter((record) => record.deleted !== true)
      .map(({ table, key }) => ({ table, key }))
      .sort(comparePlaces)
    const places = this.#inOrder
    const first = after === null ? 0 : countUntil(places.length, (at) => isUpTo(places[at], after))
    for (let at = first; at < places.length; at++) {
      const { table, key } = places[at] as RowPlace
      const row = this.standing(table, key)
      if (row !== null && row.record.deleted !== true) yield row.record
    }
  }

  *tombstones(): Generator<{ readonly record: WireRecord; readonly buriedAt: number }> {
    for (const { standing, buriedAt } of this.#rows.values()) {
      if (buriedAt !== null) yield { record: standing.record, buriedAt }
    }
  }

  drop(records: readonly WireRecord[]): void {
    for (const { table, key } of records) this.#rows.delete(rowId(table, key))
  }

  get size(): number {
    return this.#rows.size
  }

  #current(entry: { readonly version: number; readonly row: string } | undefined): MemoryRow | undefined {
    const row = entry === undefined ? undefined : this.#rows.get(entry.row)
    return row?.standing.record.version === entry?.version ? row : undefined
  }

  /** Commit order is version order (I4), so there is nothing to sort unless that was broken on purpose. */
  #sort(): void {
    const list = this.#byVersion
    if (list.some((entry, at) => at > 0 && entry.version < (list[at - 1]?.version ?? 0))) {
      list.sort((a, b) => a.version - b.version)
    }
  }

  #hold({ record, claims }: Standing): void {
    for (const { index, value } of listClaims(claims)) {
      this.#claims.set(claimId(record.table, index, value), record.key)
    }
  }

  #release({ record, claims }: Standing): void {
    for (const { index, value } of listClaims(claims)) {
      const id = claimId(record.table, index, value)
      if (this.#claims.get(id) === record.key) this.#claims.delete(id)
    }
  }
}

const claimId = (table: string, index: string, value: string): string => `${table}\0${index}\0${value}`

const comparePlaces = (a: RowPlace, b: RowPlace): number =>
  compareText(a.table, b.table) || compareText(a.key, b.key)

const isUpTo = (place: RowPlace | undefined, after: RowPlace): boolean =>
  place !== undefined && comparePlaces(place, after) <= 0

/** How many of the first places of a sorted list pass: binary search. */
function countUntil(length: number, passes: (at: number) => boolean): number {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >> 1
    if (passes(middle)) low = middle + 1
    else high = middle
  }
  return low
}
