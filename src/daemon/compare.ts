import Database from 'better-sqlite3'

/** How many rows of a table differ between two files: type and value, bit for bit. */
export interface TableDifference {
  readonly table: string
  readonly rows: number
  readonly differing: number
}

/**
 * Compares the named tables of two files, row by row in key order, without rows that have NULL in the key: those are
 * not synced. Columns that only one file has count as differing.
 */
export function compareFiles(
  one: string,
  other: string,
  tables: readonly { readonly name: string; readonly key: readonly string[] }[],
): readonly TableDifference[] {
  const left = new Database(one, { readonly: true })
  const right = new Database(other, { readonly: true })
  try {
    return tables.map((table) => ({ table: table.name, ...compareTable(left, right, table) }))
  } finally {
    left.close()
    right.close()
  }
}

function compareTable(
  left: Database.Database,
  right: Database.Database,
  { name, key }: { readonly name: string; readonly key: readonly string[] },
): { readonly rows: number; readonly differing: number } {
  const columns = columnsOf(left, name)
  const rows = Number(
    left
      .prepare(`SELECT count(*) FROM ${quoteName(name)} WHERE ${hasKey(key)}`)
      .pluck()
      .get(),
  )
  const sameColumns = columns.join('\u0001') === columnsOf(right, name).join('\u0001')
  if (sameColumns && isSameInStep(left, right, name, columns, key)) return { rows, differing: 0 }
  const a = rowsByKey(left, name, key)
  const b = rowsByKey(right, name, key)
  let differing = 0
  for (const [id, text] of a) if (b.get(id) !== text) differing++
  for (const id of b.keys()) if (!a.has(id)) differing++
  return { rows: Math.max(a.size, b.size), differing }
}

const columnsOf = (database: Database.Database, table: string): readonly string[] =>
  database
    .prepare(`SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY name`)
    .pluck()
    .all(table) as string[]

/** The usual case, cheap: both files have the same rows in the same order of keys. */
function isSameInStep(
  left: Database.Database,
  right: Database.Database,
  table: string,
  columns: readonly string[],
  key: readonly string[],
): boolean {
  const sql = `SELECT ${columns.map(quoteName).join(', ')} FROM ${quoteName(table)} WHERE ${hasKey(key)} ORDER BY ${key.map(quoteName).join(', ')}`
  const rowsOf = (database: Database.Database) =>
    database.prepare(sql).raw().safeIntegers(true).iterate() as IterableIterator<readonly unknown[]>
  const others = rowsOf(right)
  try {
    for (const row of rowsOf(left)) {
      const other = others.next()
      if (other.done === true || !row.every((value, at) => isSame(value, other.value[at]))) return false
    }
    return others.next().done === true
  } finally {
    others.return?.()
  }
}

function isSame(a: unknown, b: unknown): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0
  return Object.is(a, b)
}

function rowsByKey(database: Database.Database, table: string, key: readonly string[]): Map<string, string> {
  const rows = new Map<string, string>()
  const statement = database
    .prepare(`SELECT * FROM ${quoteName(table)} WHERE ${hasKey(key)}`)
    .safeIntegers(true)
  for (const row of statement.iterate() as IterableIterator<{ readonly [column: string]: unknown }>) {
    rows.set(printRow(row, key), printRow(row, Object.keys(row).sort()))
  }
  return rows
}

/** A text that is the same only for the same types and values. */
function printRow(row: { readonly [column: string]: unknown }, columns: readonly string[]): string {
  return columns.map((column) => `${column}\u0001${printValue(row[column])}`).join('\u0002')
}

function printValue(value: unknown): string {
  if (typeof value === 'bigint') return `i${value}`
  if (typeof value === 'number') return Object.is(value, -0) ? 'r-0' : `r${value}`
  if (value instanceof Uint8Array) return `b${Buffer.from(value).toString('base64')}`
  return value === null ? 'n' : `t${value as string}`
}

const hasKey = (key: readonly string[]): string =>
  key.map((name) => `${quoteName(name)} IS NOT NULL`).join(' AND ')

const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`
