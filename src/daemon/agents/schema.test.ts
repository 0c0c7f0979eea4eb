import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, onTestFinished, test } from 'vitest'

import { TidemarkError } from '../../kernel/errors.ts'
import { betterSqlite3 } from '../../stores/sqlite/driver/better-sqlite3.ts'
import { inspectFile } from '../../stores/sqlite/store/open.ts'
import { readTriggerEffects } from '../../stores/sqlite/shape/trigger-effects.ts'
import { openAgentsDatabase } from './database.ts'
import { AGENT_TABLES } from './schema.ts'

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-agents-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function open(file = join(makeFolder(), 'data', 'agents.db')): Database.Database {
  const database = openAgentsDatabase(file)
  onTestFinished(() => void database.close())
  return database
}

const codeOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    return error instanceof TidemarkError ? error.code : String(error)
  }
  return 'none'
}

const changes = (database: Database.Database): readonly string[] =>
  database
    .prepare("SELECT table_name || ' ' || row_id || ' ' || verb FROM local_changes ORDER BY seq")
    .pluck()
    .all()
    .map(String)

test('attach takes exactly the nine tables, and refuses nothing of them', () => {
  const { name: file } = open()
  const plan = inspectFile({ file, driver: betterSqlite3, tables: AGENT_TABLES })
  expect(plan).toEqual({ tables: [...AGENT_TABLES].sort(), refused: [], warnings: [] })
  const connection = betterSqlite3.open(file)
  const effects = readTriggerEffects(connection, new Set(AGENT_TABLES))
  connection.close()
  expect(effects.length).toBe(27)
  // These run where rows of other devices are applied.
  expect(new Set(effects.map(({ kind }) => kind))).toEqual(new Set(['unsynced']))
})

test('the file is for its owner only, in WAL, and each commit is on the disk', () => {
  const database = open()
  expect(statSync(database.name).mode & 0o777).toBe(0o600)
  expect(database.pragma('journal_mode', { simple: true })).toBe('wal')
  expect(database.pragma('synchronous', { simple: true })).toBe(2)
  chmodSync(database.name, 0o644)
  open(database.name)
  expect(statSync(database.name).mode & 0o777).toBe(0o600)
})

test('a file that is damaged, newer, or of another program is told by its name and left alone', () => {
  const folder = makeFolder()
  const damaged = join(folder, 'damaged.db')
  writeFileSync(damaged, 'this is no database, '.repeat(100))
  expect(codeOf(() => openAgentsDatabase(damaged))).toBe('not_a_database')
  const newer = join(folder, 'newer.db')
  const other = join(folder, 'other.db')
  for (const [file, sql] of [
    [newer, 'PRAGMA user_version = 99'],
    [other, 'CREATE TABLE messages (id TEXT PRIMARY KEY, body TEXT)'],
  ] as const) {
    const database = new Database(file)
    database.exec(sql)
    database.close()
  }
  expect(codeOf(() => openAgentsDatabase(newer))).toBe('newer_database')
  expect(codeOf(() => openAgentsDatabase(other))).toBe('not_a_database')
})

test('what another program dropped of indices and triggers is made again', () => {
  const database = open()
  database.exec('DROP TRIGGER messages_inserted; DROP INDEX messages_by_session')
  open(database.name).exec("INSERT INTO messages (id) VALUES ('a')")
  expect(changes(database)).toEqual(['messages a insert'])
  expect(
    database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'messages_by_session'").get(),
  ).toBeDefined()
})

test('times of rows that plain SQL writes are milliseconds of now', () => {
  const database = open()
  const before = Date.now()
  database.exec("INSERT INTO sessions (id) VALUES ('a')")
  const row = database.prepare('SELECT created_at, updated_at, typeof(created_at) FROM sessions').raw().get()
  const [created, updated, type] = row as [number, number, string]
  expect(type).toBe('integer')
  expect(created).toBeGreaterThanOrEqual(before - 1)
  expect(created).toBeLessThanOrEqual(Date.now() + 1)
  expect(updated).toBe(created)
})

const STATEMENTS: readonly (readonly [sql: string, lines: readonly string[]])[] = [
  ["INSERT INTO messages (id, text) VALUES ('a', 'x')", ['messages a insert']],
  ["INSERT OR REPLACE INTO messages (id, text) VALUES ('a', 'y')", ['messages a insert']],
  ["UPDATE messages SET text = 'z'", ['messages a update']],
  [
    "INSERT INTO messages (id, text) VALUES ('a', 'u') ON CONFLICT (id) DO UPDATE SET text = excluded.text",
    ['messages a update'],
  ],
  ["INSERT OR IGNORE INTO messages (id) VALUES ('a')", []],
  ["UPDATE messages SET id = 'b'", ['messages a delete', 'messages b insert']],
  ["INSERT INTO messages (id) VALUES (7), (x'00ff')", ['messages 7 insert', 'messages \0\ufffd insert']],
  ['DELETE FROM messages', ['messages b delete', 'messages 7 delete', 'messages \0\ufffd delete']],
]

test('a change of any table by any program is a line; an id that changed is a delete and an insert', () => {
  const database = open()
  for (const [sql, lines] of STATEMENTS) {
    const before = changes(database).length
    database.exec(sql)
    expect([sql, changes(database).slice(before).sort()]).toEqual([sql, [...lines].sort()])
  }
  for (const table of AGENT_TABLES) {
    database.exec(
      `INSERT INTO ${table} (id) VALUES ('t'); UPDATE ${table} SET id = 't'; DELETE FROM ${table}`,
    )
    const lines = ['insert', 'update', 'delete'].map((verb) => `${table} t ${verb}`)
    expect(changes(database).slice(-3)).toEqual(lines)
  }
})

test('a line says which session its row belongs to, or did', () => {
  const database = open()
  database.exec("INSERT INTO sessions (id) VALUES ('s'); INSERT INTO projects (id) VALUES ('p')")
  database.exec(
    "INSERT INTO messages (id, session_id) VALUES ('m', 's'); UPDATE messages SET session_id = 't'",
  )
  database.exec("UPDATE messages SET session_id = 'u', id = 'n'; DELETE FROM messages")
  const told = database.prepare('SELECT row_id, verb, session_id FROM local_changes ORDER BY seq').raw().all()
  expect(told.map((line) => String(line))).toEqual([
    's,insert,s',
    'p,insert,',
    'm,insert,s',
    'm,update,t',
    'm,delete,t',
    'n,insert,u',
    'n,delete,u',
  ])
})

test('a number of a line is never given twice', () => {
  const database = open()
  database.exec("INSERT INTO messages (id) VALUES ('a'), ('b'); DELETE FROM local_changes")
  database.exec("INSERT INTO messages (id) VALUES ('c')")
  expect(database.prepare('SELECT seq FROM local_changes').pluck().all()).toEqual([3])
})

const PYTHON = `
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute('PRAGMA trusted_schema = OFF')
for sql in json.loads(sys.argv[2]):
    db.execute(sql)
print(db.execute('PRAGMA integrity_check').fetchone()[0])
`

test('an older SQLite writes, and is heard', () => {
  const database = open()
  const sql = STATEMENTS.map(([one]) => one)
  try {
    execFileSync('python3', ['-c', 'import sqlite3'])
  } catch {
    return
  }
  const told = execFileSync('python3', ['-c', PYTHON, database.name, JSON.stringify(sql)], {
    encoding: 'utf8',
  })
  expect(told.trim()).toBe('ok')
  expect([...changes(database)].sort()).toEqual(STATEMENTS.flatMap(([, lines]) => lines).sort())
})
