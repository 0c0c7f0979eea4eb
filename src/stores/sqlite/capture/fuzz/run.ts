import { readShapes } from '../../shape/read.ts'
import type { Shape } from '../../shape/shape.ts'
import type { Connection, Driver } from '../../driver/driver.ts'
import { SqliteFailure } from '../../driver/failure.ts'
import { quoteName } from '../../driver/driver.ts'
import { installCapture, verifyCapture } from '../capture.ts'
import { markTable } from '../names.ts'
import type { FuzzCase } from './case.ts'
import { featuresOf, type Feature } from './features.ts'
import { missedKeys, unraisedKeys, type Moment } from './check.ts'
import { LIST_TABLES, marksSql, OTHERS_SQL, rowsSql, STANDING_SQL, SWEEPS_SQL } from './snapshot.ts'

/** What went wrong, at which step; null when nothing did. */
export interface Failure {
  readonly step: number
  /** The application saw something else than without capture; or a row changed unseen. */
  readonly kind: 'differs' | 'missed'
  readonly what: string
}

/** What a run met, so that a fuzzer which tests nothing is noticed. */
export interface Tally {
  writes: number
  refusedWrites: number
  changedRows: number
  excused: number
  sweeps: number
  repairs: number
  /** Cases in which triggers that do nothing make the same difference. */
  known: number
  /** How often each was met. */
  readonly features: Map<Feature, number>
}

export const newTally = (): Tally => ({
  writes: 0,
  refusedWrites: 0,
  changedRows: 0,
  excused: 0,
  sweeps: 0,
  repairs: 0,
  known: 0,
  features: new Map(),
})

/**
 * Runs the case twice, with capture and without, and compares after every step. SQLite goes other ways as soon as
 * a table has any trigger at all: rows of an UPDATE in another order, types looked at before NOT NULL, bugs that
 * show only on one of the two ways. So where the two differ, the comparison is made again with a file whose
 * triggers stand where ours do and do nothing; what is the same there is not ours.
 */
export function runCase(driver: Driver, fuzzCase: FuzzCase, tally: Tally): Failure | null {
  const failure = runOnce(driver, fuzzCase, tally, false)
  if (failure === null || failure.kind === 'missed') return failure
  const again = runOnce(driver, fuzzCase, newTally(), true)
  if (again === null) tally.known++
  return again
}

function runOnce(driver: Driver, fuzzCase: FuzzCase, tally: Tally, dummies: boolean): Failure | null {
  const captured = driver.open(':memory:')
  const plain = driver.open(':memory:')
  try {
    return compareRuns(captured, plain, fuzzCase, tally, dummies)
  } finally {
    captured.close()
    plain.close()
  }
}

/**
 * Triggers in `plain` where ours stand in `captured`, which could write and do not. Could, because SQLite before
 * 3.54 keeps no journal of a statement in which it sees nothing that may fail half-way, and forgets a value that is
 * no row number: `INSERT OR REPLACE … VALUES (0), (x'')` then leaves its first row behind inside a transaction. With
 * capture the statement is undone whole, as it should be.
 */
export function makeDummies(captured: Connection, plain: Connection): void {
  const own =
    "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE '\\_tidemark\\_%' ESCAPE '\\' ORDER BY rowid"
  for (const [name] of plain.prepare(own).all()) plain.exec(`DROP TRIGGER ${quoteName(String(name))}`)
  plain.exec('CREATE TABLE IF NOT EXISTS _tidemark_dummy (a PRIMARY KEY, b)')
  for (const [, sql] of captured.prepare(own).all())
    plain.exec(`${String(sql).split(' BEGIN ')[0]} BEGIN ${DUMMY} END`)
}

const DUMMY =
  'INSERT INTO _tidemark_dummy SELECT 1, 1 WHERE 0 ON CONFLICT (a) DO UPDATE SET b = max(b + 1, excluded.b);'

export const TOO_DEEP = /too many levels|nested too deep/

/** Our own statements on the application's connection leave no trace in `changes()`. */
const EVEN = 'CREATE TEMP TABLE even (a); INSERT INTO even VALUES (1); DROP TABLE even'

interface Captured {
  readonly shapes: ReadonlyMap<string, Shape>
  readonly numbers: ReadonlyMap<string, number>
}

