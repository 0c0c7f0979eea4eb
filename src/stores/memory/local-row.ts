import { sameFields, sameValue, type Encoded, type Fields } from '../../kernel/values.ts'
import type { Claims } from '../../protocol/records.ts'
import type { LocalRow } from '../../engine/store.ts'
import { rowId, type MemoryFile } from './file.ts'
import type { RowState } from './row-state.ts'
import type { MemoryTable } from './table.ts'

/** Columns of a row that differ from its agreed image; a column that the image lacks counts as its default. */
export function differingColumns(table: MemoryTable, row: Fields, image: Fields): readonly string[] {
  return table.columns.filter(
    (name) => !sameValue(row[name], Object.hasOwn(image, name) ? image[name] : table.defaults[name]),
  )
}

/** True when the row is not what was agreed, marked or not. */
export function differs(table: MemoryTable, key: string): boolean {
  const row = table.rows.get(key)
  const state = table.state(key)
  if (state.agreed !== 'live') return row !== undefined
  return row === undefined || differingColumns(table, row, state.image).length > 0
}

/** True when the row is agreed with the cloud as it is: nothing here is unsent. */
export function isAgreed(table: MemoryTable, key: string): boolean {
  const { agreed, heldAt, met, was } = table.state(key)
  return agreed === 'live' && heldAt === null && met === 0 && was === null && !differs(table, key)
}

/** True when a marked row has to be sent: it differs, met what it does not know, or is offered again. */
export function hasNews(table: MemoryTable, key: string): boolean {
  const { was, met, parked } = table.state(key)
  return was !== null || met > 0 || (parked !== null && parked.was !== null) || differs(table, key)
}

/** Marked, and with news; while a mutation is in flight only its answer tells whether there is news. */
export function isDirty(file: MemoryFile, table: MemoryTable, key: string): boolean {
  return table.marks.has(key) && (file.replica.inFlight !== null || hasNews(table, key))
}

export function isHeld(file: MemoryFile, table: MemoryTable, key: string): boolean {
  return table.state(key).heldAt !== null && !isDirty(file, table, key)
}

/** Removes a mark whose row equals its image. Nothing waits in such a row either. */
export function dropIdleMark(file: MemoryFile, table: MemoryTable, key: string): void {
  if (!table.marks.has(key) || isDirty(file, table, key)) return
  table.marks.delete(key)
  file.quarantine.delete(rowId({ table: table.name, key }))
  const state = table.state(key)
  if (state.heldAt !== null) table.setState(key, { ...state, heldAt: null })
}

/** True when what is offered at this key is its parked record, not the table's row. */
function offersParked(table: MemoryTable, key: string, state: RowState): boolean {
  return state.parked !== null && state.parked.was !== null && !differs(table, key)
}

/** The row where it stands between the replica and the cloud. */
export function readLocalRow(file: MemoryFile, table: MemoryTable, key: string): LocalRow {
  const state = table.state(key)
  const dirty = isDirty(file, table, key)
  const held = isHeld(file, table, key)
  const at = dirty ? (table.marks.get(key) ?? 0) : held ? (state.heldAt ?? 0) : 0
  const place = { table: table.name, key, dirty, held, at }
  if (offersParked(table, key, state) && state.parked !== null) {
    const { record, was } = state.parked
    const fields = { ...table.defaults, ...record.fields }
    const changed = Object.keys(fields)
    const claims = claimsTouched(table, fields, null)
    return { ...place, fields, base: record.version, agreed: 'live', changed, claims, was }
  }
  const fields = table.rows.get(key) ?? null
  const { version: base, agreed, was } = state
  if (fields === null) return { ...place, fields, base, agreed, changed: [], claims: {}, was }
  if (agreed !== 'live' || was !== null) {
    // Whole rows carry what newer replicas know of them, or it would be lost with the row the cloud has not.
    const whole = { ...extrasOf(table, state.image), ...fields }
    const claims = claimsTouched(table, fields, null)
    return { ...place, fields: whole, base, agreed, changed: Object.keys(whole), claims, was }
  }
  const changed = differingColumns(table, fields, state.image)
  const claims = claimsTouched(table, fields, changed)
  return { ...place, fields, base, agreed, changed, claims, was }
}

/** The fields among these that the table has no columns for. */
export function extrasOf(table: MemoryTable, fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !table.columns.includes(name)))
}

/** The unique values of the indexes that have one of these columns; null: of all indexes. */
function claimsTouched(table: MemoryTable, fields: Fields, columns: readonly string[] | null): Claims {
  const all = table.claimsOf(fields)
  if (columns === null) return all
  const touched = table.schema.unique.filter(({ terms }) =>
    terms.some(({ column }) => column !== undefined && columns.includes(column)),
  )
  return Object.fromEntries(touched.map(({ claim }) => [claim, all[claim] ?? null]))
}

/** True when two readings of a row are of the same row: what a merge was decided on still holds. */
export function isSameReading(a: LocalRow, b: LocalRow): boolean {
  if (a.base !== b.base || a.agreed !== b.agreed || a.dirty !== b.dirty || a.held !== b.held) return false
  if (a.at !== b.at || a.was !== b.was) return false
  if (a.fields === null || b.fields === null) return a.fields === b.fields
  return sameFields(a.fields, b.fields)
}

/** The row of a table that these fields make: unknown columns left out, missing ones from `before` or the default. */
export function rowOf(table: MemoryTable, fields: Fields, before: Fields | undefined): Fields {
  const row: { [column: string]: Encoded } = {}
  for (const name of table.columns) {
    const source = [fields, before, table.defaults].find(
      (from) => from !== undefined && Object.hasOwn(from, name),
    )
    row[name] = source?.[name] ?? null
  }
  return row
}
