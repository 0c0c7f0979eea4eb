import { describe, expect, test } from 'vitest'

import { acknowledge, dirtyKeys, readAllDirty, send } from '../../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../../driver/better-sqlite3.ts'
import { nodeSqlite } from '../../driver/node-sqlite.ts'
import { openFile } from '../harness.ts'
import { stateTable } from '../names.ts'

/** The library cannot say which row an `abs()` index displaces: the table is swept for rows that are gone. */
const SWEPT = 'CREATE TABLE t (id INTEGER PRIMARY KEY, d INTEGER); CREATE UNIQUE INDEX u ON t (abs(d));'

describe.each([betterSqlite3, nodeSqlite])(
  'what happens to a row while it is in flight ($name)',
  (driver) => {
    test('I1: nothing: it is agreed', async () => {
      await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)')
      f.app.exec("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
      await acknowledge(f.store, await send(f.store), 10)
      expect(await dirtyKeys(f.store)).toEqual([])
    })

    test('I1: an edit, an edit and back, a delete, a delete and the same row again', async () => {
      await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)')
      f.app.exec("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')")
      const changes = await send(f.store)
      f.app.exec(`UPDATE t SET x = 'later' WHERE id = 1;
      UPDATE t SET x = 'later' WHERE id = 2; UPDATE t SET x = 'b' WHERE id = 2;
      DELETE FROM t WHERE id = 3;
      DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (4, 'd')`)
      await acknowledge(f.store, changes, 10)
      expect(await dirtyKeys(f.store)).toEqual(['t [1]', 't [3]'])
      expect((await readAllDirty(f.store)).map(({ changed, fields }) => [changed, fields])).toEqual([
        [['x'], { id: 1, x: 'later' }],
        [[], null],
      ])
    })

    test('I1: many at once, of which some are written meanwhile', async () => {
      await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)')
      f.app.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
        INSERT INTO t SELECT i, 'x' || i FROM n`)
      const changes = await send(f.store)
      f.app.exec(`UPDATE t SET x = 'later' WHERE id = 40; UPDATE t SET x = 'later' WHERE id = 41;
        UPDATE t SET x = 'x41' WHERE id = 41; DELETE FROM t WHERE id = 100; INSERT INTO t VALUES (200, 'new')`)
      await acknowledge(f.store, changes, 10)
      expect(await dirtyKeys(f.store)).toEqual(['t [100]', 't [200]', 't [40]'])
      const dirty = new Map((await readAllDirty(f.store)).map((row) => [row.key, row]))
      expect(dirty.get('[40]')).toMatchObject({ base: 49, agreed: 'live', changed: ['x'] })
      expect(dirty.get('[100]')).toMatchObject({ base: 109, agreed: 'live', fields: null })
      expect(dirty.get('[200]')).toMatchObject({ base: 0, agreed: 'none' })
      // What was agreed is what was pushed: an edit of any row is an edit of that column, from the version it got.
      f.app.exec("UPDATE t SET x = 'edited' WHERE id IN (1, 32, 33, 150)")
      const edited = (await readAllDirty(f.store)).filter(({ fields }) => fields?.['x'] === 'edited')
      expect(edited.map(({ key, base, changed }) => [key, base, changed])).toEqual([
        ['[1]', 10, ['x']],
        ['[32]', 41, ['x']],
        ['[33]', 42, ['x']],
        ['[150]', 159, ['x']],
      ])
    })

    test('many at once of a key of two columns, one of which something newer is known', async () => {
      await using f = await openFile(
        driver,
        'CREATE TABLE t (a TEXT COLLATE NOCASE, b INTEGER, x, PRIMARY KEY (a, b)) WITHOUT ROWID',
      )
      f.app.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70)
        INSERT INTO t SELECT 'Key', i, x'00' FROM n`)
      const changes = await send(f.store)
      f.app.exec(
        `INSERT INTO ${stateTable(1)} (k0, k1, version, agreed, image) VALUES ('Key', 5, 900, 1, x'03010101')`,
      )
      await acknowledge(f.store, changes, 10)
      f.app.exec('UPDATE t SET x = 1 WHERE b IN (4, 5, 6)')
      expect((await readAllDirty(f.store)).map(({ key, base }) => [key, base])).toEqual([
        ['["key",4]', 13],
        ['["key",5]', 900],
        ['["key",6]', 15],
      ])
    })

    test('I1: displaced without a trigger telling', async () => {
      await using f = await openFile(driver, SWEPT)
      f.app.exec('INSERT INTO t VALUES (1, 7), (2, 8)')
      const changes = await send(f.store)
      f.app.exec('REPLACE INTO t VALUES (3, -7)')
      // The sweep is done here, and finds the mark that was sent.
      await f.store.readTouched([])
      await acknowledge(f.store, changes, 10)
      expect(await dirtyKeys(f.store)).toEqual(['t [1]', 't [3]'])
    })

    test('I1: a column that the application adds and fills', async () => {
      await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)')
      f.app.exec("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
      const changes = await send(f.store)
      f.app.exec("ALTER TABLE t ADD COLUMN y TEXT DEFAULT '-'; UPDATE t SET y = 'filled' WHERE id = 1")
      await acknowledge(f.store, changes, 10)
      expect(await dirtyKeys(f.store)).toEqual(['t [1]'])
    })
  },
)