function compareRuns(
  captured: Connection,
  plain: Connection,
  fuzzCase: FuzzCase,
  tally: Tally,
  dummies: boolean,
): Failure | null {
  for (const sql of [...fuzzCase.pragmas, ...fuzzCase.setup]) {
    const [a, b] = [attempt(captured, sql), attempt(plain, sql)]
    if (a !== b) return { step: -1, kind: 'differs', what: `setup is not deterministic: ${sql}` }
  }
  let capture = install(captured)
  if (dummies) makeDummies(captured, plain)
  for (const connection of [captured, plain]) connection.exec(EVEN)
  let base = readMoment(captured, capture)
  let before = base
  for (const [step, { kind, sql }] of fuzzCase.steps.entries()) {
    if (kind === 'repair') {
      tally.repairs++
      capture = install(captured)
      clearMarks(captured, capture)
      if (dummies) makeDummies(captured, plain)
      for (const connection of [captured, plain]) connection.exec(EVEN)
      base = before = readMoment(captured, capture)
      continue
    }
    const open = captured.inTransaction
    const [a, b] = [attempt(captured, sql), attempt(plain, sql)]
    if (kind === 'write') tally.writes++
    if (kind === 'write' && a !== 'done') tally.refusedWrites++
    // Our triggers are one level more, and what OR FAIL leaves of a thousand levels is nobody's.
    if (TOO_DEEP.test(a) && TOO_DEEP.test(b)) return null
    if (a !== b) return { step, kind: 'differs', what: `with capture: ${a}\n   without: ${b}` }
    const difference = findDifference(captured, plain, kind === 'write' && a === 'done')
    if (difference !== null) return { step, kind: 'differs', what: difference }
    // After a failed insert the last row number is whatever SQLite left there.
    if (a !== 'done' || kind === 'schema') for (const connection of [captured, plain]) connection.exec(EVEN)
    const now = readMoment(captured, capture)
    if (a === 'done') {
      for (const feature of featuresOf({
        ...fuzzCase,
        step: { kind, sql },
        shapes: capture.shapes,
        before,
        now,
      }))
        tally.features.set(feature, (tally.features.get(feature) ?? 0) + 1)
    }
    if (kind === 'schema') {
      // Columns may be others now: rows are compared from here on. Marks stay.
      base = before = now
      continue
    }
    const undone = open && !captured.inTransaction && a !== 'done'
    const missed = findMissed(
      captured,
      capture,
      base,
      kind === 'write' && !undone ? before : null,
      now,
      tally,
    )
    if (missed !== null) return { step, kind: 'missed', what: missed }
    before = now
  }
  return null
}

function install(connection: Connection): Captured {
  const { shapes } = readShapes(connection)
  const outcomes = installCapture(connection, shapes.values())
  return { shapes, numbers: new Map(outcomes.map(({ name, number }) => [name, number])) }
}

function clearMarks(connection: Connection, capture: Captured): void {
  for (const number of capture.numbers.values())
    connection.exec(`DELETE FROM ${quoteName(markTable(number))}`)
}

/** `done`, or what SQLite said. Several statements go on after one that failed, as a shell would. */
function attempt(connection: Connection, sql: string): string {
  try {
    connection.exec(sql)
    return 'done'
  } catch (error) {
    if (!(error instanceof SqliteFailure)) return String(error)
    if (sql.startsWith('BEGIN;') && connection.inTransaction) connection.exec('ROLLBACK')
    return `${error.sqlite} ${error.message}`
  }
}

const lines = (connection: Connection, sql: string): readonly string[] =>
  connection
    .prepare(sql)
    .all()
    .map(([line]) => String(line))

/** Everything that an application can see must be as without capture. */
function findDifference(captured: Connection, plain: Connection, write: boolean): string | null {
  const differ = (sql: string): string | null => {
    const [a, b] = [lines(captured, sql).join('\n'), lines(plain, sql).join('\n')]
    return a === b ? null : `${sql}\n  with capture: ${a}\n  without:      ${b}`
  }
  if (captured.inTransaction !== plain.inTransaction) return 'one transaction ended, the other did not'
  const standing = write ? differ(STANDING_SQL) : null
  if (standing !== null) return standing
  const schema = differ(OTHERS_SQL)
  if (schema !== null) return schema
  for (const table of lines(plain, LIST_TABLES)) {
    const rows = differ(rowsSql(table, columnsOf(plain, table)))
    if (rows !== null) return rows
  }
  return lines(plain, "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").length > 0
    ? differ('SELECT name || seq FROM sqlite_sequence ORDER BY name')
    : null
}

const columnsOf = (connection: Connection, table: string): readonly string[] =>
  connection
    .prepare("SELECT name FROM pragma_table_xinfo(?, 'main')")
    .all(table)
    .map(([name]) => String(name))

function readMoment(connection: Connection, capture: Captured): Moment {
  const there = new Set(lines(connection, "SELECT name FROM sqlite_master WHERE type = 'table'"))
  const tables = new Map(
    [...capture.shapes.keys()]
      .filter((table) => there.has(table))
      .map((table) => {
        const columns = columnsOf(connection, table)
        return [table, { columns, lines: lines(connection, rowsSql(table, columns)) }]
      }),
  )
  const marks = new Map(
    [...capture.shapes].map(([table, shape]) => {
      const number = capture.numbers.get(table) ?? 0
      return [table, lines(connection, marksSql(number, shape))]
    }),
  )
  return { tables, marks, sweeps: lines(connection, SWEEPS_SQL) }
}

function findMissed(
  connection: Connection,
  capture: Captured,
  base: Moment,
  before: Moment | null,
  now: Moment,
  tally: Tally,
): string | null {
  tally.sweeps += now.sweeps.length
  for (const shape of capture.shapes.values()) {
    const missed = missedKeys(base, now, shape)
    const unraised = before === null ? [] : unraisedKeys(before, now, shape)
    tally.changedRows += now.marks.get(shape.name)?.length ?? 0
    if (missed.length === 0 && unraised.length === 0) continue
    // A table whose capture is found broken is compared whole: nothing is lost there.
    if (isFoundBroken(connection, shape.name)) {
      tally.excused++
      continue
    }
    if (missed.length > 0) return `rows of ${shape.name} changed without a mark: ${missed.join(' ')}`
    return `marks of ${shape.name} were not raised: ${unraised.join(' ')}`
  }
  return null
}

function isFoundBroken(connection: Connection, table: string): boolean {
  const shape = readShapes(connection).shapes.get(table)
  if (shape === undefined) return true
  return verifyCapture(connection, [shape]).some(({ found }) => found === 'broken' || found === 'absent')
}
