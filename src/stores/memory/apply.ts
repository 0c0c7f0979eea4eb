import { sameValue, type Fields } from '../../kernel/values.ts'
import type { WireRecord } from '../../protocol/records.ts'
import { rowId, type MemoryFile } from './file.ts'
import { differs, extrasOf, hasNews, rowOf } from './local-row.ts'
import { placeRows } from './place.ts'
import { UNKNOWN, type RowState } from './row-state.ts'
import type { MemoryTable } from './table.ts'
import type { Displaced, Target } from './target.ts'

export interface Applied {
  readonly applied: number
  readonly parked: number
  /** Keys of rows that may have been written or deleted. */
  readonly touched: readonly string[]
}

/**
 * Applies rows to one table, together with its parked records. `acknowledged` has the states of before for rows that
 * the same publication acknowledged, by `rowId`.
 */
export function applyTargets(
  file: MemoryFile,
  table: MemoryTable,
  fresh: readonly Target[],
  acknowledged: ReadonlyMap<string, RowState>,
): Applied {
  const taken = new Set(fresh.map(({ key }) => key))
  const targets = [...fresh, ...retries(table, taken)].sort((a, b) => (a.key < b.key ? -1 : 1))
  const puts = targets.flatMap((target) => {
    const row = rowAfter(table, target)
    return row === null ? [] : [{ target, row }]
  })
  for (const target of targets) if (rowAfter(table, target) === null) table.drop(target.key)
  const { refused, displaced } = placeRows(file, table, puts)
  for (const [key, reason] of displaced) parkDisplaced(table, key, reason)
  let applied = 0
  let parked = 0
  for (const target of targets) {
    const reason = refused.get(target)
    const before = acknowledged.get(rowId({ table: table.name, key: target.key }))
    if (reason === undefined) settleState(table, target)
    else parkTarget(table, target, reason, before)
    if (!target.fresh) continue
    if (reason === undefined) applied++
    else parked++
  }
  return { applied, parked, touched: [...targets.map(({ key }) => key), ...displaced.keys()] }
}

/** Parked records that nothing local stands in the way of by key. */
function retries(table: MemoryTable, taken: ReadonlySet<string>): readonly Target[] {
  return [...table.parked.keys()].flatMap((key) => {
    const { parked, heldAt } = table.state(key)
    if (parked === null || taken.has(key) || heldAt !== null) return []
    if (table.marks.has(key) && (differs(table, key) || (parked.was === null && hasNews(table, key))))
      return []
    return [{ key, record: parked.record, kind: 'record', fields: null, at: 0, fresh: false } as const]
  })
}

function rowAfter(table: MemoryTable, { key, kind, record, fields }: Target): Fields | null {
  if (kind === 'keep') return fields === null ? null : rowOf(table, fields, table.rows.get(key))
  if (record === null || record.deleted === true) return null
  return rowOf(table, record.fields ?? {}, undefined)
}

/** What is agreed on once the row stands. */
function settleState(table: MemoryTable, target: Target): void {
  const { key, record, kind, at } = target
  const before = table.state(key)
  const image = keptExtras(table, before, target)
  if (record === null) table.setState(key, { ...UNKNOWN, image })
  else if (before.parked !== null && before.parked.was !== null && before.parked.record === record) {
    // A parked record of a lost history that can stand now: an offered row from here on.
    table.setState(key, { ...liveState(table, before, record), was: before.parked.was })
    return
  } else if (record.deleted === true) {
    const { version, hlc, by } = record
    table.setState(key, { ...UNKNOWN, version, hlc, by, agreed: 'deleted', image })
  } else table.setState(key, liveState(table, before, record))
  if (kind !== 'keep' || !differs(table, key)) table.marks.delete(key)
  else table.marks.set(key, at)
}

/** A row that stays although the cloud has it no longer is sent whole: with what newer replicas know of it. */
const keptExtras = (table: MemoryTable, { image }: RowState, { kind, fields }: Target): Fields =>
  kind === 'keep' && fields !== null ? extrasOf(table, { ...image, ...fields }) : {}

function liveState(table: MemoryTable, before: RowState, record: WireRecord): RowState {
  const { version, hlc, by, fields: image = {} } = record
  const own =
    before.own && table.schema.foreignKeys.every(({ columns }) => sameIn(columns, before.image, image))
  return { ...UNKNOWN, version, hlc, by, agreed: 'live', image, own }
}

const sameIn = (columns: readonly string[], a: Fields, b: Fields): boolean =>
  columns.every((name) => sameValue(a[name], b[name]))

/** The record is kept apart; the row of before stays agreed at what was really seen of it. */
function parkTarget(
  table: MemoryTable,
  target: Target,
  reason: string,
  acknowledged: RowState | undefined,
): void {
  const { key, record, kind, at } = target
  const now = table.state(key)
  const state = acknowledged === undefined ? now : seenState(now, acknowledged)
  if (record === null || record.deleted === true) {
    // A kept row that cannot be as decided: it stays as it was, and dirty.
    table.marks.set(key, at)
    return
  }
  const parked =
    now.parked?.record === record ? { ...now.parked, reason } : { record, reason, was: null, lost: false }
  if (kind === 'keep') {
    // An offer stays one: only the cloud's answer says what of the lost history it has (I2).
    table.setState(key, { ...state, heldAt: null, met: 0, parked })
    if (state.was !== null || differs(table, key)) table.marks.set(key, at)
    else table.marks.delete(key)
    return
  }
  const stands = table.rows.has(key)
  // An offered delete says what it was offered from, not what this history has: the record may be older than that.
  const knows = state.agreed === 'deleted' ? state.was === null : stands && state.agreed === 'live'
  const agreed = knows ? state : UNKNOWN
  table.setState(key, { ...agreed, heldAt: null, met: 0, was: null, parked })
  if (parked.was === null) table.marks.delete(key)
}

/** The acknowledged fields at the version of before: what others wrote up to the new one is not in the row. */
function seenState(now: RowState, before: RowState): RowState {
  return before.agreed === 'live' && before.was === null
    ? { ...now, version: before.version }
    : { ...before, parked: null }
}

/** An agreed row that gave way: its own values are the record. */
function parkDisplaced(table: MemoryTable, key: string, { row, reason }: Displaced): void {
  const state = table.state(key)
  const { version, hlc, by } = state
  const fields = { ...state.image, ...row }
  const record = { table: table.name, key, version, hlc, by, fields }
  table.setState(key, { ...UNKNOWN, parked: { record, reason, was: null, lost: false } })
  table.marks.delete(key)
}
