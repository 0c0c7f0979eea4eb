import { isOwnName } from '../capture/names.ts'
import { quoteName, type Connection, type SqlRow } from '../driver/driver.ts'
import { SqliteFailure } from '../driver/failure.ts'
import { standInFor, type StandIn, type Step } from './stand-in.ts'

/** What one of the application's triggers writes by itself, triggers that it sets off apart. */
export interface TriggerEffect {
  readonly name: string
  /** The table or view it stands on. */
  readonly table: string
  readonly sql: string
  /** Tables it writes, sorted. */
  readonly writes: readonly string[]
  /** It writes a virtual table, such as a full-text index. */
  readonly writesVirtual: boolean
  /**
   * - `synced`: it writes synced tables only. Their rows come from the cloud, so it must not run on apply.
   * - `unsynced`: it writes other tables only. It runs on apply, or a full-text index goes corrupt.
   * - `mixed`: both. On apply `standIn` takes its place; where there is none, it does not run, and attach says so.
   * - `none`: it writes nothing.
   * - `unknown`: it does not compile on this connection.
   */
  readonly kind: 'synced' | 'unsynced' | 'mixed' | 'none' | 'unknown'
  /** What stands in its place on apply. Null: nothing, or it may run itself. */
  readonly standIn: StandIn | null
}

const TRIGGERS = `SELECT t.name, t.tbl_name, t.sql, o.type FROM main.sqlite_master AS t
  JOIN main.sqlite_master AS o ON o.name = t.tbl_name COLLATE NOCASE AND o.type IN ('table', 'view')
  WHERE t.type = 'trigger' ORDER BY t.rowid`
const ROOTS = `SELECT rootpage, tbl_name FROM main.sqlite_master WHERE rootpage > 0`

/**
 * Reads from EXPLAIN what every trigger of the file writes, those on tables that are not synced and on views
 * too: a trigger that feeds one of these may set off another that writes a synced table.
 */
export function readTriggerEffects(
  connection: Connection,
  synced: ReadonlySet<string>,
): readonly TriggerEffect[] {
  const triggers = connection
    .prepare(TRIGGERS)
    .all()
    .filter(([name]) => !isOwnName(String(name)))
  if (triggers.length === 0) return []
  const programs = readPrograms(connection, new Set(triggers.map((row) => String(row[1]))))
  const isSynced = (table: string): boolean => synced.has(table)
  return triggers.map((row) => {
    const [name, table, sql] = [String(row[0]), String(row[1]), String(row[2])]
    const steps = programs.get(name)
    const writes = [...new Set(steps?.flatMap((step) => [...step.writes]))].sort()
    const writesVirtual = steps?.some(({ virtual }) => virtual) ?? false
    const kind = steps === undefined ? 'unknown' : kindOf(writes, writesVirtual, synced)
    const isOff = kind === 'synced' || kind === 'mixed'
    const standIn = isOff ? standInFor(sql, steps ?? [], isSynced) : null
    return { name, table, sql, writes, writesVirtual, kind, standIn }
  })
}

/** How many statements a trigger of this table runs; 0 when the statement that sets it off does not compile. */
export const countSteps = (connection: Connection, table: string, name: string): number =>
  readPrograms(connection, [table]).get(name)?.length ?? 0

/** What each statement does of every trigger that statements on these tables set off, by the trigger's name. */
function readPrograms(
  connection: Connection,
  tables: Iterable<string>,
): ReadonlyMap<string, readonly Step[]> {
  const roots = new Map(
    connection
      .prepare(ROOTS)
      .all()
      .map(([root, table]) => [Number(root), String(table)]),
  )
  const programs = new Map<string, Step[]>()
  for (const table of tables) {
    for (const sql of firingStatements(connection, table)) explainInto(programs, connection, sql, roots)
  }
  return programs
}

function kindOf(
  writes: readonly string[],
  virtual: boolean,
  synced: ReadonlySet<string>,
): TriggerEffect['kind'] {
  const inside = writes.filter((table) => synced.has(table)).length
  const outside = writes.length - inside + (virtual ? 1 : 0)
  if (inside > 0) return outside > 0 ? 'mixed' : 'synced'
  return outside > 0 ? 'unsynced' : 'none'
}

/** One statement for each event, such that every trigger of the table fires. */
function firingStatements(connection: Connection, table: string): readonly string[] {
  const name = quoteName(table)
  const columns = connection
    .prepare("SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0")
    .all(table)
  const names = columns.map(([column]) => quoteName(String(column)))
  return [
    `INSERT INTO ${name} (${names.join(', ')}) VALUES (${names.map(() => 'NULL').join(', ')})`,
    `UPDATE ${name} SET ${names.map((column) => `${column} = NULL`).join(', ')}`,
    `DELETE FROM ${name}`,
  ]
}

/** What `Trace` has where it says which statement of a trigger follows. */
const STATEMENT = 0x7fffffffn

/**
 * A listing is the main program and then every trigger's, each from address 0 and with its name at the start. Before
 * each statement of a trigger stands its text.
 */
function explainInto(
  programs: Map<string, Step[]>,
  connection: Connection,
  sql: string,
  roots: ReadonlyMap<number, string>,
): void {
  let steps: Step[] | null = null
  for (const [address, opcode, p1, p2, p3, p4] of explain(connection, sql)) {
    if (address === 0n) {
      const name = /^-- TRIGGER (.*)$/s.exec(String(p4))?.[1]
      steps = name === undefined ? null : []
      if (name !== undefined && steps !== null) programs.set(name, steps)
    }
    if (steps === null) continue
    if (opcode === 'Trace' && p1 === STATEMENT) steps.push(newStep(String(p4).replace(/^-- /, '')))
    const root = opcode === 'OpenWrite' && p3 === 0n ? p2 : opcode === 'Clear' && p2 === 0n ? p1 : null
    const table = root === null ? undefined : roots.get(Number(root))
    if (table !== undefined && !isOwnName(table)) lastOf(steps).writes.add(table)
    if (opcode === 'VUpdate') lastOf(steps).virtual = true
  }
}

const newStep = (text: string | null): Step => ({ text, writes: new Set(), virtual: false })

/** The step that an instruction belongs to: all are one where the library was built without the texts. */
function lastOf(steps: Step[]): Step {
  if (steps.length === 0) steps.push(newStep(null))
  return steps.at(-1) as Step
}

/** Nothing for a statement that does not compile: a view without a trigger for it, a function that is absent. */
function explain(connection: Connection, sql: string): readonly SqlRow[] {
  try {
    return connection.prepare(`EXPLAIN ${sql}`).all()
  } catch (error) {
    if (error instanceof SqliteFailure) return []
    throw error
  }
}
