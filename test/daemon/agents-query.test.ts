import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { openReadOnly, readQuery, type QueryPiece } from '../../src/daemon/agents/query/read.ts'
import { runQuery } from '../../src/daemon/agents/query/query.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { TidemarkError } from '../../src/kernel/errors.ts'

let folder = ''
let file = ''
/** Held open, as a daemon does: the WAL stays as it is. */
let holder: Database.Database

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-query-'))
  file = join(folder, 'agents.db')
  holder = new Database(file)
  holder.pragma('journal_mode = WAL')
  holder.exec(`CREATE TABLE notes (id INTEGER PRIMARY KEY, text);
    INSERT INTO notes VALUES (1, 'one'), (9007199254740993, x'00ff'), (3, NULL), (4, 2.0), (5, 'a' || char(0) || 'b');
    CREATE VIRTUAL TABLE words USING fts5(text); INSERT INTO words VALUES ('one two');
    CREATE TABLE log (line); CREATE VIEW seen AS SELECT * FROM notes;
    CREATE TRIGGER on_seen INSTEAD OF INSERT ON seen BEGIN INSERT INTO log VALUES (NEW.text); END`)
  const other = new Database(join(folder, 'other.db'))
  other.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1)')
  other.close()
})
afterAll(() => {
  holder.close()
  rmSync(folder, { recursive: true, force: true })
})

const ask = (sql: string, limit = 100): readonly QueryPiece[] => [...readQuery(file, sql, limit)]
const rowsOf = (sql: string, limit?: number): unknown => ask(sql, limit).flatMap(({ rows }) => rows)
const refusal = (sql: string): TidemarkError => {
  try {
    ask(sql)
  } catch (error) {
    if (error instanceof TidemarkError) return error
    throw error
  }
  throw new Error('it was not refused')
}

/** Every byte below the folder, but for the index of the WAL, which SQLite keeps for all who read. */
function fingerprint(): string {
  const hash = createHash('sha256')
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    hash.update(name)
    if (!name.endsWith('-shm')) hash.update(readFileSync(join(folder, name)))
  }
  return hash.digest('hex')
}

test('values are answered as SQLite has them, and a cut answer says so', () => {
  expect(rowsOf('SELECT text, id FROM notes ORDER BY id')).toEqual([
    ['one', 1n],
    [null, 3n],
    [2, 4n],
    ['a\0b', 5n],
    [Buffer.from([0, 255]), 9007199254740993n],
  ])
  expect(ask('SELECT id FROM notes', 4).map(({ cut, rows }) => [rows.length, cut])).toEqual([[4, true]])
  expect(ask('SELECT id FROM notes', 5).map(({ cut, rows }) => [rows.length, cut])).toEqual([[5, false]])
  expect(ask('SELECT 1 AS a WHERE 0')).toEqual([{ columns: ['a'], rows: [], cut: false }])
})

test('many rows come in pieces', () => {
  const sql = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c'
  const pieces = ask(sql, 1_234)
  expect(pieces.map(({ rows, cut }) => [rows.length, cut])).toEqual([
    [500, false],
    [500, false],
    [234, true],
  ])
})

