import type { SqliteStore } from '../stores/sqlite/store/store.ts'

/** Rows of others that cannot stand in this file, by table and reason. */
export interface ParkedReport {
  readonly table: string
  /** In words, without row values. */
  readonly reason: string
  readonly rows: number
}

/** Parked rows that are looked at, at most: more would tell no other reasons. */
const MAX_LOOKED_AT = 1_000

/** Why rows are parked, the most frequent reason first. */
export async function describeParkedRows(store: SqliteStore): Promise<readonly ParkedReport[]> {
  const reports = new Map<string, ParkedReport>()
  for (const { table, reason } of await store.listParked(MAX_LOOKED_AT)) {
    const name = JSON.stringify([table, reason])
    reports.set(name, { table, reason, rows: (reports.get(name)?.rows ?? 0) + 1 })
  }
  return [...reports.values()].sort((one, other) => other.rows - one.rows)
}
