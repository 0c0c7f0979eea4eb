import type { Hlc } from '../../../../kernel/hlc.ts'
import { sameFields, sameValue, type Fields } from '../../../../kernel/values.ts'
import type { AcknowledgedRow, Acknowledgement } from '../../../../engine/store.ts'
import type { Change } from '../../../../protocol/records.ts'
import type { Bounds } from '../bind.ts'
import { calmRekeys } from '../dictionary.ts'
import { withhold } from '../holding.ts'
import type { Parked } from '../parking.ts'
import type { Session } from '../session.ts'
import { equalsImage, readStanding } from '../standing.ts'
import { NO_STATE, type RowState } from '../states.ts'
import type { SyncedTable } from '../synced-table.ts'

/** What rows were agreed to be before they were acknowledged, by table and key. */
export type Acknowledged = Map<string, Map<string, RowState>>

/**
 * Settles the mutation in flight. Answers the states of before: a `current` that cannot stand must not leave a row
 * that claims to know it. Also answers the latest time of what was pushed.
 */
export function acknowledge(
  session: Session,
  acknowledgement: Acknowledgement,
): { readonly before: Acknowledged; readonly floor: Hlc } {
  const { mutation, returned, rows } = acknowledgement
  session.mutations.settle(mutation, returned === true)
  const before: Acknowledged = new Map()
  const time = session.time
  const calm = new Set<number>()
  let floor = 0
  for (const { change, outcome } of rows) {
    floor = Math.max(floor, change.hlc)
    const table = session.table(change.table)
    const bounds = table?.bindKey(change.key) ?? null
    if (table === undefined || bounds === null) continue
    if (outcome.kind === 'ok') {
      const { version } = outcome
      const state = isPlainInsert(session, table, change)
        ? (agreeNew(session, table, bounds, change, version, time) ??
          agree(session, table, bounds, change, version, time))
        : agree(session, table, bounds, change, version, time)
      const states = before.get(table.name)
      if (change.base === 0) calm.add(table.number)
      if (states === undefined) before.set(table.name, new Map([[change.key, state]]))
      else states.set(change.key, state)
    } else if (outcome.kind === 'refused') refuse(session, table, bounds, change, outcome)
  }
  for (const number of calm) calmRekeys(session.connection, number)
  return { before, floor }
}

/** A row that the cloud did not have, of which nothing is parked and no column is unknown. */
function isPlainInsert(session: Session, table: SyncedTable, { base, op, was, fields }: Change): boolean {
  if (base !== 0 || op !== 'put' || was !== undefined || fields === undefined) return false
  return session.parking.isEmpty(table.number) && table.extraOf(table.own(fields)) === null
}

/** The first upload's rows, without a detour: null, with nothing done, where something is known of the row. */
function agreeNew(
  session: Session,
  table: SyncedTable,
  bounds: Bounds,
  { key, fields = {}, hlc }: Change,
  version: number,
  time: Hlc,
): RowState | null {
  const own = table.own(fields)
  const image = table.codec.encode(own)
  const live: RowState = { version, agreed: 'live', own: true, image, extra: null, was: null, unseen: false }
  if (!table.states.add(bounds, live)) return null
  session.quarantine.remove(table.number, key)
  session.waiting.remove(table.number, key)
  if (!isUnwritten(table, bounds, hlc))
    settleMark(
      table,
      bounds,
      { ...live, image: Uint8Array.from(table.codec.encode(own)) },
      Math.max(time, hlc),
    )
  return NO_STATE
}

