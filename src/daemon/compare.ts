import Database from 'better-sqlite3'

/** How many rows of a table differ between two files: type and value, bit for bit. */
export interface TableDifference {
  readonly table: string
  readonly rows: number
  readonly differing: number
}

/** Compares the named tables of two files, row by row in key order. Columns that only one file has count as differing. */
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
  const rowsOf = (database: Database.Database): Map<string, string> => {
    const rows = new Map<string, string>()
    const statement = database.prepare(`SELECT * FROM ${quoteName(name)}`).safeIntegers(true)
    for (const row of statement.iterate() as IterableIterator<{ readonly [column: string]: unknown }>) {
      rows.set(printRow(row, key), printRow(row, Object.keys(row).sort()))
    }
    return rows
  }
  const a = rowsOf(left)
  const b = rowsOf(right)
  let differing = 0
  for (const [id, text] of a) if (b.get(id) !== text) differing++
  for (const id of b.keys()) if (!a.has(id)) differing++
  return { rows: Math.max(a.size, b.size), differing }
}

/** A text that is the same only for the same types and values. */
function printRow(row: { readonly [column: string]: unknown }, columns: readonly string[]): string {
  return columns.map((column) => `${column}\u0001${printValue(row[column])}`).join('\u0002')
}

function printValue(value: unknown): string {
  if (typeof value === 'bigint') return `i${value}`
  if (typeof value === 'number') return Object.is(value, -0) ? 'r-0' : `r${value}`
  if (value instanceof Uint8Array) return `b${Buffer.from(value).toString('base64')}`
  return value === null ? 'n' : `t${String(value)}`
}

const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`
