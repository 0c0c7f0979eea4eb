import { keyColumn, markTable } from '../capture/names.ts'
import { quoteName } from '../driver/driver.ts'
import { joinOn } from './joined-rows.ts'
import { stateTable } from './names.ts'
import type { Session } from './session.ts'
import { StateFlag } from './state-tables.ts'
import type { SyncedTable } from './synced-table.ts'

/** Forgets tombstones at or below the floor: no replica can have anything to say of them any more. */
export function forgetTombstones(session: Session, floor: number): void {
  const { meta } = session
  if (floor <= meta.get('floor')) return
  meta.set('floor', floor)
  const forgotten = session.tables.reduce(
    (latest, table) => Math.max(latest, forgetOf(session, table, floor)),
    0,
  )
  if (forgotten > meta.get('forgotten')) meta.set('forgotten', forgotten)
}

/** Answers the latest version forgotten. A tombstone stays while anything else is known of its key. */
function forgetOf(session: Session, table: SyncedTable, floor: number): number {
  const state = stateTable(table.number)
  const keys = table.keyNames.map((_, at) => keyColumn(at))
  const marked = keys.map((name) => `m.${name} = ${state}.${name}`).join(' AND ')
  const kept = [
    ...session.waiting.list(table.number).keys(),
    ...session.parking.list(table.number).map(({ key }) => key),
  ]
  const aside = kept.flatMap((key) => {
    const bounds = table.bindKey(key)
    const tombstone = bounds === null ? null : table.states.read(bounds)
    return bounds === null || tombstone === null ? [] : [{ bounds, tombstone }]
  })
  const condition = `image IS NULL AND agreed & ${StateFlag.deleted} AND version <= ? AND was IS NULL AND extra IS NULL
    AND NOT EXISTS (SELECT 1 FROM ${markTable(table.number)} m WHERE ${marked})
    AND NOT EXISTS (SELECT 1 FROM main.${quoteName(table.name)} t WHERE ${joinOn(table.keyTerms('t'), state)})`
  for (const { bounds, tombstone } of aside)
    table.states.write(bounds, { ...tombstone, was: tombstone.was ?? 0 })
  const latest = session.connection
    .prepare(`SELECT max(version) FROM ${state} WHERE ${condition}`)
    .get(BigInt(floor))
  if (latest?.[0] != null)
    session.connection.prepare(`DELETE FROM ${state} WHERE ${condition}`).run(BigInt(floor))
  for (const { bounds, tombstone } of aside) table.states.write(bounds, tombstone)
  return Number(latest?.[0] ?? 0)
}