/** The image becomes what was pushed, not what the row is now: an edit made meanwhile stays dirty. */
function agree(
  session: Session,
  table: SyncedTable,
  bounds: Bounds,
  change: Change,
  version: number,
  time: Hlc,
): RowState {
  const { key } = change
  const { number, states } = table
  const state = states.read(bounds) ?? NO_STATE
  const parked = session.parking.read(number, key)
  session.quarantine.remove(number, key)
  if (parked !== null && isOffer(parked, change)) {
    const record = { ...parked.record, version, hlc: change.hlc, by: session.meta.get('identity').replica }
    session.parking.write(number, key, { ...parked, record, was: null }, null)
    settleMark(table, bounds, state, Math.max(time, change.hlc))
    return state
  }
  // An inbox entry settled meanwhile may have agreed on a record that this push is part of.
  if (state.version > version) return state
  if (parked?.lost === true) noteLost(session, table, bounds, parked)
  session.parking.remove(number, key)
  session.waiting.remove(number, key)
  const agreed = { version, own: true, was: null, unseen: false }
  if (change.op === 'delete') {
    const deleted: RowState = { ...agreed, agreed: 'deleted', image: null, extra: null }
    states.write(bounds, deleted)
    if (!isUnwritten(table, bounds, change.hlc))
      settleMark(table, bounds, deleted, Math.max(time, change.hlc))
    return state
  }
  const fields = table.own(change.fields ?? {})
  const kept = state.agreed === 'live' && state.was === null ? state : NO_STATE
  const extra = { ...kept.extra, ...table.extraOf(fields) }
  const image = Uint8Array.from(table.codec.encode(fields, kept.image))
  const live: RowState = {
    ...agreed,
    agreed: 'live',
    image,
    extra: Object.keys(extra).length === 0 ? null : extra,
  }
  states.write(bounds, live)
  if (!isUnwritten(table, bounds, change.hlc)) settleMark(table, bounds, live, Math.max(time, change.hlc))
  return state
}

/** The parked record itself was pushed, offered again after a lost history. */
function isOffer({ record, was }: Parked, change: Change): boolean {
  const { fields } = record
  if (was === null || was !== change.was || fields === undefined || change.fields === undefined) return false
  return Object.keys(fields).every((name) => sameValue(fields[name], change.fields?.[name]))
}

function noteLost(session: Session, table: SyncedTable, bounds: Bounds, parked: Parked): void {
  session.note({
    kind: 'rejoined',
    table: table.name,
    key: parked.record.key,
    columns: [],
    local: table.rows.read(bounds),
    remote: parked.record,
    chosen: 'local',
    by: 'parked',
    reason: 'A row of the lost history could not stand and met another one.',
  })
}

/**
 * Takes the mark away where it is still the one that was sent: every write raises it, so that the row is as it was
 * then. A row may only go without its mark being raised where a table has to be swept for displaced rows.
 */
const isUnwritten = (table: SyncedTable, bounds: Bounds, at: Hlc): boolean =>
  !table.sweep && table.states.removeMarkOf(bounds, at)

/** A row that equals its image has no mark, a row that differs has one. */
function settleMark(table: SyncedTable, bounds: Bounds, { image }: RowState, at: Hlc): void {
  const fields = table.rows.read(bounds)
  const isEqual = image === null ? fields === null : fields !== null && equalsImage(table, fields, image)
  if (isEqual) table.states.removeMark(bounds)
  else table.states.addMark(bounds, at)
}

function refuse(
  session: Session,
  table: SyncedTable,
  bounds: Bounds,
  change: Change,
  { code, message }: Extract<AcknowledgedRow['outcome'], { readonly kind: 'refused' }>,
): void {
  const { key, op } = change
  session.quarantine.add(table.number, key, { op, code, message }, session.clock.now(), session.random)
  // Edited while in flight: what stands now was never refused.
  if (isAsPushed(session, table, bounds, change)) withhold(session, table, key, bounds, change.hlc)
}

function isAsPushed(
  session: Session,
  table: SyncedTable,
  bounds: Bounds,
  { op, key, fields }: Change,
): boolean {
  const { fields: row, state } = readStanding(session, table, key, bounds)
  if (row === null || op === 'delete' || fields === undefined) return row === null && op === 'delete'
  const isWhole = state.agreed !== 'live' || state.was !== null || state.image === null
  const changed = isWhole ? table.names : table.codec.changed(row, state.image ?? new Uint8Array(1))
  return sameFields(pick(row, changed), pick(table.own(fields), table.names))
}

function pick(fields: Fields, names: readonly string[]): Fields {
  return Object.fromEntries(
    names.filter((name) => fields[name] !== undefined).map((name) => [name, fields[name] ?? null]),
  )
}
