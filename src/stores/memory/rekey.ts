import type { Hlc } from '../../kernel/hlc.ts'
import { encodeInt, sameValue, type Encoded, type Fields } from '../../kernel/values.ts'
import { rowId, type MemoryFile } from './file.ts'
import { anchorOf, childrenOf, referencesTo, type Reference } from './foreign-keys.ts'
import { differingColumns } from './local-row.ts'
import { UNKNOWN } from './row-state.ts'
import { integerOf } from './storage-class.ts'
import type { MemoryTable } from './table.ts'

/** What re-keying did to rows that the same publication may be about. */
export interface Follows {
  /** Rows that went to another key, by the `rowId` they had: what arrives there meets no local row. */
  readonly movedAway: Set<string>
  /** References that followed, by `rowId`: a record that still has the old value must not bring it back. */
  readonly changed: Map<string, { readonly from: Fields; readonly to: Fields }[]>
}

export const createFollows = (): Follows => ({ movedAway: new Set(), changed: new Map() })

/** Gives fresh integer keys of one table, none of which any row, image or record here has. */
export function createFreshIds(table: MemoryTable, taken: Iterable<string>): () => Encoded {
  let largest = table.largest.get()
  const see = (key: string): void => {
    const [value] = JSON.parse(key) as readonly Encoded[]
    const id = integerOf(value)
    if (id !== null && id > largest) largest = id
  }
  for (const key of table.stateKeys()) see(key)
  for (const key of taken) see(key)
  return () => encodeInt(++largest)
}

/** Moves a row to a fresh integer key, and every reference to it that this replica wrote. Answers the new row. */
export function rekeyRow(
  file: MemoryFile,
  table: MemoryTable,
  key: string,
  options: { readonly freshId: () => Encoded; readonly at: Hlc; readonly follows: Follows },
): Fields | null {
  const [name] = table.schema.key
  const row = table.rows.get(key)
  if (row === undefined || name === undefined) return null
  const next = { ...row, [name]: options.freshId() }
  moveRow(file, table, key, next, options)
  return next
}

/** Writes a row in the place of the one at `key`, perhaps at another key, and lets references follow. */
function moveRow(
  file: MemoryFile,
  table: MemoryTable,
  key: string,
  next: Fields,
  options: { readonly at: Hlc; readonly follows: Follows },
): void {
  const row = table.rows.get(key)
  const nextKey = table.keyOf(next)
  // A row that stands there already is none of ours; the reference stays, and is noted if it points nowhere.
  if (row === undefined || nextKey === null || (nextKey !== key && table.rows.has(nextKey))) return
  const children = referencesTo(file, table).flatMap((reference) => ownChildren(reference, row, next))
  table.drop(key)
  table.put(nextKey, next)
  if (nextKey !== key) leaveKey(file, table, key, options)
  if (!table.marks.has(nextKey) || nextKey !== key) table.marks.set(nextKey, options.at)
  for (const { reference, childKey } of children) {
    const { child, foreignKey, references } = reference
    const at = child === table && childKey === key ? nextKey : childKey
    const before = child.rows.get(at)
    if (before === undefined) continue
    const to = Object.fromEntries(
      foreignKey.columns.map((name, place) => [name, next[references[place] ?? ''] ?? null]),
    )
    const from = Object.fromEntries(foreignKey.columns.map((name) => [name, before[name] ?? null]))
    const id = rowId({ table: child.name, key: at })
    options.follows.changed.set(id, [...(options.follows.changed.get(id) ?? []), { from, to }])
    moveRow(file, child, at, { ...before, ...to }, options)
  }
}

/** The key that a row left: a delete where the cloud knows the row, nothing where it does not. */
function leaveKey(
  file: MemoryFile,
  table: MemoryTable,
  key: string,
  { at, follows }: { readonly at: Hlc; readonly follows: Follows },
): void {
  const id = rowId({ table: table.name, key })
  follows.movedAway.add(id)
  // The refused change goes on under the other key.
  file.quarantine.delete(id)
  const state = table.state(key)
  if (state.agreed === 'live') table.marks.set(key, table.marks.get(key) ?? at)
  else table.marks.delete(key)
  if (state.heldAt !== null) table.setState(key, { ...state, heldAt: null })
}

/** Children whose reference this replica wrote: unsent, or acknowledged from here. The cloud's mean the cloud's row. */
function ownChildren(
  reference: Reference,
  row: Fields,
  next: Fields,
): readonly { readonly reference: Reference; readonly childKey: string }[] {
  const anchor = anchorOf(reference, row)
  if (anchor === null || anchor === anchorOf(reference, next)) return []
  const { child, foreignKey } = reference
  return childrenOf(reference, anchor)
    .filter((childKey) => {
      const { agreed, own, image } = child.state(childKey)
      if (agreed !== 'live' || own) return true
      const changed = differingColumns(child, child.rows.get(childKey) ?? {}, image)
      return foreignKey.columns.some((name) => changed.includes(name))
    })
    .map((childKey) => ({ reference, childKey }))
}

/** The fields of a record or of a merge, with the references that followed in the meantime. */
export function followFields(follows: Follows, id: string, fields: Fields): Fields {
  let followed = fields
  for (const { from, to } of follows.changed.get(id) ?? []) {
    if (Object.keys(from).every((name) => sameValue(from[name], followed[name])))
      followed = { ...followed, ...to }
  }
  return followed
}

/** The state of a key whose row moved: what arrives there is applied as to a row that is not here. */
export function forgetLocal(table: MemoryTable, key: string): void {
  table.marks.delete(key)
  const { parked } = table.state(key)
  table.setState(key, { ...UNKNOWN, parked })
}
