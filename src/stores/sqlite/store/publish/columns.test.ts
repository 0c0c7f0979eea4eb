import { describe, expect, test } from 'vitest'

import type { Fields } from '../../../../kernel/values.ts'
import { dirtyKeys, pull, push, readAllDirty, record } from '../../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../../driver/better-sqlite3.ts'
import { nodeSqlite } from '../../driver/node-sqlite.ts'
import { all, openFile } from '../harness.ts'

describe.each([betterSqlite3, nodeSqlite])('apply on a real file ($name)', (driver) => {
  describe('an older replica and a newer one', () => {
    test('a column that is not here is kept, comes back, and was never an edit', async () => {
      await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)')
      await pull(f.store, [
        record('t', 1, { id: 1, a: 'x', b: 'kept', c: 7 }),
        record('t', 2, { id: 2, a: 'y', b: 'd' }),
      ])
      f.app.exec("UPDATE t SET a = 'edited' WHERE id = 1")
      expect(await readAllDirty(f.store)).toMatchObject([{ fields: { id: 1, a: 'edited' }, changed: ['a'] }])
      await push(f.store, 3)
      f.app.exec("ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'd'; INSERT INTO t VALUES (3, 'new', 'own')")
      expect(await dirtyKeys(f.store)).toEqual(['t [3]'])
      expect(all(f.app, 'SELECT id, a, b FROM t')).toEqual([
        [1, 'edited', 'kept'],
        [2, 'y', 'd'],
        [3, 'new', 'own'],
      ])
      f.app.exec('ALTER TABLE t ADD COLUMN c')
      expect(await dirtyKeys(f.store)).toEqual(['t [3]'])
      expect(all(f.app, 'SELECT c FROM t WHERE id = 1')).toEqual([[7]])
      f.app.exec('UPDATE t SET b = b')
      expect(await dirtyKeys(f.store)).toEqual(['t [3]'])
    })

    test('a column that appears while nobody looks comes back when the store is opened', async () => {
      const sql = `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE TABLE s (id INTEGER PRIMARY KEY, n INTEGER);
        CREATE TRIGGER counted AFTER UPDATE ON t BEGIN UPDATE s SET n = n + 1; END; INSERT INTO s VALUES (1, 0);`
      await using f = await openFile(driver, sql)
      await push(f.store, 1)
      await pull(f.store, [record('t', 5, { id: 1, a: 'x', b: '12' })])
      await f.store[Symbol.asyncDispose]()
      f.app.exec('ALTER TABLE t ADD COLUMN b INTEGER')
      await f.reopen()
      expect(await dirtyKeys(f.store)).toEqual([])
      expect(all(f.app, 'SELECT b FROM t')).toEqual([[12]])
      expect(all(f.app, 'SELECT n FROM s')).toEqual([[0]])
      f.app.exec('UPDATE t SET b = b')
      expect(await dirtyKeys(f.store)).toEqual(['s [1]'])
    })

    test('a migration that fills the new column makes edits of what it wrote', async () => {
      await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)')
      await pull(f.store, [
        record('t', 1, { id: 1, a: 'x', b: 'cloud' }),
        record('t', 2, { id: 2, a: 'y' }),
        record('t', 3, { id: 3, a: 'z' }),
      ])
      f.app.exec("ALTER TABLE t ADD COLUMN b TEXT; UPDATE t SET b = 'filled' WHERE id < 3")
      const rows = await readAllDirty(f.store)
      expect(rows.map((row) => [row.key, row.changed])).toEqual([
        ['[1]', ['b']],
        ['[2]', ['b']],
      ])
      // I7: nobody here has seen what the cloud had there.
      expect(await f.store.listInbox({ open: true })).toMatchObject([
        {
          kind: 'field',
          key: '[1]',
          columns: ['b'],
          chosen: 'local',
          remote: { version: 1, fields: { b: 'cloud' } },
        },
      ])
    })

    test('a migration that fills in what the cloud has leaves nothing to tell', async () => {
      await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)')
      await pull(f.store, [record('t', 1, { id: 1, a: 'x', b: 'same' })])
      f.app.exec("ALTER TABLE t ADD COLUMN b TEXT; UPDATE t SET b = 'same'")
      expect(await dirtyKeys(f.store)).toEqual([])
      expect(await f.store.listInbox({ open: true })).toEqual([])
    })

    test('a dropped and a renamed column: images survive, the renamed one is sent', async () => {
      await using f = await openFile(
        driver,
        'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT)',
      )
      await pull(f.store, [record('t', 1, { id: 1, a: 'x', b: 'long '.repeat(9), c: 'z' })])
      f.app.exec('ALTER TABLE t DROP COLUMN a')
      f.app.exec('UPDATE t SET b = b')
      expect(await dirtyKeys(f.store)).toEqual([])
      f.app.exec("UPDATE t SET c = 'w'")
      expect(await readAllDirty(f.store)).toMatchObject([{ changed: ['c'] }])
      await push(f.store, 2)
      f.app.exec('ALTER TABLE t RENAME COLUMN b TO d')
      const [row] = await readAllDirty(f.store)
      expect(row).toMatchObject({ changed: ['d'], fields: { d: 'long '.repeat(9) } })
      await push(f.store, 3)
      await pull(f.store, [record('t', 4, { id: 1, a: 'x', b: 'old name', c: 'w', d: 'new' })])
      expect(all(f.app, 'SELECT * FROM t')).toEqual([[1, 'new', 'w']])
    })

    test('I11: a column that went and comes again is read again from the cloud', async () => {
      await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT)')
      const hydrating = {
        cursor: { epoch: 'e', generation: 'g', version: 5, high: 5 },
        tables: null,
        place: null,
        sweep: false,
      }
      const row = record('t', 1, { id: 1, a: 'x', b: 'from the cloud' })
      const hydrate = async () => {
        await f.store.startHydrate(hydrating)
        await pull(f.store, [row], { place: { head: 5, table: 't', key: '[1]' } })
        await f.store.finishHydrate(hydrating.cursor)
      }
      await hydrate()
      f.app.exec('ALTER TABLE t DROP COLUMN b')
      await f.store.schema()
      f.app.exec('ALTER TABLE t ADD COLUMN b TEXT')
      expect((await f.store.state()).covered).toEqual([])
      await hydrate()
      expect(all(f.app, 'SELECT b FROM t')).toEqual([['from the cloud']])
      expect(await dirtyKeys(f.store)).toEqual([])
    })

    test('a changed type: what the column makes of a value is no edit', async () => {
      await using f = await openFile(
        driver,
        'CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, r REAL, s TEXT)',
      )
      await pull(f.store, [record('t', 1, { id: 1, n: '12', r: 3, s: 4 })])
      expect(all(f.app, 'SELECT typeof(n), typeof(r), typeof(s) FROM t')).toEqual([
        ['integer', 'real', 'text'],
      ])
      f.app.exec('UPDATE t SET n = n, s = s')
      expect(await dirtyKeys(f.store)).toEqual([])
    })

    test('a key of another type is parked, not stored under another key', async () => {
      await using f = await openFile(
        driver,
        'CREATE TABLE t (id TEXT PRIMARY KEY, x TEXT); CREATE TABLE n (id INTEGER, x TEXT, PRIMARY KEY (id))',
      )
      expect(
        await pull(f.store, [record('t', 1, { id: 1, x: 'a' }), record('t', 2, { id: '1', x: 'b' })]),
      ).toMatchObject({ applied: 1, parked: 1 })
      expect(all(f.app, 'SELECT id, x FROM t')).toEqual([['1', 'b']])
    })
  })

  test('odd names: tables, columns and triggers', async () => {
    await using f = await openFile(
      driver,
      'CREATE TABLE "a""b c" ("constructor" TEXT PRIMARY KEY, "__proto__" TEXT, "it\'s [x]" TEXT, "select" INTEGER)',
    )
    f.app.exec(`INSERT INTO "a""b c" VALUES ('k', 'p', 'q', 1)`)
    const [row] = await readAllDirty(f.store)
    expect(Object.entries(row?.fields ?? {})).toEqual([
      ['constructor', 'k'],
      ['__proto__', 'p'],
      ["it's [x]", 'q'],
      ['select', 1],
    ])
    const fields = JSON.parse('{"constructor":"l","__proto__":"remote","it\'s [x]":"r","select":2}') as Fields
    await pull(f.store, [{ table: 'a"b c', key: '["l"]', version: 1, hlc: 1, by: 'b', fields }])
    expect(all(f.app, 'SELECT * FROM "a""b c" WHERE "select" = 2')).toEqual([['l', 'remote', 'r', 2]])
    const lacking = JSON.parse('{"constructor":"m"}') as Fields
    await pull(f.store, [{ table: 'a"b c', key: '["m"]', version: 2, hlc: 1, by: 'b', fields: lacking }])
    expect(await dirtyKeys(f.store)).toEqual(['a"b c ["k"]'])
  })
})
