import type { WireRecord } from '../../protocol/records.ts'
import type { MemoryFile } from './file.ts'
import { differs } from './local-row.ts'
import { UNKNOWN } from './row-state.ts'
import type { MemoryTable } from './table.ts'

/** Agrees on records without touching a row: what differs becomes an edit. A parked record follows the cloud. */
export function agreeOnImages(file: MemoryFile, records: readonly WireRecord[]): void {
  for (const record of records) {
    const table = file.synced(record.table)
    if (table !== undefined) agreeOnImage(file, table, record)
  }
}

function agreeOnImage(file: MemoryFile, table: MemoryTable, record: WireRecord): void {
  const { key, version, hlc, by } = record
  const state = table.state(key)
  const isLive = record.deleted !== true
  if (state.parked !== null && isLive) {
    table.setState(key, { ...state, parked: { ...state.parked, record, was: null, lost: false } })
    return
  }
  const agreed = isLive ? 'live' : 'deleted'
  const image = isLive ? (record.fields ?? {}) : {}
  table.setState(key, { ...UNKNOWN, version, hlc, by, agreed, image, own: state.own && isLive })
  if (!differs(table, key)) table.marks.delete(key)
  else if (!table.marks.has(key)) table.marks.set(key, state.heldAt ?? file.time)
}
