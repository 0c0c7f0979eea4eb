import { quoteName, transact, tryStatement, type Connection } from '../driver/driver.ts'
import type { Shape } from '../shape/shape.ts'
import { hasFlag, makeFlag, numbering } from './flag.ts'
import { readInstalled, type Installed } from './installed.ts'
import { recordedJournal, restoreJournal } from './journal.ts'
import { CLOCK_SQL } from './marks.ts'
import { keyColumn, PREFIX, TABLES_TABLE, triggerName } from './names.ts'
import { expectedObjects, type ExpectedObjects } from './objects.ts'
import { HINT } from './displaced.ts'
import { withRoom } from './room.ts'

export { listCaptured, raiseFloor, setApplying, takeSweeps } from './flag.ts'
export { switchToWal } from './journal.ts'

export interface CaptureOptions {
  /** SQL for milliseconds since 1970. The simulation owns time and gives its own. */
  readonly clock?: string
  /** Called for every table that is installed, when its number is known: for tables that are made beside it. */
  readonly beside?: (shape: Shape, number: number) => void
}

const clockOf = ({ clock }: CaptureOptions): string => (clock === undefined ? CLOCK_SQL : `(${clock}) * 1000`)

export type CaptureState =
  /** As `installCapture` would leave it. */
  | 'whole'
  /** Works as it should, but a hint in it is out of date (after VACUUM): rewriting it needs no comparison. */
  | 'stale'
  /** Triggers or the mark table are missing or altered: writes may have been missed. */
  | 'broken'
  /** The table was never captured. */
  | 'absent'

export interface CaptureOutcome {
  /** N of `_tidemark_m_N`; 0 when there is none. */
  readonly number: number
  readonly name: string
  /** What was found before. `broken`, and `absent` of a table with rows: compare the whole table. */
  readonly found: CaptureState
  /**
   * Some rows may be displaced without a mark: whoever reads the marks compares the agreed keys with the table
   * first, where `takeSweeps` says so.
   */
  readonly sweep: boolean
}

/**
 * Marks and triggers for every shape that has none or altered ones; nothing for whole ones. One transaction.
 * Marks that are there stay, so that a repair forgets nothing. Throws, with nothing done, when a table's triggers
 * cannot be compiled here.
 */
export function installCapture(
  connection: Connection,
  shapes: Iterable<Shape>,
  options: CaptureOptions = {},
): readonly CaptureOutcome[] {
  const wanted = [...shapes]
  return withRoom(connection, wanted.length, () => installAll(connection, wanted, options))
}

function installAll(
  connection: Connection,
  wanted: readonly Shape[],
  options: CaptureOptions,
): readonly CaptureOutcome[] {
  return transact(connection, 'immediate', () => {
    const found = verifyCapture(connection, wanted, options)
    makeFlag(connection)
    const installed = readInstalled(connection)
    const numberOf = numbering(connection)
    const tables = wanted.map((shape, at) => ({ shape, outcome: found[at] }))
    // All the tables first: SQLite reads its whole schema for every object it makes, and triggers make that long.
    const made = tables.map(({ shape, outcome }) => {
      if (outcome?.found === 'whole') return null
      const number = numberOf(shape.name)
      const expected = expectedObjects(connection, installed, shape, number, clockOf(options))
      makeTables(connection, installed, shape, expected)
      options.beside?.(shape, number)
      return { number, expected }
    })
    return tables.map(({ shape, outcome }, at): CaptureOutcome => {
      const table = made[at] ?? null
      if (table === null) return outcome as CaptureOutcome
      const { number, expected } = table
      for (const trigger of expected.triggers) connection.exec(trigger.sql)
      tryWrites(connection, shape)
      return { number, name: shape.name, found: outcome?.found ?? 'absent', sweep: expected.sweep }
    })
  })
}

/** Our triggers must never make a write fail: they are compiled here, with the table's own. */
function tryWrites(connection: Connection, shape: Shape): void {
  const table = quoteName(shape.name)
  const columns = shape.columns
    .filter((column) => column.generated === null)
    .map((column) => quoteName(column.name))
  tryStatement(
    connection,
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
  )
  tryStatement(connection, `UPDATE ${table} SET ${columns.map((column) => `${column} = ?`).join(', ')}`)
  tryStatement(connection, `DELETE FROM ${table}`)
}

/** The tables of one table's capture; the triggers that stood there go. */
function makeTables(
  connection: Connection,
  installed: Installed,
  shape: Shape,
  expected: ExpectedObjects,
): void {
  const old = [...installed.triggersOn(shape.name), ...expected.triggers].filter(
    ({ name }) => installed.sqlOf(name) !== null,
  )
  for (const { name } of old) connection.exec(`DROP TRIGGER IF EXISTS ${quoteName(name)}`)
  for (const table of expected.tables) {
    if (installed.sqlOf(table.name) === table.sql) continue
    if (installed.sqlOf(table.name) === null) connection.exec(table.sql)
    else if (table.keep === null) connection.exec(`DROP TABLE ${quoteName(table.name)}; ${table.sql}`)
    else keepRows(connection, table, table.keep, shape.rowidAlias)
  }
  for (const name of expected.unwanted) connection.exec(`DROP TABLE IF EXISTS ${quoteName(name)}`)
}

