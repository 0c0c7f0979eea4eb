import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'

import { quoteName, type Connection, type Driver } from '../../driver/driver.ts'
import { readShapes } from '../../shape/read.ts'
import type { Shape } from '../../shape/shape.ts'
import { installCapture, verifyCapture } from '../capture.ts'
import { markTable } from '../names.ts'
import type { FuzzCase, FuzzStep } from './case.ts'
import { missedKeys, unraisedKeys, type Moment, type TableLines } from './check.ts'
import { makeDummies, newTally, TOO_DEEP, type Failure, type Tally } from './run.ts'
import { LIST_TABLES, marksSql, rowsSql, SWEEPS_SQL } from './snapshot.ts'

/**
 * The same comparison with SQLite's own program, which may be older than the libraries. The libraries make the
 * files and put capture in; the program plays the application, and answers after every step what stands there.
 */
export function runCaseInShell(
  program: string,
  driver: Driver,
  folder: string,
  fuzzCase: FuzzCase,
  tally: Tally,
): Failure | null {
  const failure = runOnce(program, driver, folder, fuzzCase, tally, false)
  if (failure === null) return null
  // SQLite 3.40 breaks a file by some upserts in which a row displaces others: what follows says nothing.
  const [line] = spawnSync(program, ['-batch', join(folder, 'plain.db'), 'PRAGMA integrity_check'], {
    encoding: 'utf8',
  }).stdout.split('\n')
  if (line !== 'ok' && !/^(NULL value|CHECK constraint|NUMERIC value|TEXT value|NOT NULL)/.test(line ?? '')) {
    tally.known++
    return null
  }
  if (failure.kind === 'missed') return failure
  const again = runOnce(program, driver, folder, fuzzCase, newTally(), true)
  if (again === null) tally.known++
  return again
}

function runOnce(
  program: string,
  driver: Driver,
  folder: string,
  fuzzCase: FuzzCase,
  tally: Tally,
  dummies: boolean,
): Failure | null {
  const files = { captured: join(folder, 'captured.db'), plain: join(folder, 'plain.db') }
  for (const file of Object.values(files))
    for (const end of ['', '-journal', '-wal', '-shm']) rmSync(file + end, { force: true })
  const columns = readColumns(driver, fuzzCase)
  for (const file of Object.values(files)) build(program, file, fuzzCase)
  let start = 0
  for (const segment of splitAtRepairs(fuzzCase.steps)) {
    if (start > 0) tally.repairs++
    const capture = repair(driver, files.captured, dummies ? files.plain : null)
    const run = {
      program,
      pragmas: fuzzCase.pragmas,
      steps: segment,
      columns: columns.slice(start, start + segment.length + 1),
    }
    const [a, b] = [
      runScript({ ...run, file: files.captured, capture }),
      runScript({ ...run, file: files.plain, capture: [] }),
    ]
    const failure = compare(driver, files.captured, capture, segment, a, b, tally)
    if (failure === 'lost') return null
    if (failure !== null) return { ...failure, step: failure.step + start }
    start += segment.length + 1
  }
  return null
}

type Captured = readonly { readonly shape: Shape; readonly number: number }[]
/** Table → columns, before the first step and after each. */
type Columns = ReadonlyMap<string, readonly string[]>

function splitAtRepairs(steps: readonly FuzzStep[]): readonly (readonly FuzzStep[])[] {
  const segments: FuzzStep[][] = [[]]
  for (const step of steps) {
    if (step.kind === 'repair') segments.push([])
    else segments.at(-1)?.push(step)
  }
  return segments
}

function attempt(connection: Connection, sql: string): void {
  try {
    connection.exec(sql)
  } catch {
    if (sql.startsWith('BEGIN;') && connection.inTransaction) connection.exec('ROLLBACK')
  }
}

/** What the tables will look like, from a run without capture. A repair counts as a step here. */
function readColumns(driver: Driver, fuzzCase: FuzzCase): readonly Columns[] {
  const connection = driver.open(':memory:')
  for (const sql of [...fuzzCase.pragmas, ...fuzzCase.setup]) attempt(connection, sql)
  const look = (): Columns => {
    const tables = connection
      .prepare(LIST_TABLES)
      .all()
      .map(([name]) => String(name))
    const find = connection.prepare("SELECT name FROM pragma_table_xinfo(?, 'main')")
    return new Map(tables.map((table) => [table, find.all(table).map(([name]) => String(name))]))
  }
  const all = [look()]
  for (const { kind, sql } of fuzzCase.steps) {
    if (kind !== 'repair') attempt(connection, sql)
    all.push(look())
  }
  connection.close()
  return all
}

/** By the program itself: an index on a number as text is not the same in every version of SQLite. */
function build(program: string, file: string, fuzzCase: FuzzCase): void {
  const lines = ['PRAGMA synchronous = OFF', ...fuzzCase.pragmas, ...fuzzCase.setup]
  spawnSync(program, ['-batch', file], { input: lines.map((sql) => `${sql};`).join('\n') })
}

function repair(driver: Driver, file: string, dummies: string | null): Captured {
  const connection = driver.open(file)
  connection.exec('PRAGMA synchronous = OFF')
  const { shapes } = readShapes(connection)
  const captured = installCapture(connection, shapes.values()).flatMap(({ name, number }) => {
    const shape = shapes.get(name)
    return shape === undefined ? [] : [{ shape, number }]
  })
  for (const { number } of captured) connection.exec(`DELETE FROM ${quoteName(markTable(number))}`)
  if (dummies !== null) {
    const plain = driver.open(dummies)
    makeDummies(connection, plain)
    plain.close()
  }
  connection.close()
  return captured
}

