import { quoteName, type Connection } from '../driver/driver.ts'
import { isOwnName, TABLES_TABLE } from './names.ts'

/** What stands in the file now. */
export interface Installed {
  /** Table name → number. */
  readonly numbers: ReadonlyMap<string, number>
  readonly triggers: readonly InstalledTrigger[]
  /** Our triggers on a table, whichever number they bear. */
  triggersOn(table: string): readonly InstalledTrigger[]
  /** Text of one of our tables or triggers; null when it is not there. */
  sqlOf(name: string): string | null
  /** Index → its place in the schema table. */
  readonly indexRows: ReadonlyMap<string, number>
  /** Place in the schema table of the application's youngest trigger on a table; 0 when it has none. */
  youngestOther(table: string): number
}

export interface InstalledTrigger {
  readonly name: string
  readonly row: number
}

const OBJECTS =
  "SELECT rowid, type, name, tbl_name, sql FROM sqlite_master WHERE type IN ('table', 'trigger', 'index')"

export function readInstalled(connection: Connection): Installed {
  const numbers = connection.prepare(`SELECT "name", "number" FROM ${quoteName(TABLES_TABLE)}`).all()
  const texts = new Map<string, string>()
  const own = new Map<string, InstalledTrigger[]>()
  const others = new Map<string, number>()
  const indexRows = new Map<string, number>()
  for (const [row, type, name, table, sql] of connection.prepare(OBJECTS).all()) {
    const on = String(table).toLowerCase()
    if (isOwnName(String(name))) texts.set(String(name), String(sql))
    if (type === 'index') indexRows.set(String(name), Number(row))
    if (type !== 'trigger') continue
    if (!isOwnName(String(name))) others.set(on, Math.max(others.get(on) ?? 0, Number(row)))
    else own.set(on, [...(own.get(on) ?? []), { name: String(name), row: Number(row) }])
  }
  return {
    numbers: new Map(numbers.map(([name, number]) => [String(name), Number(number)])),
    triggers: [...own.values()].flat(),
    triggersOn: (table) => own.get(table.toLowerCase()) ?? [],
    indexRows,
    sqlOf: (name) => texts.get(name) ?? null,
    youngestOther: (table) => others.get(table.toLowerCase()) ?? 0,
  }
}
