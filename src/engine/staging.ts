import type { CurrentGeneration, Cursor, WireRecord } from '../protocol/records.ts'
import { rowId } from './reconcile.ts'

/** Pages on their way to one publish: the last record of a key stands, whatever page it came with. */
export interface Staging {
  /** Null between two cycles. */
  cursor: Cursor | null
  generation: CurrentGeneration | null
  floor: number
  /** The cloud has more pages than one publish takes. */
  more: boolean
  readonly records: Map<string, WireRecord>
}

export const createStaging = (): Staging => ({
  cursor: null,
  generation: null,
  floor: 0,
  more: false,
  records: new Map(),
})

export function clearStaging(staging: Staging): void {
  staging.cursor = null
  staging.generation = null
  staging.more = false
  staging.records.clear()
}

export function stageRecords(staging: Staging, records: readonly WireRecord[]): void {
  for (const record of records) staging.records.set(rowId(record), record)
}
