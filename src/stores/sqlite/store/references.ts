import { quoteName } from '../driver/driver.ts'
import type { ShapeForeignKey } from '../shape/shape.ts'
import type { Session } from './session.ts'
import type { SyncedTable } from './synced-table.ts'

/** A declared foreign key between two synced tables. */
export interface Reference {
  readonly child: SyncedTable
  readonly parent: SyncedTable
  readonly foreignKey: ShapeForeignKey
  /** Columns of the parent, in the order of `foreignKey.columns`. */
  readonly references: readonly string[]
}

/** The foreign keys of a table whose parent tables are synced. */
export function referencesOf(session: Session, child: SyncedTable): readonly Reference[] {
  return child.shape.foreignKeys.flatMap((foreignKey) => {
    const parent = findTable(session, foreignKey.table)
    if (parent === undefined) return []
    const references =
      foreignKey.references.length > 0
        ? foreignKey.references.map((name) => spelled(parent, name))
        : parent.keyNames
    const columns = foreignKey.columns.map((name) => spelled(child, name))
    if (references.length !== columns.length) return []
    return [{ child, parent, foreignKey: { ...foreignKey, columns }, references }]
  })
}

/** The foreign keys of all tables that point to this one. */
export function referencesTo(session: Session, parent: SyncedTable): readonly Reference[] {
  return session.tables
    .flatMap((child) => referencesOf(session, child))
    .filter((reference) => reference.parent === parent)
}

/** SQLite's names know no case. */
function findTable(session: Session, name: string): SyncedTable | undefined {
  const lower = name.toLowerCase()
  return session.table(name) ?? session.tables.find((table) => table.name.toLowerCase() === lower)
}

function spelled(table: SyncedTable, name: string): string {
  const lower = name.toLowerCase()
  return table.shape.columns.find((column) => column.name.toLowerCase() === lower)?.name ?? name
}

/** The condition that a child `c` points to the parent `p`, compared as the parent's columns compare. */
export function pointsTo({ foreignKey, references, parent }: Reference, child: string, of: string): string {
  return references
    .map((name, at) => {
      const collation = parent.shape.columns.find((column) => column.name === name)?.collation ?? 'BINARY'
      return `${of}.${quoteName(name)} = ${child}.${quoteName(foreignKey.columns[at] ?? '')} COLLATE ${quoteName(collation)}`
    })
    .join(' AND ')
}

/** A foreign key of a table that is not synced. */
export interface UnsyncedReference {
  readonly name: string
  readonly columns: readonly string[]
  readonly references: readonly string[]
}

export function unsyncedReferences(session: Session, parent: SyncedTable): readonly UnsyncedReference[] {
  const rows = session.connection
    .prepare(
      `SELECT t.name, f.id, f."from", f."to" FROM main.sqlite_schema t, pragma_foreign_key_list(t.name) f
      WHERE t.type = 'table' AND lower(f."table") = lower(?) ORDER BY t.name, f.id, f.seq`,
    )
    .all(parent.name)
  const found = new Map<
    string,
    { readonly name: string; readonly columns: string[]; readonly references: string[] }
  >()
  for (const [name, id, from, to] of rows) {
    if (session.table(String(name)) !== undefined) continue
    const known = found.get(`${String(name)}\0${String(id)}`) ?? {
      name: String(name),
      columns: [],
      references: [],
    }
    const reference = to == null ? parent.keyNames[known.columns.length] : spelled(parent, String(to))
    known.columns.push(String(from))
    known.references.push(reference ?? '')
    found.set(`${String(name)}\0${String(id)}`, known)
  }
  return [...found.values()]
}
