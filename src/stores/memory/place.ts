import { canonicalJson, type Fields } from '../../kernel/values.ts'
import type { MemoryFile } from './file.ts'
import type { MemoryTable } from './table.ts'
import { givesWay, type Displaced, type Target } from './target.ts'

export interface Put {
  readonly target: Target
  readonly row: Fields
}

export interface Placement {
  /** What cannot stand, and the rule. */
  readonly refused: ReadonlyMap<Target, string>
  /** Agreed rows outside the publication that had to leave the table. */
  readonly displaced: ReadonlyMap<string, Displaced>
}

/**
 * Puts rows into a table so that every unique value has one holder, whatever order they came in: all of them leave
 * first, so that they can change places. The table's parked records are among them, so that a row which stands only
 * until its parked record can is in nobody's way.
 *
 * Rows with local changes go first, for they stood before: those that keep their values, then those that change
 * them; then the agreed ones by key, so that the smaller key stands. A kept row that finds no place stays where it
 * was, and everything is tried again around it: each try leaves one row less, so it ends.
 */
export function placeRows(file: MemoryFile, table: MemoryTable, puts: readonly Put[]): Placement {
  const refused = new Map<Target, string>()
  for (const { target, row } of puts) {
    const reason = ownFault(table, target, row)
    if (reason !== null) refused.set(target, reason)
  }
  const keeps = puts.filter(({ target }) => target.kind === 'keep')
  const staying = keeps.filter((put) => keepsItsValues(table, put))
  const order = [
    ...staying,
    ...keeps.filter((put) => !staying.includes(put)),
    ...puts.filter(({ target }) => target.kind !== 'keep'),
  ]
  for (;;) {
    const savepoint = file.journal.writes
    const placement = tryPlace(table, order, refused)
    if ('refused' in placement) return placement
    file.journal.rollbackTo(savepoint)
    refused.set(placement.target, placement.reason)
  }
}

function tryPlace(
  table: MemoryTable,
  puts: readonly Put[],
  before: ReadonlyMap<Target, string>,
): Placement | { readonly target: Target; readonly reason: string } {
  const refused = new Map(before)
  const displaced = new Map<string, Displaced>()
  // Rows of this publication stand where they are put; what their old state says no longer counts.
  const standing = new Set<string>()
  const left = new Map<string, Fields>()
  for (const { target } of puts) {
    if (target.kind === 'keep' && refused.has(target)) {
      standing.add(target.key)
      continue
    }
    const row = table.rows.get(target.key)
    if (row !== undefined && target.kind === 'record') left.set(target.key, row)
    table.drop(target.key)
  }
  for (const { target, row } of puts) {
    if (refused.has(target)) continue
    const reason = putOver(table, target, row, { standing, displaced })
    if (reason === null) continue
    if (target.kind === 'keep') return { target, reason }
    refused.set(target, reason)
  }
  putBack(table, refused, left)
  return { refused, displaced }
}

/** True when a kept row holds the same unique values as the one that stands: it can be in nobody's way. */
function keepsItsValues(table: MemoryTable, { target, row }: Put): boolean {
  const now = table.rows.get(target.key)
  return now !== undefined && canonicalJson(table.claimsOf(now)) === canonicalJson(table.claimsOf(row))
}

/** Puts one row, over agreed rows that give way; answers why not. */
function putOver(
  table: MemoryTable,
  target: Target,
  row: Fields,
  { standing, displaced }: { readonly standing: Set<string>; readonly displaced: Map<string, Displaced> },
): string | null {
  const { key } = target
  const blockers = table.blockersOf(key, row)
  for (const [claim, blocker] of blockers) {
    const yields = isOfRecord(table, target, claim, row) && givesWay(table, blocker, key)
    if (standing.has(blocker) || !yields) {
      return `unique: another row holds its value in ${claim}`
    }
  }
  for (const [claim, blocker] of blockers) {
    const gone = table.rows.get(blocker)
    if (gone === undefined) continue
    displaced.set(blocker, { row: gone, reason: `unique: another row holds its value in ${claim}` })
    table.drop(blocker)
  }
  table.put(key, row)
  standing.add(key)
  return null
}

/** True when the cloud gave the row this unique value, not a local change of a kept row. */
function isOfRecord(table: MemoryTable, { kind, record }: Target, claim: string, row: Fields): boolean {
  if (kind !== 'keep') return true
  const fields = record?.fields
  return fields !== undefined && table.claimsOf(fields)[claim] === table.claimsOf(row)[claim]
}

/** Rows of before whose record is parked stay visible where nothing else took their values. */
function putBack(
  table: MemoryTable,
  refused: ReadonlyMap<Target, string>,
  left: ReadonlyMap<string, Fields>,
): void {
  for (const target of refused.keys()) {
    const row = left.get(target.key)
    if (row !== undefined && table.blockersOf(target.key, row).size === 0) table.put(target.key, row)
  }
}

function ownFault(table: MemoryTable, { key }: Target, row: Fields): string | null {
  const fault = table.faultOf(row)
  if (fault !== null) return `${fault.rule}: the column ${fault.column} does not take its value`
  return table.keyOf(row) === key ? null : 'key: its key columns make another key in this table'
}
