import type { Hlc } from '../../../../kernel/hlc.ts'
import { sameFields, sameValue, type Fields } from '../../../../kernel/values.ts'
import type { AcknowledgedRow, Acknowledgement } from '../../../../engine/store.ts'
import type { Change } from '../../../../protocol/records.ts'
import type { Bounds } from '../bind.ts'
import { calmRekeys } from '../dictionary.ts'
import { withhold } from '../holding.ts'
import type { Parked } from '../parking.ts'
import { addStates, PUSHED_ROWS, removeMarks, type PushedRow } from '../pushed-rows.ts'
import type { Session } from '../session.ts'
import { equalsImage, readStanding } from '../standing.ts'
import { NO_STATE, type RowState } from '../states.ts'
import type { SyncedTable } from '../synced-table.ts'

/** What rows were agreed to be before they were acknowledged, by table and key. */
export type Acknowledged = Map<string, Map<string, RowState>>

/**
 * Settles the mutation in flight. Answers the states of before: a `current` that cannot stand must not leave a row
 * that claims to know it; where the answer brought no `news`, of new rows none. Also answers the latest time of what
 * was pushed.
 */
export function acknowledge(
  session: Session,
  acknowledgement: Acknowledgement,
  news: boolean,
): { readonly before: Acknowledged; readonly floor: Hlc } {
  const { mutation, returned, rows } = acknowledgement
  session.mutations.settle(mutation, returned === true)
  const before: Acknowledged = new Map()
  const time = session.time
  const calm = new Set<number>()
  const keep = (table: SyncedTable, key: string, state: RowState): void => {
    const states = before.get(table.name)
    if (states === undefined) before.set(table.name, new Map([[key, state]]))
    else states.set(key, state)
  }
  const settle: Settle = (table, bounds, change, version) =>
    keep(table, change.key, agree(session, table, bounds, change, version, time))
  const inserts = new NewRows(session, time, settle)
  let floor = 0
  for (const { change, outcome } of rows) {
    floor = Math.max(floor, change.hlc)
    const table = session.table(change.table)
    const bounds = table?.bindKey(change.key) ?? null
    if (table === undefined || bounds === null) continue
    if (outcome.kind === 'ok') {
      const { version } = outcome
      if (change.base === 0) calm.add(table.number)
      if (isPlainInsert(session, table, change)) {
        if (news) keep(table, change.key, NO_STATE)
        inserts.add(table, bounds, change, version)
      } else settle(table, bounds, change, version)
    } else if (outcome.kind === 'refused') refuse(session, table, bounds, change, outcome)
  }
  inserts.end()
  for (const number of calm) calmRekeys(session.connection, number)
  return { before, floor }
}

/** A row that the cloud did not have, of which nothing is parked and no column is unknown. */
function isPlainInsert(session: Session, table: SyncedTable, { base, op, was, fields }: Change): boolean {
  if (base !== 0 || op !== 'put' || was !== undefined || fields === undefined) return false
  return session.parking.isEmpty(table.number) && table.extraOf(table.own(fields)) === null
}

type Settle = (table: SyncedTable, bounds: Bounds, change: Change, version: number) => void

interface NewRow extends PushedRow {
  readonly change: Change
}

/** The first upload's rows, without a detour, many in one statement. */
class NewRows {
  readonly #session: Session
  readonly #time: Hlc
  /** For a row of which something is known all the same. */
  readonly #settle: Settle
  #table: SyncedTable | null = null
  #rows: NewRow[] = []

  constructor(session: Session, time: Hlc, settle: Settle) {
    this.#session = session
    this.#time = time
    this.#settle = settle
  }

  add(table: SyncedTable, key: Bounds, change: Change, version: number): void {
    if (this.#table !== table) this.end()
    this.#table = table
    // The codec's own bytes are gone with the next row.
    const image = Buffer.from(table.codec.encode(table.own(change.fields ?? {})))
    this.#rows.push({ key, version, image, at: change.hlc, change })
    if (this.#rows.length === PUSHED_ROWS) this.end()
  }

  /** Writes what was added so far. */
  end(): void {
    const [table, rows] = [this.#table, this.#rows]
    if (table === null || rows.length === 0) return
    this.#rows = []
    const isWhole = rows.length === PUSHED_ROWS && rows.every(({ key }) => key.casts.length === 0)
    if (!isWhole || !addStates(table, rows)) {
      for (const row of rows) this.#addOne(table, row)
      return
    }
    // Which of them were written meanwhile is not known.
    const isUnsure = table.sweep || removeMarks(table, rows) < rows.length
    for (const row of rows) {
      this.#release(table, row)
      if (isUnsure) this.#settleMark(table, row)
    }
  }

  #addOne(table: SyncedTable, row: NewRow): void {
    const { key, version, image, at, change } = row
    const live: RowState = {
      version,
      agreed: 'live',
      own: true,
      image,
      extra: null,
      was: null,
      unseen: false,
    }
    if (!table.states.add(key, live)) return this.#settle(table, key, change, version)
    this.#release(table, row)
    if (!isUnwritten(table, key, at)) this.#settleMark(table, row)
  }

  /** Neither refused nor waiting any more. */
  #release({ number }: SyncedTable, { change: { key } }: NewRow): void {
    this.#session.quarantine.remove(number, key)
    this.#session.waiting.remove(number, key)
  }

  #settleMark(table: SyncedTable, { key, image, at }: NewRow): void {
    settleMark(table, key, image, Math.max(this.#time, at))
  }
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
    settleMark(table, bounds, state.image, Math.max(time, change.hlc))
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
    if (!isUnwritten(table, bounds, change.hlc)) settleMark(table, bounds, null, Math.max(time, change.hlc))
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
  if (!isUnwritten(table, bounds, change.hlc)) settleMark(table, bounds, image, Math.max(time, change.hlc))
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
function settleMark(table: SyncedTable, bounds: Bounds, image: RowState['image'], at: Hlc): void {
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