/** The key changed its type or collation: the marks go over that can be keys now, unless it has other columns. */
function keepRows(
  connection: Connection,
  { name, sql }: { readonly name: string; readonly sql: string },
  columns: readonly string[],
  numbersOnly: boolean,
): void {
  const [table, aside] = [quoteName(name), quoteName(`${PREFIX}aside`)]
  connection.exec(`DROP TABLE IF EXISTS ${aside}; CREATE TABLE ${aside} AS SELECT * FROM ${table}`)
  connection.exec(`DROP TABLE ${table}; ${sql}`)
  if (connection.prepare(`SELECT * FROM ${aside}`).columns.join() === columns.join()) {
    const list = columns.map(quoteName).join(', ')
    const where = numbersOnly ? ` WHERE typeof("${keyColumn(0)}") = 'integer'` : ''
    connection.exec(`INSERT OR IGNORE INTO ${table} (${list}) SELECT ${list} FROM ${aside}${where}`)
  }
  connection.exec(`DROP TABLE ${aside}`)
}

/** Compares what stands in the file with what should, without writing. */
export function verifyCapture(
  connection: Connection,
  shapes: Iterable<Shape>,
  options: CaptureOptions = {},
): readonly CaptureOutcome[] {
  if (!hasFlag(connection)) {
    return [...shapes].map(({ name }) => ({ number: 0, name, found: 'absent', sweep: false }))
  }
  const installed = readInstalled(connection)
  return [...shapes].map((shape): CaptureOutcome => {
    const number = installed.numbers.get(shape.name)
    if (number === undefined) return { number: 0, name: shape.name, found: 'absent', sweep: false }
    const expected = expectedObjects(connection, installed, shape, number, clockOf(options))
    return { number, name: shape.name, found: stateOf(installed, shape, expected), sweep: expected.sweep }
  })
}

function stateOf(installed: Installed, shape: Shape, expected: ExpectedObjects): CaptureState {
  const own = installed.triggersOn(shape.name)
  if (expected.tables.some((table) => installed.sqlOf(table.name) !== table.sql)) return 'broken'
  if (own.length !== expected.triggers.length) return 'broken'
  const rough = (sql: string | null): string | undefined => sql?.replace(HINT, '')
  if (expected.triggers.some(({ name, sql }) => rough(installed.sqlOf(name)) !== rough(sql))) return 'broken'
  // SQLite fires the youngest trigger first, and one of the application's could end the statement before ours.
  if (installed.youngestOther(shape.name) > Math.min(...own.map((trigger) => trigger.row))) return 'broken'
  return expected.triggers.every(({ name, sql }) => installed.sqlOf(name) === sql) ? 'whole' : 'stale'
}

/** Stops capture of one table: triggers, marks and number go. */
export function dropCapture(connection: Connection, table: string): void {
  transact(connection, 'immediate', () => {
    if (!hasFlag(connection)) return
    const installed = readInstalled(connection)
    const number = installed.numbers.get(table)
    if (number === undefined) return
    const ours = (name: string): boolean => name.startsWith(triggerName(number, 'i').slice(0, -1))
    for (const { name } of installed.triggers)
      if (ours(name)) connection.exec(`DROP TRIGGER ${quoteName(name)}`)
    for (const kind of ['m', 'p'])
      connection.exec(`DROP TABLE IF EXISTS ${quoteName(`${PREFIX}${kind}_${number}`)}`)
    connection.prepare(`DELETE FROM ${quoteName(TABLES_TABLE)} WHERE "number" = ?`).run(BigInt(number))
  })
}

/**
 * Takes everything whose name begins with `_tidemark_` out of the file and puts the journal mode back. The
 * schema table then holds what it held before. False when another connection keeps the file in WAL.
 */
export function removeCapture(connection: Connection): boolean {
  const journal = hasFlag(connection) ? recordedJournal(connection) : null
  transact(connection, 'immediate', () => {
    // Triggers first: a table they write to cannot be missing while a statement that fires them is compiled.
    for (const type of ['trigger', 'view', 'index', 'table']) {
      const named = connection
        .prepare(
          `SELECT name FROM sqlite_master WHERE type = ? AND sql IS NOT NULL AND substr(lower(name), 1, ?) = ?`,
        )
        .all(type, BigInt(PREFIX.length), PREFIX)
      for (const [name] of named) connection.exec(`DROP ${type} IF EXISTS ${quoteName(String(name))}`)
    }
  })
  return journal === null || restoreJournal(connection, journal)
}
