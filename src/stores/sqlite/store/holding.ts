import type { Hlc } from '../../../kernel/hlc.ts'
import type { Bounds } from './bind.ts'
import type { Session } from './session.ts'
import { differs, readStanding } from './standing.ts'
import type { SyncedTable } from './synced-table.ts'

/** Takes the mark off: the row waits until it changes again, or is released. */
export function withhold(session: Session, table: SyncedTable, key: string, bounds: Bounds, at: Hlc): void {
  const time = table.states.readMark(bounds) ?? session.waiting.readTime(table.number, key) ?? at
  session.waiting.add(table.number, key, time)
  table.states.removeMark(bounds)
}

/** Ends the waiting: what differs is dirty again, with its time. */
export function release(session: Session, table: SyncedTable, key: string): void {
  const row = readStanding(session, table, key)
  if (row.heldAt === null) return
  session.waiting.remove(table.number, key)
  const bounds = table.bindKey(key)
  if (bounds !== null && (row.state.was !== null || differs(row))) table.states.addMark(bounds, row.heldAt)
}
