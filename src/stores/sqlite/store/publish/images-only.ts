import type { WireRecord } from '../../../../protocol/records.ts'
import type { Session } from '../session.ts'
import { differs, readStanding } from '../standing.ts'
import { NO_STATE, type RowState } from '../states.ts'
import type { SyncedTable } from '../synced-table.ts'
import { liveState } from './settle.ts'

/** Agrees on a record without touching the row: what differs becomes an edit. A parked record follows the cloud. */
export function agreeOnImage(session: Session, table: SyncedTable, record: WireRecord): void {
  const { key, version } = record
  const { number, states } = table
  const bounds = table.bindKey(key)
  const { parked, heldAt } = readStanding(session, table, key, bounds)
  const isLive = record.deleted !== true
  if (parked !== null && isLive)
    return session.parking.write(
      number,
      key,
      { ...parked, record, was: null, lost: false, unseen: false },
      null,
    )
  session.parking.remove(number, key)
  session.waiting.remove(number, key)
  if (bounds === null) return
  const before = states.read(bounds) ?? NO_STATE
  const state: RowState = isLive
    ? { ...liveState(table, before, record, null), own: before.own }
    : { ...NO_STATE, version, agreed: 'deleted' }
  states.write(bounds, state)
  if (differs(readStanding(session, table, key, bounds))) states.addMark(bounds, heldAt ?? session.time)
  else states.removeMark(bounds)
}
