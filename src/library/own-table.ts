import { PREFIX } from '../stores/sqlite/capture/names.ts'
import { quoteName, type Connection } from '../stores/sqlite/driver/driver.ts'

/**
 * A table that the library keeps in the application's file, beside the store's. Its name has the prefix, so that it
 * is never synced and goes with `tidemark detach`.
 *
 * Files live longer than versions of the library, and an older version may come back to one: so a column, once
 * released, keeps its name and meaning; a new one is added at the end, and means something when it is null. A version
 * adds the columns that a file lacks when it first writes, reads them as null before that, and leaves alone those that
 * it does not know. What cannot be told in that way is another table.
 */
export interface OwnTable {
  readonly name: string
  /** Name → type. Rows are numbered by `sequence` beside them, the newest highest. */
  readonly columns: { readonly [name: string]: 'INTEGER' | 'REAL' | 'TEXT' }
  /** What is unique, as `(columns) WHERE condition`. */
  readonly unique?: string
}

export const ownTableName = (name: string): string => `${PREFIX}${name}`

/** Makes the table, or adds the columns that it lacks. Only SQL of SQLite 3.24, for other programs read the schema too. */
export function ensureTable(connection: Connection, { name, columns, unique }: OwnTable): void {
  const found = readColumns(connection, name)
  const definitions = Object.entries(columns).map(([column, type]) => `${quoteName(column)} ${type}`)
  if (found.size === 0) {
    connection.exec(
      `CREATE TABLE ${quoteName(name)} ("sequence" INTEGER PRIMARY KEY, ${definitions.join(', ')})`,
    )
  }
  for (const [at, column] of Object.keys(columns).entries()) {
    if (found.size > 0 && !found.has(column))
      connection.exec(`ALTER TABLE ${quoteName(name)} ADD COLUMN ${String(definitions[at])}`)
  }
  if (unique !== undefined)
    connection.exec(
      `CREATE UNIQUE INDEX IF NOT EXISTS ${quoteName(`${name}_unique`)} ON ${quoteName(name)} ${unique}`,
    )
}

/**
 * `SELECT` of `sequence` and every column, as far as the file has them. Null when it has no such table: reading makes
 * none.
 */
export function selectFrom(connection: Connection, { name, columns }: OwnTable): string | null {
  const found = readColumns(connection, name)
  if (found.size === 0) return null
  const list = Object.keys(columns).map((column) =>
    found.has(column) ? quoteName(column) : `NULL AS ${quoteName(column)}`,
  )
  return `SELECT "sequence", ${list.join(', ')} FROM main.${quoteName(name)}`
}

/** Names in any order; none when there is no such table. */
function readColumns(connection: Connection, name: string): ReadonlySet<string> {
  const rows = connection.prepare(`SELECT name FROM pragma_table_info(?, 'main')`).all(name)
  return new Set(rows.map(([column]) => String(column)))
}
