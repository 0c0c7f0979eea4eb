import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { openMachine } from './command-line.ts'

function query(file: string, sql: string): readonly unknown[] {
  const database = new Database(file)
  try {
    const statement = database.prepare(sql)
    return statement.reader ? statement.raw().all() : [statement.run()]
  } finally {
    database.close()
  }
}

const SCHEMA = 'SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name'

test('attaching changes no table of the application, and detaching leaves the file as it was', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  await machine.tidemark('config', 'set', 'endpoint', cloud.url)
  const file = join(machine.folder, 'app.db')
  query(file, 'CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE)')
  query(file, `INSERT INTO notes VALUES (1, 'one'), (2, 'two')`)
  query(file, 'CREATE TRIGGER shout AFTER INSERT ON notes BEGIN SELECT 1; END')
  const [schema, journal] = [query(file, SCHEMA), query(file, 'PRAGMA journal_mode')]

  expect((await machine.tidemark('attach', file, '--space', 's', '--yes')).code).toBe(0)
  await machine.tidemark('sync', 'now')
  const attached = query(file, SCHEMA) as readonly (readonly string[])[]
  expect(attached.length).toBeGreaterThan(schema.length)
  expect(attached.filter(([, name]) => name?.includes('_tidemark_') === false)).toEqual(schema)

  expect((await machine.tidemark('detach', file, '--yes')).code).toBe(0)
  expect(query(file, SCHEMA)).toEqual(schema)
  expect(query(file, 'PRAGMA journal_mode')).toEqual(journal)
  expect(query(file, 'SELECT * FROM notes')).toEqual([
    [1, 'one'],
    [2, 'two'],
  ])
  expect((await machine.tidemark('sync', 'now', file)).code).not.toBe(0)
})

test('a table made while attached is synced like the others, and the cloud needs nothing done', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  await machine.tidemark('config', 'set', 'endpoint', cloud.url)
  const file = join(machine.folder, 'app.db')
  query(file, 'CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT)')
  query(file, `INSERT INTO notes VALUES ('a', 'one')`)
  await machine.tidemark('attach', file, '--space', 's', '--yes')
  await machine.tidemark('sync', 'now')

  query(file, 'CREATE TABLE memories (id TEXT PRIMARY KEY, score REAL NOT NULL DEFAULT 0.5, text TEXT)')
  query(file, `INSERT INTO memories (id, text) VALUES ('m', 'kept')`)
  await machine.tidemark('sync', 'now')

  const copy = join(machine.folder, 'copy.db')
  expect((await machine.tidemark('clone', 's', copy)).code).toBe(0)
  await machine.tidemark('sync', 'now')
  expect(query(copy, 'SELECT * FROM memories')).toEqual([['m', 0.5, 'kept']])
  expect(query(copy, 'SELECT * FROM notes')).toEqual([['a', 'one']])
})

test('attaching says which rows it cannot tell apart, and counts only those it will sync', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  await machine.tidemark('config', 'set', 'endpoint', cloud.url)
  const file = join(machine.folder, 'app.db')
  query(file, 'CREATE TABLE uses (authority TEXT, code INT, text TEXT, PRIMARY KEY (authority, code))')
  query(file, `INSERT INTO uses VALUES ('a', 1, 'one'), ('a', NULL, 'two'), (NULL, NULL, 'three')`)
  const { out } = await machine.tidemark('attach', file, '--space', 's', '--yes')
  expect(out).toContain('will sync 1 table, 1 row:')
  expect(out).toContain('uses (1 row)')
  expect(out).toContain('note: uses: 2 rows have NULL in the key and are not synced: give them a key')
})

test('attach names a trigger that feeds synced tables and others both, where these cannot be told apart', async () => {
  await using machine = await openMachine()
  await machine.ask('config', 'set', 'endpoint', 'http://127.0.0.1:1')
  const file = join(machine.folder, 'app.db')
  query(file, 'CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)')
  query(file, 'CREATE TABLE tally (id INTEGER PRIMARY KEY, n INT)')
  query(file, 'CREATE VIRTUAL TABLE search USING fts5(text)')
  const feed = 'INSERT INTO search (rowid, text) VALUES (new.id, new.text);'
  query(file, `CREATE TRIGGER feed AFTER INSERT ON notes BEGIN ${feed} END`)
  query(file, `CREATE TRIGGER feed_apart AFTER UPDATE ON notes BEGIN UPDATE tally SET n = n + 1; ${feed} END`)
  query(
    file,
    `CREATE TRIGGER feed_both AFTER DELETE ON notes BEGIN
      UPDATE tally SET n = n + 1; INSERT INTO search (text) SELECT 'gone' WHERE changes() = 1; END`,
  )
  const { out } = await machine.tidemark('attach', file)
  expect(out).toContain(
    'note: notes: the trigger feed_both writes synced tables (tally) and others (a full-text',
  )
  expect(out.match(/the trigger/g)).toHaveLength(1)
  // What is not synced cannot be counted twice.
  expect((await machine.tidemark('attach', file, '--exclude', 'tally')).out).not.toContain('the trigger')
})

test('the tables of a migration tool stay where they are, but where they are named; a clone has what its space has', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  await machine.tidemark('config', 'set', 'endpoint', cloud.url)
  const make = (name: string, migration: string): string => {
    const file = join(machine.folder, name)
    query(file, 'CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT)')
    query(file, 'CREATE TABLE knex_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)')
    query(file, `INSERT INTO knex_migrations (name) VALUES ('${migration}')`)
    return file
  }
  const file = make('one.db', 'first')
  query(file, `INSERT INTO notes VALUES ('a', 'one')`)
  const attached = await machine.tidemark('attach', file, '--space', 'plain', '--yes')
  expect(attached.err + attached.out).toContain(
    'knex_migrations: it records the migrations of this one file, and is synced only where it is named',
  )
  const copy = join(machine.folder, 'copy.db')
  expect((await machine.tidemark('clone', 'plain', copy)).code).toBe(0)
  expect(query(copy, `SELECT count(*) FROM sqlite_schema WHERE name = 'knex_migrations'`)).toEqual([[0]])

  const named = make('two.db', 'second')
  const tables = ['--tables', 'notes,knex_migrations'] as const
  const told = await machine.tidemark('attach', named, '--space', 'named', ...tables, '--yes')
  expect(told.code).toBe(0)
  expect(told.err + told.out).toContain('note: knex_migrations: it records migrations')
  const clone = join(machine.folder, 'clone.db')
  expect((await machine.tidemark('clone', 'named', clone)).code).toBe(0)
  expect(query(clone, 'SELECT name FROM knex_migrations')).toEqual([['second']])
  query(clone, `INSERT INTO knex_migrations (name) VALUES ('third')`)
  query(clone, 'CREATE TABLE later (id INTEGER PRIMARY KEY)')
  expect((await machine.tidemark('sync', 'now')).code).toBe(0)
  expect((await machine.tidemark('sync', 'now')).code).toBe(0)
  expect(query(named, 'SELECT name FROM knex_migrations')).toEqual([['second'], ['third']])
  expect((await machine.tidemark('doctor')).out).not.toContain('later is not synced')

  // A device of its own in that space, which named nothing, keeps to its own.
  const other = make('three.db', 'of its own')
  expect((await machine.tidemark('attach', other, '--space', 'named', '--merge', '--yes')).code).toBe(0)
  expect(query(other, 'SELECT name FROM knex_migrations')).toEqual([['of its own']])
})
