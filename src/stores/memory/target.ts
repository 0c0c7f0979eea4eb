import type { Hlc } from '../../kernel/hlc.ts'
import type { Fields } from '../../kernel/values.ts'
import type { WireRecord } from '../../protocol/records.ts'
import { isAgreed } from './local-row.ts'
import type { MemoryTable } from './table.ts'

/** One row of a publication: what it becomes, and what stands when it cannot. */
export interface Target {
  readonly key: string
  /** Null: the cloud has neither row nor tombstone. */
  readonly record: WireRecord | null
  /**
   * - `record`: a clean row becomes the record. - `take`: a row with local changes does, they are given up.
   * - `keep`: the row becomes `fields`, what differs from the record stays dirty.
   */
  readonly kind: 'record' | 'take' | 'keep'
  /** The row to be, for `keep`; else the record's own fields are. */
  readonly fields: Fields | null
  /** The time of the local change, for `keep`. */
  readonly at: Hlc
  /** False: a parked record that is tried again. */
  readonly fresh: boolean
}

/** An agreed row that left the table, and why. */
export interface Displaced {
  readonly row: Fields
  readonly reason: string
}

/** True when this agreed row gives way to the smaller key of another agreed one. */
export function givesWay(table: MemoryTable, key: string, to: string): boolean {
  return to < key && isAgreed(table, key)
}
