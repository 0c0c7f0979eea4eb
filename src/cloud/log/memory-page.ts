import { DEFAULT_PULL_RECORDS, MAX_PULL_BYTES } from '../../protocol/limits.ts'
import type { PullRequest } from '../../protocol/pull.ts'
import type { WireRecord } from '../../protocol/records.ts'
import type { MemorySpace } from './memory-space.ts'

/** Whether a table is in the filter; without one every table is. */
export function tableFilter(tables: readonly string[] | undefined): (table: string) => boolean {
  if (tables === undefined) return () => true
  const asked = new Set(tables)
  return (table) => asked.has(table)
}

interface Page {
  readonly records: WireRecord[]
  readonly more: boolean
}

export function readPage(space: MemorySpace, request: PullRequest): Page {
  const limit = request.limit ?? DEFAULT_PULL_RECORDS
  const isAsked = tableFilter(request.tables)
  const records: WireRecord[] = []
  let bytes = 0
  for (const record of space.since(request.cursor.version)) {
    // Own writes above `high` were made by another copy of this replica: the one that asks never saw them (I4).
    if (record.by === request.replica && record.version <= request.cursor.high) continue
    if (!isAsked(record.table)) continue
    if (records.length >= limit || bytes >= MAX_PULL_BYTES) return { records, more: true }
    records.push(record)
    bytes += record.fields === undefined ? 0 : JSON.stringify(record.fields).length
  }
  return { records, more: false }
}
