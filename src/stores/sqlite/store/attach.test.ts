import { describe, expect, test } from 'vitest'

import { dirtyKeys, pull, push, readAllDirty, record } from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import type { Connection, Driver } from '../driver/driver.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openFile, temporaryFile } from './harness.ts'
import { attachFile, detachFile, inspectFile, openSqliteStore } from './open.ts'

const SCHEMA = `
  CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT COLLATE NOCASE UNIQUE, body);
  CREATE TABLE tags (name TEXT PRIMARY KEY, n INTEGER DEFAULT 7) WITHOUT ROWID;
  CREATE TABLE plain (x);
  CREATE INDEX by_body ON notes (body) WHERE body IS NOT NULL;
  CREATE VIEW titles AS SELECT title FROM notes;
  CREATE VIRTUAL TABLE search USING fts5 (title, content = 'notes', content_rowid = 'id');
  CREATE TRIGGER fed AFTER INSERT ON notes BEGIN INSERT INTO search (rowid, title) VALUES (new.id, new.title); END;
  CREATE TRIGGER counted AFTER INSERT ON notes BEGIN UPDATE tags SET n = n + 1; END;
  INSERT INTO tags (name) VALUES ('a'), ('b');
  INSERT INTO notes (title) VALUES ('one'), ('two');`

/** Everything that the file says of itself. Triggers taken off and put back stand in another place. */
const portrait = (connection: Connection): unknown => ({
  schema: connection.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name').all(),
  journal: connection.value('PRAGMA journal_mode'),
  encoding: connection.value('PRAGMA encoding'),
  version: connection.value('PRAGMA user_version'),
  check: connection.value('PRAGMA integrity_check'),
})

function withFile(driver: Driver, sql: string, use: (file: string) => Promise<void>): Promise<void> {
  const { file, remove } = temporaryFile()
  const connection = driver.open(file, { create: true })
  connection.exec(sql)
  connection.close()
  return use(file).finally(remove)
}

const look = <T>(driver: Driver, file: string, at: (connection: Connection) => T): T => {
  const connection = driver.open(file)
  try {
    return at(connection)
  } finally {
    connection.close()
  }
}

