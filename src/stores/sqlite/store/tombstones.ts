import { keyColumn, markTable } from '../capture/names.ts'
import { stateTable } from './names.ts'
import type { Session } from './session.ts'
import { StateFlag } from './state-tables.ts'
import type { SyncedTable } from './synced-table.ts'

/** Forgets tombstones at or below the floor: no replica can have anything to say of them any more. */
export function forgetTombstones(session: Session, floor: number): void {
  if (floor <= session.meta.get('floor')) return
  session.meta.set('floor', floor)
  for (const table of session.tables) forgetOf(session, table, floor)
}

function forgetOf(session: Session, table: SyncedTable, floor: number): void {
  const state = stateTable(table.number)
  const marked = table.keyNames.map((_, at) => `m.${keyColumn(at)} = ${state}.${keyColumn(at)}`).join(' AND ')
  session.connection
    .prepare(
      `DELETE FROM ${state} WHERE image IS NULL AND agreed & ${StateFlag.deleted} AND version <= ? AND was IS NULL
      AND extra IS NULL AND NOT EXISTS (SELECT 1 FROM ${markTable(table.number)} m WHERE ${marked})`,
    )
    .run(BigInt(floor))
}
