import type { Fields } from '../../../../kernel/values.ts'
import type { WireRecord } from '../../../../protocol/records.ts'
import type { Bounds } from '../bind.ts'
import type { Session } from '../session.ts'
import { equalsImage, readStanding } from '../standing.ts'
import { NO_STATE, type RowState } from '../states.ts'
import type { SyncedTable } from '../synced-table.ts'
import type { Obstacle, Target } from './target.ts'

/**
 * The state that agrees on a live record. The image is valid until the next one is encoded. `stored`: the row as
 * it was read back, where the table does not store what the record says.
 */
export function liveState(
  table: SyncedTable,
  before: RowState,
  record: WireRecord,
  stored: Fields | null,
): RowState {
  const fields = table.own(record.fields ?? {})
  const image = table.codec.encode(stored ?? fields)
  return {
    version: record.version,
    agreed: 'live',
    own: before.own && before.image !== null && keepsReferences(table, before.image, image),
    image,
    extra: table.extraOf(fields),
    was: null,
    unseen: false,
  }
}

/** References that this replica wrote stay its own until the cloud changes them. */
function keepsReferences(table: SyncedTable, before: Uint8Array, after: Uint8Array): boolean {
  const changed = table.codec.differing(before, after)
  return !table.shape.foreignKeys.some(({ columns }) => columns.some((name) => changed.includes(name)))
}

/** What is agreed on once the row stands. */
export function settleState(session: Session, table: SyncedTable, target: Target): void {
  const { key, bounds, record, kind, at } = target
  const { number, states } = table
  const parked = session.parking.read(number, key)
  session.parking.remove(number, key)
  session.waiting.remove(number, key)
  if (bounds === null) return
  const before = states.read(bounds) ?? NO_STATE
  const isOffered = !target.fresh && parked !== null && parked.was !== null
  if (record === null || record.deleted === true) {
    const agreed = record === null ? 'none' : 'deleted'
    states.write(bounds, {
      ...NO_STATE,
      version: record?.version ?? 0,
      agreed,
      extra: keptExtra(table, before, target),
    })
  } else {
    const unseen = !target.fresh && parked?.unseen === true
    const state = { ...liveState(table, before, record, storedRow(table, target)), unseen }
    // A parked record of a lost history that can stand now: an offered row from here on.
    states.write(bounds, isOffered ? { ...state, was: parked.was } : state)
  }
  if (isOffered) return
  const stays = kind === 'keep' && rowDiffers(table, bounds)
  states.removeMark(bounds)
  if (stays) states.addMark(bounds, at)
}

/** A row that stays although the cloud has it no longer is sent whole: with what newer replicas know of it. */
function keptExtra(table: SyncedTable, before: RowState, { kind, fields }: Target): Fields | null {
  if (kind !== 'keep' || fields === null) return null
  const extra = { ...before.extra, ...table.extraOf(table.own(fields)) }
  return Object.keys(extra).length === 0 ? null : extra
}

/** The row as it stands, where affinity or a default made it differ from what was written; else null. */
function storedRow(table: SyncedTable, { bounds, record, kind }: Target): Fields | null {
  const fields = table.own(record?.fields ?? {})
  if (kind === 'keep' || bounds === null || (table.isWhole(fields) && table.keepsValues(fields))) return null
  return table.rows.read(bounds)
}

function rowDiffers(table: SyncedTable, bounds: Bounds): boolean {
  const state = table.states.read(bounds)
  const fields = table.rows.read(bounds)
  if (state === null || state.image === null) return fields !== null
  return fields === null || !equalsImage(table, fields, state.image)
}

/**
 * The record is kept apart; the row of before stays agreed at what was really seen of it. `acknowledged`: its state
 * before this publication acknowledged it.
 */
export function parkTarget(
  session: Session,
  table: SyncedTable,
  target: Target,
  obstacle: Obstacle,
  acknowledged: RowState | undefined,
): void {
  const { key, bounds, record, kind, at } = target
  const { number, states } = table
  if (record === null || record.deleted === true) {
    // A kept row that cannot be as decided: it stays as it was, and dirty.
    if (bounds !== null) remark(table, bounds, at)
    return
  }
  const { reason, own } = obstacle
  const rule = own ? table.shape.fingerprint : null
  const known = target.fresh ? null : session.parking.read(number, key)
  if (known === null)
    session.parking.write(number, key, { record, reason, was: null, lost: false, unseen: false }, rule)
  else session.parking.keep(number, key, reason, rule)
  session.waiting.remove(number, key)
  if (bounds === null) return
  const now = states.read(bounds) ?? NO_STATE
  const state = acknowledged === undefined ? now : seenState(now, acknowledged)
  if (kind === 'keep') {
    // An offer stays one: only the cloud's answer says what of the lost history it has (I2).
    if (state !== now) states.write(bounds, state)
    states.removeMark(bounds)
    if (state.was !== null || rowDiffers(table, bounds)) states.addMark(bounds, at)
    return
  }
  // An offered delete says what it was offered from, not what this history has: the record may be older than that.
  const stands =
    state.agreed === 'deleted'
      ? state.was === null
      : state.agreed === 'live' && table.rows.read(bounds) !== null
  // A write of the state would say that the cloud still has the row, to a hydrate that sweeps.
  if (!stands || state !== now || state.was !== null)
    states.write(bounds, stands ? { ...state, was: null } : NO_STATE)
  if (known === null || known.was === null) states.removeMark(bounds)
}

function remark(table: SyncedTable, bounds: Bounds, at: number): void {
  table.states.removeMark(bounds)
  table.states.addMark(bounds, at)
}

/** The acknowledged fields at the version of before: what others wrote up to the new one is not in the row. */
function seenState(now: RowState, before: RowState): RowState {
  return before.agreed === 'live' && before.was === null ? { ...now, version: before.version } : before
}

/** A row that gave way, and the record it is of; null: its own values are the record, as they were agreed. */
export interface Displaced {
  readonly row: Fields
  readonly record: WireRecord | null
  readonly reason: string
}

/** False when a newer record of the row is parked already. */
export function parkDisplaced(
  session: Session,
  table: SyncedTable,
  key: string,
  displaced: Displaced,
): boolean {
  const bounds = table.bindKey(key)
  if (bounds === null) return false
  const { state, parked } = readStanding(session, table, key, bounds)
  table.states.write(bounds, NO_STATE)
  if (parked !== null) return false
  const { version, extra, unseen } = state
  const by = session.meta.get('identity').replica
  const own = { table: table.name, key, version, hlc: 0, by, fields: { ...extra, ...displaced.row } }
  const record = displaced.record ?? own
  session.parking.write(
    table.number,
    key,
    { record, reason: displaced.reason, was: null, lost: false, unseen },
    null,
  )
  table.states.removeMark(bounds)
  return true
}
