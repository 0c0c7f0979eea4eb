import { describe, expect, test } from 'vitest'

import {
  acknowledge,
  dirtyKeys,
  parkedKeys,
  pull,
  push,
  readAllDirty,
  record,
  send,
} from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import type { Connection } from '../driver/driver.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openFile, type OpenFile } from './harness.ts'

const ROWS = Array.from({ length: 9 }, (_, at) =>
  record('t', at + 1, { id: at + 1, x: `x${at + 1}`, y: null }),
)
const SQL = 'CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT, y TEXT)'

async function openAgreed(driver: typeof betterSqlite3): Promise<OpenFile> {
  const f = await openFile(driver, SQL)
  await pull(f.store, ROWS)
  return f
}

const triggers = (app: Connection): readonly string[] =>
  app
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '\\_tidemark%' ESCAPE '\\'")
    .all()
    .map(([name]) => String(name))

describe.each([betterSqlite3, nodeSqlite])('changes of the schema ($name)', (driver) => {
  test('I1: a migration that rebuilds the table: what it changed, added and left out is found', async () => {
    await using f = await openAgreed(driver)
    f.app.exec(`
      BEGIN;
      CREATE TABLE new (id INTEGER PRIMARY KEY, x TEXT, y TEXT NOT NULL DEFAULT '-');
      INSERT INTO new SELECT id, CASE id WHEN 2 THEN 'changed' ELSE x END, ifnull(y, '-') FROM t WHERE id <> 3;
      INSERT INTO new VALUES (20, 'added', '-');
      DROP TABLE t;
      ALTER TABLE new RENAME TO t;
      COMMIT;`)
    const rows = await readAllDirty(f.store)
    const changed = new Map(
      rows.map((row) => [row.key, row.fields === null ? 'deleted' : row.changed.join()]),
    )
    expect(changed.get('[2]')).toBe('x,y')
    expect(changed.get('[3]')).toBe('deleted')
    expect(changed.get('[20]')).toBe('id,x,y')
    expect(changed.get('[1]')).toBe('y')
    expect(triggers(f.app).length).toBeGreaterThan(3)
    f.app.exec("UPDATE t SET x = 'later' WHERE id = 9")
    expect(await dirtyKeys(f.store)).toContain('t [9]')
  })

  test('I1: triggers that somebody dropped: what was written meanwhile is found', async () => {
    await using f = await openAgreed(driver)
    for (const name of triggers(f.app)) f.app.exec(`DROP TRIGGER ${name}`)
    f.app.exec(
      "UPDATE t SET x = 'unseen' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (30, 'u', NULL)",
    )
    expect(await dirtyKeys(f.store)).toEqual(['t [1]', 't [2]', 't [30]'])
  })

  test('I1: found when the store is opened, too, and with a mutation in flight', async () => {
    await using f = await openAgreed(driver)
    f.app.exec("UPDATE t SET x = 'sent' WHERE id = 5")
    const changes = await send(f.store)
    for (const name of triggers(f.app)) f.app.exec(`DROP TRIGGER ${name}`)
    f.app.exec("UPDATE t SET x = 'back' WHERE id = 5; DELETE FROM t WHERE id = 2")
    await f.reopen()
    await acknowledge(f.store, changes, 50)
    expect(await dirtyKeys(f.store)).toEqual(['t [2]', 't [5]'])
    expect((await readAllDirty(f.store)).find(({ key }) => key === '[5]')).toMatchObject({
      base: 50,
      changed: ['x'],
    })
  })

  test('a column that a newer replica filled, added while no store was open: the file opens and its values come', async () => {
    await using f = await openAgreed(driver)
    await pull(f.store, [record('t', 20, { id: 3, x: 'x3', y: null, extra: 'kept' })])
    f.app.exec('ALTER TABLE t ADD COLUMN extra TEXT')
    await f.reopen()
    expect(await dirtyKeys(f.store)).toEqual([])
    expect(f.app.prepare('SELECT extra FROM t WHERE id = 3').get()).toEqual(['kept'])
  })

  test('a dropped table ends its sync, makes no tombstones, and joins again when it is made again', async () => {
    await using f = await openAgreed(driver)
    await f.store.startHydrate({
      cursor: { epoch: 'e', generation: 'g', version: 9, high: 9 },
      tables: null,
      place: null,
      sweep: false,
    })
    await f.store.finishHydrate(null)
    expect((await f.store.state()).covered).toEqual(['t'])
    f.app.exec('CREATE TABLE other (id INTEGER PRIMARY KEY); DROP TABLE t')
    expect(await dirtyKeys(f.store)).toEqual([])
    expect((await f.store.schema()).tables.map(({ name }) => name)).toEqual(['other'])
    expect((await f.store.state()).covered).toEqual([])
    f.app.exec(`${SQL}; INSERT INTO t VALUES (1, 'again', NULL)`)
    expect(await readAllDirty(f.store)).toMatchObject([{ key: '[1]', base: 0, agreed: 'none' }])
  })

  test('a renamed table is a new one', async () => {
    await using f = await openAgreed(driver)
    f.app.exec('ALTER TABLE t RENAME TO u')
    expect((await dirtyKeys(f.store)).length).toBe(9)
    f.app.exec("UPDATE u SET x = 'z' WHERE id = 4")
    await push(f.store, 100)
    f.app.exec('DELETE FROM u WHERE id = 4')
    expect(await dirtyKeys(f.store)).toEqual(['u [4]'])
  })

  test('another key: everything is news under it', async () => {
    await using f = await openAgreed(driver)
    f.app.exec(
      'CREATE TABLE new (id INTEGER, x TEXT PRIMARY KEY, y TEXT); INSERT INTO new SELECT * FROM t; DROP TABLE t; ALTER TABLE new RENAME TO t',
    )
    const rows = await readAllDirty(f.store)
    expect(rows.map(({ key, agreed }) => [key, agreed])).toEqual(
      ROWS.map(({ fields }) => [`["${String(fields?.['x'])}"]`, 'none']),
    )
  })

  test('VACUUM is no change', async () => {
    await using f = await openAgreed(driver)
    f.app.exec('VACUUM')
    expect(await dirtyKeys(f.store)).toEqual([])
    expect((await f.store.schema()).tables).toHaveLength(1)
  })

  test('an index that appears makes claims, a unique one lets parked rows be tried again', async () => {
    await using f = await openAgreed(driver)
    f.app.exec('CREATE UNIQUE INDEX ux ON t (x)')
    f.app.exec("UPDATE t SET x = 'claimed' WHERE id = 1")
    expect(Object.values((await readAllDirty(f.store))[0]?.claims ?? {})).toEqual(['["claimed"]'])
    await push(f.store, 60)
    await pull(f.store, [record('t', 70, { id: 40, x: 'x2', y: null })])
    expect(await parkedKeys(f.store)).toEqual(['t [40]'])
    f.app.exec('DROP INDEX ux')
    await pull(f.store, [])
    expect(await parkedKeys(f.store)).toEqual([])
    expect(await dirtyKeys(f.store)).toEqual([])
  })

  test('a table that can be synced no longer is refused by name, and its rows wait', async () => {
    await using f = await openAgreed(driver)
    f.app.exec(
      'CREATE TABLE keep (id INTEGER PRIMARY KEY); CREATE TABLE new AS SELECT * FROM t; DROP TABLE t; ALTER TABLE new RENAME TO t',
    )
    const schema = await f.store.schema()
    expect(schema.tables.map(({ name }) => name)).toEqual(['keep'])
    expect(schema.refused).toMatchObject([{ table: 't', reason: expect.stringMatching(/key/) as string }])
    expect(await dirtyKeys(f.store)).toEqual([])
  })

  test('text that is not well-formed is found by a comparison too', async () => {
    await using f = await openFile(driver, SQL)
    f.app.exec(
      "INSERT INTO t VALUES (1, CAST(x'ff41' AS TEXT), 'plain'), (2, 'a' || char(0) || 'b', NULL), (3, '�', NULL)",
    )
    await push(f.store, 1)
    for (const name of triggers(f.app)) f.app.exec(`DROP TRIGGER ${name}`)
    f.app.exec("UPDATE t SET x = CAST(x'fe41' AS TEXT) WHERE id = 1")
    expect(await readAllDirty(f.store)).toMatchObject([{ key: '[1]', changed: ['x'] }])
  })

  test('I1: a migration that lets a constraint replace rows is seen: nothing is applied over a row', async () => {
    await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT UNIQUE)')
    await pull(f.store, [record('t', 1, { id: 1, x: 'same' })])
    f.app.exec(`
      CREATE TABLE new (id INTEGER PRIMARY KEY, x TEXT UNIQUE ON /* as ever */ CONFLICT REPLACE);
      INSERT INTO new SELECT * FROM t;
      DROP TABLE t;
      ALTER TABLE new RENAME TO t;`)
    await pull(f.store, [record('t', 2, { id: 2, x: 'same' })])
    expect(f.app.prepare('SELECT id FROM t').all()).toEqual([[1n]])
    expect(await parkedKeys(f.store)).toEqual(['t [2]'])
  })

  test('a migration that makes the key know no case makes other keys', async () => {
    await using f = await openFile(driver, 'CREATE TABLE t (id TEXT PRIMARY KEY, x TEXT)')
    await pull(f.store, [record('t', 1, { id: 'Bob', x: 'x' })])
    f.app.exec(`
      CREATE TABLE new (id TEXT, x TEXT, PRIMARY KEY (id COLLATE NOCASE));
      INSERT INTO new SELECT * FROM t;
      DROP TABLE t;
      ALTER TABLE new RENAME TO t;`)
    expect(await dirtyKeys(f.store)).toEqual(['t ["bob"]'])
  })
})
