import { keyColumn, markTable } from '../capture/names.ts'
import { stateTable } from './names.ts'
import type { Session } from './session.ts'
import { StateFlag } from './state-tables.ts'
import type { SyncedTable } from './synced-table.ts'

/** Forgets tombstones at or below the floor: no replica can have anything to say of them any more. */
export function forgetTombstones(session: Session, floor: number): void {
  const { meta } = session
  if (floor <= meta.get('floor')) return
  meta.set('floor', floor)
  const forgotten = session.tables.reduce((latest, table) => Math.max(latest, forgetOf(session, table, floor)), 0)
  if (forgotten > meta.get('forgotten')) meta.set('forgotten', forgotten)
}

/** Answers the latest version forgotten. */
function forgetOf(session: Session, table: SyncedTable, floor: number): number {
  const state = stateTable(table.number)
  const marked = table.keyNames.map((_, at) => `m.${keyColumn(at)} = ${state}.${keyColumn(at)}`).join(' AND ')
  const condition = `image IS NULL AND agreed & ${StateFlag.deleted} AND version <= ? AND was IS NULL AND extra IS NULL
    AND NOT EXISTS (SELECT 1 FROM ${markTable(table.number)} m WHERE ${marked})`
  const latest = session.connection.prepare(`SELECT max(version) FROM ${state} WHERE ${condition}`).get(BigInt(floor))
  if (latest?.[0] == null) return 0
  session.connection.prepare(`DELETE FROM ${state} WHERE ${condition}`).run(BigInt(floor))
  return Number(latest[0])
}
