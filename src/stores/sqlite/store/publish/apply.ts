import type { Fields } from '../../../../kernel/values.ts'
import type { WireRecord } from '../../../../protocol/records.ts'
import type { Bounds } from '../bind.ts'
import type { Session } from '../session.ts'
import { differs, hasNews, readStanding } from '../standing.ts'
import { NO_STATE, type RowState } from '../states.ts'
import type { SyncedTable } from '../synced-table.ts'
import { Unfit } from '../unfit.ts'
import { failureOf, Unmarked, type Failure } from './obstacle.ts'
import { placeRows, type Put } from './place.ts'
import { liveState, parkDisplaced, parkTarget, settleState } from './settle.ts'
import { rowAfter, touch, wholeRow, type Obstacle, type Outcome, type Target } from './target.ts'
import { checkKey, deleteRow, insertRow, writeRow, writing } from './write-row.ts'

/** A clean row's record: the common case, kept free of everything that others need. */
export interface CleanRecord {
  readonly record: WireRecord
  readonly bounds: Bounds
  /** Undefined where it was not read yet, and so not compared: rows are likely to be new, in a hydrate. */
  readonly state: RowState | undefined
}

/** What one table gets of a publication. */
export interface TableWork {
  readonly table: SyncedTable
  readonly clean: CleanRecord[]
  readonly targets: Target[]
  /** States of rows before this publication acknowledged them, by key. */
  readonly acknowledged: ReadonlyMap<string, RowState>
}

/**
 * Applies to one table, together with its parked records. Rows are written one by one where nothing is in the way;
 * what meets another row's unique value is placed afterwards, all of it together.
 */
export function applyToTable(session: Session, work: TableWork, poison: ReadonlySet<string>, outcome: Outcome): void {
  const { table, clean, targets } = work
  const held: Put[] = []
  const apply = new TableApply(session, work, poison, outcome, held)
  for (const target of targets) if (isDelete(target)) apply.target(target)
  for (const record of clean) if (record.record.deleted === true) apply.clean(record)
  for (const target of targets) if (!isDelete(target)) apply.target(target)
  for (const record of clean) if (record.record.deleted !== true) apply.clean(record)
  for (const target of retries(session, work)) {
    if (target.bounds !== null && !poison.has(target.key)) held.push({ target, bounds: target.bounds })
  }
  if (held.length === 0) return
  const { refused, displaced } = placeRows(session, table, held)
  const fresh = displaced.size === 0 ? null : freshRecords(work)
  for (const [key, { row, reason }] of displaced) {
    const record = fresh?.get(key) ?? null
    parkDisplaced(session, table, key, { row, record, reason })
    touch(outcome, table, key)
    if (record === null) continue
    outcome.applied--
    outcome.parked++
  }
  for (const { target } of held) apply.settle(target, refused.get(target))
}

/** What this publication has brought to each key. */
function freshRecords({ clean, targets }: TableWork): ReadonlyMap<string, WireRecord> {
  const records = new Map(clean.map(({ record }) => [record.key, record]))
  for (const { key, record, kind } of targets) if (record !== null && kind !== 'keep') records.set(key, record)
  return records
}

const isDelete = ({ kind, record, fields }: Target): boolean =>
  kind === 'keep' ? fields === null : record === null || record.deleted === true

class TableApply {
  readonly #session: Session
  readonly #table: SyncedTable
  readonly #work: TableWork
  readonly #poison: ReadonlySet<string>
  readonly #outcome: Outcome
  readonly #held: Put[]

  constructor(session: Session, work: TableWork, poison: ReadonlySet<string>, outcome: Outcome, held: Put[]) {
    this.#session = session
    this.#table = work.table
    this.#work = work
    this.#poison = poison
    this.#outcome = outcome
    this.#held = held
  }

