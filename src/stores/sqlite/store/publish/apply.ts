import type { Fields } from '../../../../kernel/values.ts'
import type { WireRecord } from '../../../../protocol/records.ts'
import type { Bounds } from '../bind.ts'
import type { Session } from '../session.ts'
import { differs, hasNews, readStanding } from '../standing.ts'
import { NO_STATE, type RowState } from '../states.ts'
import type { SyncedTable } from '../synced-table.ts'
import { LetFall } from '../unfit.ts'
import { addMany } from './add-many.ts'
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
export function applyToTable(
  session: Session,
  work: TableWork,
  poison: ReadonlySet<string>,
  outcome: Outcome,
): void {
  const before = outcome.applied
  applyRows(session, work, poison, outcome)
  // What was counted may have been turned out again by another row of the table, never by one of another table.
  const applied = outcome.applied - before
  if (applied > 0) outcome.tables.set(work.table.name, applied)
}

function applyRows(session: Session, work: TableWork, poison: ReadonlySet<string>, outcome: Outcome): void {
  const { table, clean, targets } = work
  const held: Put[] = []
  const apply = new TableApply(session, work, poison, outcome, held)
  for (const target of targets) if (isDelete(target)) apply.target(target)
  for (const record of clean) if (record.record.deleted === true) apply.clean(record)
  // Rows with local changes first, for they stood before.
  for (const target of targets) if (!isDelete(target) && target.kind === 'keep') apply.target(target)
  for (const target of targets) if (!isDelete(target) && target.kind !== 'keep') apply.target(target)
  for (const record of apply.many(clean)) apply.clean(record)
  for (const target of retries(session, work)) {
    if (target.bounds !== null && !poison.has(target.key)) held.push({ target, bounds: target.bounds })
  }
  if (held.length === 0) return
  const surroundings = { standing: apply.standing, call: (key: string) => apply.call(key) }
  const { refused, displaced } = placeRows(session, table, held, surroundings)
  for (const [key, { row, reason }] of displaced) apply.displace(key, row, reason)
  for (const { target } of held) apply.settle(target, refused.get(target))
}

const isDelete = ({ kind, record, fields }: Target): boolean =>
  kind === 'keep' ? fields === null : record === null || record.deleted === true

interface Written {
  readonly record: WireRecord
  readonly row: Fields | null
  readonly state: RowState
}

class TableApply {
  readonly #session: Session
  readonly #table: SyncedTable
  readonly #work: TableWork
  readonly #poison: ReadonlySet<string>
  readonly #outcome: Outcome
  readonly #held: Put[]
  /** Kept rows that were written. */
  readonly standing = new Set<string>()
  /** Other rows that were written, and how they were before: another row's unique value may turn them out again. */
  readonly #written = new Map<string, Written>()

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

  /** Adds what is likely to be new, many at a time; answers the live records that are left. */
  many(clean: readonly CleanRecord[]): readonly CleanRecord[] {
    const live = clean.filter(({ record }) => record.deleted !== true)
    if (this.#poison.size > 0 || live.some(({ state }) => state !== undefined)) return live
    const { added, rest } = addMany(this.#session, this.#table, live)
    for (const { record } of added) this.#note(record, null, NO_STATE)
    return rest
  }

  target(target: Target): void {
    const table = this.#table
    const { key, bounds } = target
    if (bounds === null) return this.settle(target, isDelete(target) ? undefined : NO_SUCH_KEY)
    const state = table.states.read(bounds) ?? NO_STATE
    const failure = this.#attempt(key, () => {
      const now = table.rows.read(bounds)
      const row = rowAfter(table, target, now)
      if (row !== null) writeRow(table, key, bounds, row, now)
      else if (now !== null) deleteRow(table, bounds)
    })
    if (failure !== null) return this.#fail(target, failure)
    this.settle(target, undefined)
    if (target.kind === 'keep') this.standing.add(key)
    // A row that was taken does not come back: its local change was given up.
    else if (target.record !== null) this.#written.set(key, { record: target.record, row: null, state })
  }

  /** The put of a row that was written already and is in a kept row's way: it is placed anew. */
  call(key: string): Put | null {
    const table = this.#table
    const written = this.#written.get(key)
    const bounds = table.bindKey(key)
    if (written === undefined || bounds === null) return null
    const { record, row, state } = written
    this.#written.delete(key)
    this.#outcome.applied--
    writing(table, key, () => deleteRow(table, bounds))
    table.states.write(bounds, state)
    return {
      target: { key, bounds, record, kind: 'record', fields: null, at: 0, fresh: true },
      bounds,
      left: row ?? undefined,
    }
  }

  /** A row that had to leave the table for another: its record is parked, the row of before stays where it can. */
  displace(key: string, row: Fields, reason: string): void {
    const written = this.#written.get(key)
    const isParked = parkDisplaced(this.#session, this.#table, key, {
      row,
      record: written?.record ?? null,
      reason,
    })
    touch(this.#outcome, this.#table, key)
    if (written === undefined || !isParked) return
    this.#outcome.applied--
    this.#outcome.parked++
    const bounds = this.#table.bindKey(key)
    const { row: before, state } = written
    if (bounds === null || before === null) return
    const failure = this.#attempt(key, () => insertRow(this.#table, key, before))
    if (failure === null) this.#table.states.write(bounds, { ...state, was: null })
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
    if (failure.kind === 'unique' && target.bounds !== null)
      this.#held.push({ target, bounds: target.bounds })
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
    this.#note(record, null, NO_STATE)
    return true
  }

  #note(record: WireRecord, row: Fields | null, state: RowState): void {
    this.#outcome.applied++
    touch(this.#outcome, this.#table, record.key)
    if (this.#table.shape.unique.length > 0) this.#written.set(record.key, { record, row, state })
  }

  #applyClean({ record, bounds, state: known }: CleanRecord): void {
    const table = this.#table
    const state = known ?? table.states.read(bounds) ?? NO_STATE
    if (known === undefined && record.version <= state.version && !tellsMore(table, record, state)) return
    let before: Fields | null = null
    if (record.deleted === true) {
      if (state.agreed === 'live') deleteRow(table, bounds)
      table.states.write(bounds, { ...NO_STATE, version: record.version, agreed: 'deleted' })
    } else {
      const fields = table.own(record.fields ?? {})
      if (state.image !== null && table.shape.unique.length > 0) before = table.rows.read(bounds)
      if (state.image === null) insertRow(table, record.key, fields)
      else this.#change(record.key, bounds, fields, state.image)
      // Where a default or an affinity may have made it another row, it is read back.
      const stored = table.isWhole(fields) && table.keepsValues(fields) ? null : table.rows.read(bounds)
      table.states.write(bounds, liveState(table, state, record, stored))
    }
    this.#session.parking.remove(table.number, record.key)
    this.#note(record, before, state)
  }

  /** Sets the columns that differ from the image. */
  #change(key: string, bounds: Bounds, fields: Fields, image: Uint8Array): void {
    const table = this.#table
    checkKey(table, key, fields)
    const names = table.codec.differing(image, table.codec.encode(fields))
    if (names.length === 0 || table.rows.update(bounds, wholeRow(table, fields), names)) return
    if (table.rows.read(bounds) !== null) throw new LetFall()
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
    if (row.heldAt !== null || (row.markedAt !== null && (differs(row) || (was === null && hasNews(row)))))
      return []
    return [{ key, bounds: table.bindKey(key), record, kind: 'record', fields: null, at: 0, fresh: false }]
  })
}
