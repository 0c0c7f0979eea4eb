import type { Encoded, Fields } from '../../kernel/values.ts'
import type { SchemaForeignKey } from '../../protocol/schema.ts'
import type { MemoryFile } from './file.ts'
import type { MemoryTable } from './table.ts'

/** A foreign key with its two tables. */
export interface Reference {
  readonly child: MemoryTable
  readonly parent: MemoryTable
  readonly foreignKey: SchemaForeignKey
  /** Columns of the parent, in the order of `foreignKey.columns`. */
  readonly references: readonly string[]
}

/** The foreign keys of a table whose parent tables exist. */
export function referencesOf(file: MemoryFile, child: MemoryTable): readonly Reference[] {
  return child.schema.foreignKeys.flatMap((foreignKey) => {
    const parent = findTable(file, foreignKey.table)
    if (parent === undefined) return []
    const references = foreignKey.references.length > 0 ? foreignKey.references : parent.schema.key
    return references.length === foreignKey.columns.length ? [{ child, parent, foreignKey, references }] : []
  })
}

/** The foreign keys of all tables that point to this one. */
export function referencesTo(file: MemoryFile, parent: MemoryTable): readonly Reference[] {
  return [...file.tables.keys()]
    .sort()
    .flatMap((name) => referencesOf(file, file.tables.get(name) as MemoryTable))
    .filter((reference) => reference.parent === parent)
}

/** SQLite's names of tables know no case. */
function findTable(file: MemoryFile, name: string): MemoryTable | undefined {
  const exact = file.tables.get(name)
  if (exact !== undefined) return exact
  const lower = name.toLowerCase()
  for (const [known, table] of file.tables.entries()) if (known.toLowerCase() === lower) return table
  return undefined
}

/** What a child points to, as the parent's columns compare it; null when it points to nothing. */
export function targetOf({ parent, foreignKey, references }: Reference, child: Fields): string | null {
  return parent.textOf(references, valuesOf(foreignKey.columns, child))
}

/** What children would point to in order to mean this parent; null when none can. */
export function anchorOf({ parent, references }: Reference, row: Fields): string | null {
  return parent.textOf(references, valuesOf(references, row))
}

/** True when a child points nowhere. */
export function isDangling(reference: Reference, child: Fields): boolean {
  const target = targetOf(reference, child)
  if (target === null) return false
  const { parent, references } = reference
  const { key } = parent.schema
  if (references.length === key.length && references.every((name, at) => name === key[at]))
    return !parent.rows.has(target)
  for (const [, row] of parent.rows.entries()) if (anchorOf(reference, row) === target) return false
  return true
}

/** Keys of the children that point to this anchor. */
export function childrenOf(reference: Reference, anchor: string | null): readonly string[] {
  if (anchor === null) return []
  return [...reference.child.rows.entries()]
    .filter(([, row]) => targetOf(reference, row) === anchor)
    .map(([key]) => key)
}

function valuesOf(columns: readonly string[], row: Fields): readonly Encoded[] {
  return columns.map((name) => row[name] ?? null)
}
