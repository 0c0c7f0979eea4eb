import type { Hlc } from '../../../kernel/hlc.ts'
import type { Bounds } from './bind.ts'
import type { Session } from './session.ts'
import { hasNews, readStanding } from './standing.ts'
import type { SyncedTable } from './synced-table.ts'

/** Takes the mark off: the row waits until it changes again, or is released. `met` is a version it does not know. */
export function withhold(
  session: Session,
  table: SyncedTable,
  key: string,
  bounds: Bounds,
  at: Hlc,
  met = 0,
): void {
  const before = session.waiting.read(table.number, key)
  const time = table.states.readMark(bounds) ?? before.at ?? at
  session.waiting.write(table.number, key, { at: time, met: Math.max(met, before.met) })
  table.states.removeMark(bounds)
}

/** Ends the waiting: what has news is dirty again, with its time. */
export function release(session: Session, table: SyncedTable, key: string): void {
  const row = readStanding(session, table, key)
  if (row.heldAt === null) return
  session.waiting.write(table.number, key, { at: null, met: row.met })
  const bounds = table.bindKey(key)
  if (bounds !== null && hasNews(row)) table.states.addMark(bounds, row.heldAt)
}