  /** A record whose row has no local change. Its row and its state are written without a detour. */
  clean(clean: CleanRecord): void {
    const { record, bounds } = clean
    const { key } = record
    const failure = this.#attempt(key, () => {
      if (clean.state !== undefined || !this.#addNew(record, bounds)) this.#applyClean(clean)
    })
    if (failure === null) return
    this.#fail({ key, bounds, record, kind: 'record', fields: null, at: 0, fresh: true }, failure)
  }

  target(target: Target): void {
    const table = this.#table
    const { key, bounds } = target
    if (bounds === null) return this.settle(target, isDelete(target) ? undefined : NO_SUCH_KEY)
    const failure = this.#attempt(key, () => {
      const now = table.rows.read(bounds)
      const row = rowAfter(table, target, now)
      if (row !== null) writeRow(table, key, bounds, row, now)
      else if (now !== null) deleteRow(table, bounds)
    })
    if (failure === null) this.settle(target, undefined)
    else this.#fail(target, failure)
  }

  /** Writes what became of a target that stands, or that is refused. */
  settle(target: Target, obstacle: Obstacle | undefined): void {
    const acknowledged = this.#work.acknowledged.get(target.key)
    touch(this.#outcome, this.#table, target.key)
    if (obstacle === undefined) settleState(this.#session, this.#table, target)
    else {
      if (target.kind === 'take' && target.bounds !== null) this.#takeAway(target.key, target.bounds)
      parkTarget(this.#session, this.#table, target, obstacle, acknowledged)
    }
    if (!target.fresh) return
    if (obstacle === undefined) this.#outcome.applied++
    else this.#outcome.parked++
  }

  /** A row whose local change was given up leaves the table, even if what should follow it cannot stand. */
  #takeAway(key: string, bounds: Bounds): void {
    this.#attempt(key, () => deleteRow(this.#table, bounds))
  }

  #attempt(key: string, write: () => void): Failure | null {
    if (this.#poison.has(key)) return POISONED
    try {
      writing(this.#table, key, write)
      return null
    } catch (error) {
      const failure = failureOf(error)
      if (failure === null) throw error
      return failure
    }
  }

  #fail(target: Target, failure: Failure): void {
    // What stands under the key was never agreed on and never marked: nothing may be written over it (I1).
    if (failure.kind === 'key') throw new Unmarked(this.#table.name, target.key)
    if (failure.kind === 'unique' && target.bounds !== null) this.#held.push({ target, bounds: target.bounds })
    else this.settle(target, failure.obstacle)
  }

  /** Adds a row of which nothing is known; false when something is. */
  #addNew(record: WireRecord, bounds: Bounds): boolean {
    const table = this.#table
    if (record.deleted === true || record.fields === undefined) return false
    const fields = table.own(record.fields)
    if (!table.isWhole(fields) || !table.keepsValues(fields)) return false
    if (!table.states.add(bounds, liveState(table, NO_STATE, record, null))) return false
    try {
      insertRow(table, record.key, fields)
    } catch (error) {
      if (table.connection.inTransaction) table.states.write(bounds, NO_STATE)
      throw error
    }
    this.#outcome.applied++
    touch(this.#outcome, table, record.key)
    return true
  }

  #applyClean({ record, bounds, state: known }: CleanRecord): void {
    const table = this.#table
    const state = known ?? table.states.read(bounds) ?? NO_STATE
    if (known === undefined && record.version <= state.version && !tellsMore(table, record, state)) return
    if (record.deleted === true) {
      if (state.agreed === 'live') deleteRow(table, bounds)
      table.states.write(bounds, { ...NO_STATE, version: record.version, agreed: 'deleted' })
    } else {
      const fields = table.own(record.fields ?? {})
      if (state.image === null) insertRow(table, record.key, fields)
      else this.#change(record.key, bounds, fields, state.image)
      // Where a default or an affinity may have made it another row, it is read back.
      const stored = table.isWhole(fields) && table.keepsValues(fields) ? null : table.rows.read(bounds)
      table.states.write(bounds, liveState(table, state, record, stored))
    }
    this.#session.parking.remove(table.number, record.key)
    this.#outcome.applied++
    touch(this.#outcome, table, record.key)
  }

  /** Sets the columns that differ from the image. */
  #change(key: string, bounds: Bounds, fields: Fields, image: Uint8Array): void {
    const table = this.#table
    checkKey(table, key, fields)
    const names = table.codec.differing(image, table.codec.encode(fields))
    if (names.length === 0 || table.rows.update(bounds, wholeRow(table, fields), names)) return
    if (table.rows.read(bounds) !== null) throw new Unfit('a trigger of the application let it fall')
    insertRow(table, key, fields)
  }
}

/**
 * True when the very version that was agreed on tells of a column that has come back since: while it was gone,
 * nothing was kept of it.
 */
export function tellsMore(table: SyncedTable, record: WireRecord, { version, image }: RowState): boolean {
  if (record.version !== version || image === null || record.fields === undefined) return false
  const fields = table.own(record.fields)
  return table.codec.absent(image).some((name) => fields[name] !== undefined)
}

const POISONED: Failure = {
  kind: 'other',
  obstacle: { reason: 'a trigger of the application takes the whole transaction back', own: false },
}
const NO_SUCH_KEY: Obstacle = { reason: 'key: no row of this table can have the key', own: true }

/** Parked records that nothing local stands in the way of. */
function retries(session: Session, { table, clean, targets }: TableWork): readonly Target[] {
  const parked = session.parking.listTriable(table.number, table.shape.fingerprint)
  if (parked.length === 0) return []
  const taken = new Set([...clean.map(({ record }) => record.key), ...targets.map(({ key }) => key)])
  return parked.flatMap(({ key, record, was }): Target[] => {
    if (taken.has(key)) return []
    const row = readStanding(session, table, key)
    if (row.heldAt !== null || (row.markedAt !== null && (differs(row) || (was === null && hasNews(row))))) return []
    return [{ key, bounds: table.bindKey(key), record, kind: 'record', fields: null, at: 0, fresh: false }]
  })
}