const WRITES = [
  'DELETE FROM notes',
  "INSERT INTO notes VALUES (9, 'x')",
  "INSERT INTO notes VALUES (9, 'x') RETURNING id",
  'UPDATE notes SET text = 1 RETURNING id',
  'WITH x AS (SELECT 1) DELETE FROM notes RETURNING id',
  "INSERT INTO seen (text) VALUES ('x') RETURNING text",
  'CREATE TABLE evil (a)',
  'CREATE TEMP TABLE fine (a)',
  'DROP TABLE notes',
  'ALTER TABLE notes ADD COLUMN evil',
  'REINDEX',
  'ANALYZE',
  'VACUUM',
  "VACUUM INTO 'FOLDER/copy.db'",
  "VACUUM main INTO 'FOLDER/copy.db'",
  "ATTACH 'FOLDER/new.db' AS new",
  "ATTACH 'FOLDER/other.db' AS other",
  "ATTACH 'file:FOLDER/new.db?mode=rwc' AS new",
  'DETACH main',
  'BEGIN IMMEDIATE',
  'BEGIN EXCLUSIVE',
  'SAVEPOINT a',
  'PRAGMA user_version = 7',
  'PRAGMA application_id = 7',
  'PRAGMA writable_schema = ON',
  'PRAGMA writable_schema = RESET',
  'PRAGMA query_only = OFF',
  'PRAGMA journal_mode = DELETE',
  'PRAGMA journal_mode = OFF',
  'PRAGMA main.wal_checkpoint(TRUNCATE)',
  'PRAGMA incremental_vacuum(1)',
  'PRAGMA auto_vacuum = FULL',
  "PRAGMA encoding = 'UTF-16'",
  'PRAGMA page_size = 512',
  'PRAGMA optimize',
  'PRAGMA optimize(0x10002)',
  'PRAGMA schema_version = 1',
  "PRAGMA temp_store_directory = 'FOLDER'",
  "PRAGMA data_store_directory = 'FOLDER'",
  'PRAGMA locking_mode = EXCLUSIVE',
  'PRAGMA max_page_count = 1',
  'PRAGMA wal_autocheckpoint = 1',
  "SELECT load_extension('FOLDER/evil')",
  "SELECT writefile('FOLDER/evil', 'x')",
  "SELECT fts3_tokenizer('x', x'00')",
  "INSERT INTO words (words) VALUES ('optimize')",
  "INSERT INTO words (words, rank) VALUES ('rank', 'x')",
  "SELECT * FROM words WHERE words MATCH 'one'",
  "UPDATE sqlite_schema SET sql = 'x' RETURNING name",
  'SELECT * FROM pragma_wal_checkpoint',
  "SELECT * FROM pragma_journal_mode('delete')",
  'SELECT * FROM pragma_user_version(7)',
  'SELECT * FROM seen',
  'EXPLAIN DELETE FROM notes',
  'SELECT 1; DELETE FROM notes',
  'SELECT 1;; DELETE FROM notes',
  'DELETE FROM notes --\n;SELECT 1',
] as const

test.each(WRITES)('I7: nothing is written anywhere by %s', (sql) => {
  const before = fingerprint()
  const text = sql.replaceAll('FOLDER', folder)
  try {
    ask(text)
  } catch (error) {
    expect(error).toBeInstanceOf(TidemarkError)
  }
  expect(fingerprint()).toBe(before)
  // Not by a connection that would be told so only later, either.
  expect(holder.pragma('journal_mode', { simple: true })).toBe('wal')
  expect(holder.prepare('SELECT count(*) FROM notes').pluck().get()).toBe(5)
})

test('the file, and any that is attached to it, is opened so that it can not be written to', () => {
  const before = fingerprint()
  const database = openReadOnly(file)
  const codeOf = (sql: string): unknown => {
    try {
      return database.exec(sql.replaceAll('FOLDER', folder)) && 'done'
    } catch (error) {
      return (error as { readonly code?: unknown }).code
    }
  }
  expect(codeOf("ATTACH 'FOLDER/other.db' AS other; PRAGMA query_only = OFF")).toBe('done')
  expect(codeOf('DELETE FROM main.notes')).toBe('SQLITE_READONLY')
  expect(codeOf('DELETE FROM other.t')).toBe('SQLITE_READONLY')
  expect(codeOf('PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = NULL')).toMatch(
    /^SQLITE_(ERROR|READONLY)/,
  )
  expect(codeOf("ATTACH 'FOLDER/new.db' AS new")).toBe('SQLITE_CANTOPEN')
  expect(codeOf("SELECT load_extension('FOLDER/evil')")).toBe('SQLITE_ERROR')
  database.close()
  expect(fingerprint()).toBe(before)
})