interface Script {
  readonly program: string
  readonly file: string
  readonly pragmas: readonly string[]
  readonly steps: readonly FuzzStep[]
  readonly columns: readonly Columns[]
  readonly capture: Captured
}

interface Answer {
  readonly moments: readonly Moment[]
  /** Step → what the program said. */
  readonly errors: ReadonlyMap<number, string>
  /** A question could not be answered: the program's SQLite took another way than the library's. */
  readonly lost: boolean
}

/** One line per statement, so that the line number of a complaint names its step. */
function runScript({ program, file, pragmas, steps, columns, capture }: Script): Answer {
  const lines = [
    '.mode list',
    '.headers off',
    'PRAGMA synchronous = OFF;',
    ...pragmas.map((sql) => `${sql};`),
  ]
  const stepOfLine = new Map<number, number>()
  const ask = (at: number): void => {
    lines.push(`.print @@${at}`)
    for (const [table, names] of columns[at] ?? [])
      lines.push(`.print @t${table}`, `${rowsSql(table, names)};`)
    for (const { shape, number } of capture)
      lines.push(`.print @m${shape.name}`, `${marksSql(number, shape)};`)
    if (capture.length > 0) lines.push('.print @s', `${SWEEPS_SQL};`)
  }
  ask(0)
  for (const [at, { sql }] of steps.entries()) {
    lines.push(`${sql};`)
    stepOfLine.set(lines.length, at)
    ask(at + 1)
  }
  const result = spawnSync(program, ['-batch', file], {
    input: lines.join('\n'),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  const errors = new Map<number, string>()
  let lost = false
  for (const [, line, text] of result.stderr.matchAll(/^.*?near line (\d+): (.*)$/gm)) {
    const step = stepOfLine.get(Number(line))
    if (step === undefined) lost = true
    else errors.set(step, text ?? '')
  }
  return { moments: readMoments(result.stdout, columns), errors, lost }
}

function readMoments(output: string, columns: readonly Columns[]): readonly Moment[] {
  const moments: Moment[] = []
  for (const part of output.split(/^@@/m).slice(1)) {
    const [number = '', ...lines] = part.split('\n')
    const tables = new Map<string, TableLines & { readonly lines: string[] }>()
    const marks = new Map<string, string[]>()
    const sweeps: string[] = []
    let into: string[] = []
    for (const line of lines) {
      if (line === '') continue
      const [kind, name] = [line.slice(0, 2), line.slice(2)]
      if (!line.startsWith('@')) into.push(line)
      else if (kind === '@s') into = sweeps
      else {
        into = []
        if (kind === '@m') marks.set(name, into)
        else tables.set(name, { columns: columns[Number(number)]?.get(name) ?? [], lines: into })
      }
    }
    moments.push({ tables, marks, sweeps })
  }
  return moments
}

function compare(
  driver: Driver,
  file: string,
  capture: Captured,
  steps: readonly FuzzStep[],
  a: Answer,
  b: Answer,
  tally: Tally,
): Failure | 'lost' | null {
  let base = a.moments[0]
  for (const [step, { kind }] of steps.entries()) {
    const [before, now, plain] = [a.moments[step], a.moments[step + 1], b.moments[step + 1]]
    if (
      base === undefined ||
      before === undefined ||
      now === undefined ||
      plain === undefined ||
      a.lost ||
      b.lost
    ) {
      tally.known++
      return 'lost'
    }
    const [error, other] = [a.errors.get(step) ?? 'done', b.errors.get(step) ?? 'done']
    if (kind === 'write') tally.writes++
    if (kind === 'write' && error !== 'done') tally.refusedWrites++
    if (TOO_DEEP.test(error) && TOO_DEEP.test(other)) return 'lost'
    if (error !== other)
      return { step, kind: 'differs', what: `with capture: ${error}\n   without: ${other}` }
    const [rows, others] = [rowsOf(now), rowsOf(plain)]
    if (rows !== others)
      return { step, kind: 'differs', what: `with capture: ${rows}\n   without: ${others}` }
    if (kind === 'schema') {
      base = now
      continue
    }
    tally.sweeps += now.sweeps.length
    const failure = findMissed(
      driver,
      file,
      capture,
      base,
      kind === 'write' && error === 'done' ? before : null,
      now,
      tally,
    )
    if (failure !== null) return { step, kind: 'missed', what: failure }
  }
  return null
}

const rowsOf = (moment: Moment): string =>
  [...moment.tables].map(([name, { lines }]) => `${name}: ${lines.join(' ')}`).join('\n')

function findMissed(
  driver: Driver,
  file: string,
  capture: Captured,
  base: Moment,
  before: Moment | null,
  now: Moment,
  tally: Tally,
): string | null {
  for (const { shape } of capture) {
    const missed = missedKeys(base, now, shape)
    const unraised = before === null ? [] : unraisedKeys(before, now, shape)
    tally.changedRows += now.marks.get(shape.name)?.length ?? 0
    if (missed.length === 0 && unraised.length === 0) continue
    // What the file looks like at the end is what a daemon would find.
    if (isFoundBroken(driver, file, shape.name)) {
      tally.excused++
      continue
    }
    return missed.length > 0
      ? `rows of ${shape.name} changed without a mark: ${missed.join(' ')}`
      : `marks of ${shape.name} were not raised: ${unraised.join(' ')}`
  }
  return null
}

function isFoundBroken(driver: Driver, file: string, table: string): boolean {
  const connection = driver.open(file)
  const shape = readShapes(connection).shapes.get(table)
  const broken =
    shape === undefined ||
    verifyCapture(connection, [shape]).some(({ found }) => found === 'broken' || found === 'absent')
  connection.close()
  return broken
}
