import { describe, expect, test } from 'vitest'

import { acknowledge, dirtyKeys, readAllDirty, send } from '../../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../../driver/better-sqlite3.ts'
import { nodeSqlite } from '../../driver/node-sqlite.ts'
import { openFile } from '../harness.ts'

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