test.each([
  ['SELECT * FORM notes', 'near "FORM": syntax error', 1, 10],
  ["SELECT 'FORM',\n  x -- FORM\n FORM notes", 'near "notes": syntax error', 3, 7],
  ['SELECT 1,\n       missing FROM notes', 'no such column: missing', 2, 8],
  ['SELECT notes.missing FROM notes', 'no such column: notes.missing', 1, 14],
  ["SELECT ')', (1), 2) FROM notes", 'near ")": syntax error', 1, 19],
  ['SELECT * FROM nowhere', 'no such table: nowhere', 1, 15],
  ['SELECT nope(1)', 'no such function: nope', 1, 8],
  ['SELECT length()', 'wrong number of arguments to function length()', 1, 8],
  ["SELECT 'abc", 'unrecognized token: "\'abc"', 1, 8],
  ['SELECT (1', 'incomplete input', 1, 10],
  ['SELECT \u{1f30a}, # FROM notes', 'unrecognized token: "#"', 1, 11],
])('what is wrong with %j is said with its place', (sql, message, line, column) => {
  const error = refusal(sql)
  expect([error.code, error.details]).toEqual(['bad_usage', { line, column }])
  expect(error.message).toContain(message)
  expect(error.message).toContain(`(line ${line}, column ${column})`)
})

test.each([
  ['SELECT 1; SELECT 2', 'more than one statement'],
  ['', 'no statement'],
  ['-- a comment', 'no statement'],
  ['SELECT ?', 'parameters'],
  ['SELECT @a', 'parameters'],
  ['DELETE FROM notes', 'would write'],
  ["SELECT json('{')", 'malformed JSON'],
])('%j is refused in words', (sql, words) => {
  const error = refusal(sql)
  expect([error.code, error.message]).toEqual(['bad_usage', expect.stringContaining(words)])
})

describe('in a process of its own', () => {
  const ENDLESS = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c'
  const run = async (
    question: { readonly sql: string; readonly file?: string; readonly limit?: number },
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<readonly QueryPiece[]> => {
    const pieces: QueryPiece[] = []
    const usual = { clock: systemClock, signal: new AbortController().signal, timeoutMs: 60_000 }
    for await (const piece of runQuery({ file, limit: 1_200, ...question }, { ...usual, ...options }))
      pieces.push(piece)
    return pieces
  }
  const refusalOf = async (work: Promise<unknown>): Promise<TidemarkError> => {
    const error: unknown = await work.catch((thrown: unknown) => thrown)
    if (error instanceof TidemarkError) return error
    throw new Error(`it was not refused: ${String(error)}`)
  }

  test('rows and failures are those of the function', async () => {
    const sql =
      'SELECT a.id, b.text, x FROM notes a, notes b, (WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 99) SELECT x FROM c)'
    expect((await run({ sql })).flatMap(({ rows }) => rows.map((row) => row.map(plain)))).toEqual(
      ask(sql, 1_200).flatMap(({ rows }) => rows.map((row) => row.map(plain))),
    )
    const error = await refusalOf(run({ sql: 'SELECT * FORM notes' }))
    expect([error.code, error.details]).toEqual(['bad_usage', { line: 1, column: 10 }])
    expect((await refusalOf(run({ sql, file: join(folder, 'absent.db') }))).code).toBe('file_not_found')
  })
  /** Bytes arrive as what every platform has. */
  const plain = (value: unknown): unknown => (value instanceof Uint8Array ? new Uint8Array(value) : value)

  test('a query that takes too long is ended, and so is one that is stopped', async () => {
    const late = await refusalOf(run({ sql: ENDLESS }, { timeoutMs: 300 }))
    expect([late.code, late.message]).toEqual(['aborted', expect.stringContaining('after 0.3 seconds')])
    const stopping = new AbortController()
    const stopped = refusalOf(run({ sql: ENDLESS }, { signal: stopping.signal }))
    systemClock.after(300, () => stopping.abort())
    expect((await stopped).code).toBe('aborted')
    expect((await refusalOf(run({ sql: 'SELECT 1' }, { signal: AbortSignal.abort() }))).code).toBe('aborted')
  })
})