describe.each([betterSqlite3, nodeSqlite])('attach and detach ($name)', (driver) => {
  test.each(['delete', 'truncate', 'persist', 'wal'])(
    'detach leaves schema and journal mode %s as they were',
    async (journal) => {
      await withFile(driver, `PRAGMA journal_mode = ${journal}; ${SCHEMA}`, async (file) => {
        const before = look(driver, file, portrait)
        await attachFile({ file, driver, space: 's' })
        {
          await using store = openSqliteStore({ file, driver })
          await push(store, 1)
          await pull(store, [
            record('notes', 9, { id: 9, title: 'nine', body: null }),
            record('notes', 10, { id: 10, title: 'NINE', body: 'x' }),
          ])
          look(driver, file, (app) =>
            app.exec("UPDATE tags SET n = 3; INSERT INTO notes (title) VALUES ('three')"),
          )
          await readAllDirty(store)
        }
        expect(look(driver, file, (app) => app.value('PRAGMA journal_mode'))).toBe('wal')
        expect(detachFile({ file, driver })).toEqual({ journalRestored: true })
        expect(look(driver, file, portrait)).toEqual(before)
        expect(look(driver, file, (app) => app.value('SELECT count(*) FROM notes'))).toBe(4n)
        expect(() => openSqliteStore({ file, driver })).toThrow(
          expect.objectContaining({ code: 'not_attached' }),
        )
        await attachFile({ file, driver, space: 's' })
      })
    },
  )

  test('attach says what it syncs and refuses, and inspect says the same without writing', async () => {
    await withFile(driver, SCHEMA, async (file) => {
      const before = look(driver, file, portrait)
      const plan = inspectFile({ file, driver })
      expect(look(driver, file, portrait)).toEqual(before)
      expect(plan.tables).toEqual(['notes', 'tags'])
      expect(plan.refused.map(({ table }) => table)).toEqual(
        expect.arrayContaining(['plain', 'search', 'search_data', 'titles']),
      )
      const done = await attachFile({ file, driver, space: 's' })
      expect(done).toMatchObject({ tables: plan.tables, space: 's' })
      expect(done.replica).toMatch(/^[0-9a-f-]{36}$/)
      await expect(attachFile({ file, driver, space: 's' })).rejects.toMatchObject({
        code: 'already_attached',
      })
      await using store = openSqliteStore({ file, driver })
      expect((await store.schema()).refused.map(({ table }) => table)).toEqual(
        expect.arrayContaining(['plain']),
      )
      expect(
        (await store.schema()).refused
          .map(({ table }) => table)
          .filter((name) => name.startsWith('_tidemark')),
      ).toEqual([])
    })
  })

  test('named and excluded tables', async () => {
    await withFile(driver, SCHEMA, async (file) => {
      await expect(attachFile({ file, driver, space: 's', tables: ['nobody'] })).rejects.toMatchObject({
        code: 'unprocessable',
        details: { missing: ['nobody'] },
      })
      await expect(attachFile({ file, driver, space: 's', tables: ['plain'] })).rejects.toMatchObject({
        code: 'unprocessable',
      })
      await expect(
        attachFile({ file, driver, space: 's', exclude: ['notes', 'tags'] }),
      ).rejects.toMatchObject({ code: 'nothing_to_sync' })
      await attachFile({ file, driver, space: 's', tables: ['tags'] })
      await using store = openSqliteStore({ file, driver })
      expect((await store.schema()).tables.map(({ name }) => name)).toEqual(['tags'])
      look(driver, file, (app) =>
        app.exec('CREATE TABLE later (id INTEGER PRIMARY KEY); INSERT INTO later VALUES (1)'),
      )
      expect(await dirtyKeys(store)).toEqual(['tags ["a"]', 'tags ["b"]'])
    })
  })

  test('a file that is not there, or is no database', async () => {
    const { file, remove } = temporaryFile()
    expect(() => openSqliteStore({ file, driver })).toThrow(
      expect.objectContaining({ code: 'file_not_found' }),
    )
    await expect(attachFile({ file, driver, space: 's' })).rejects.toMatchObject({ code: 'file_not_found' })
    const { writeFileSync } = await import('node:fs')
    writeFileSync(file, 'This is a text, and long enough to be taken for a header of a database.'.repeat(9))
    expect(() => openSqliteStore({ file, driver })).toThrow(
      expect.objectContaining({ code: 'not_a_database' }),
    )
    remove()
  })

  test('a database in memory, on the application’s own connection', async () => {
    const connection = driver.open(':memory:')
    connection.exec(
      'PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE c (id INTEGER PRIMARY KEY, t REFERENCES t ON DELETE CASCADE)',
    )
    await attachFile({ connection, space: 's', replica: 'a' })
    const store = openSqliteStore({ connection })
    connection.exec("INSERT INTO t VALUES (1, 'x')")
    expect(await dirtyKeys(store)).toEqual(['t [1]'])
    await pull(store, [record('t', 1, { id: 2, x: 'y' })])
    expect(connection.value('SELECT count(*) FROM t')).toBe(2n)
    // The application enforces its keys on this very connection; the store must not, or an unsent child would go.
    connection.exec('INSERT INTO c VALUES (1, 2)')
    await pull(store, [{ table: 't', key: '[2]', version: 2, hlc: 1, by: 'b', deleted: true }])
    expect(connection.value('SELECT count(*) FROM c')).toBe(1n)
    expect(connection.value('PRAGMA foreign_keys')).toBe(1n)
    expect(connection.value('PRAGMA ignore_check_constraints')).toBe(0n)
    await store[Symbol.asyncDispose]()
    expect(connection.value('SELECT 1')).toBe(1n)
    connection.close()
  })

  test('a crash between attaching and the first look is made up for', async () => {
    await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY)')
    // As if the process had ended before capture was installed.
    f.app.exec('INSERT INTO t VALUES (1)')
    f.app.exec('DROP TRIGGER _tidemark_t_1_i; DELETE FROM _tidemark_m_1')
    await f.reopen()
    expect(await dirtyKeys(f.store)).toEqual(['t [1]'])
  })
})
