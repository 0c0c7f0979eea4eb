import { describe, expect, test } from 'vitest'

import {
  dirtyKeys,
  parkedKeys,
  pull,
  record,
  tombstone,
  touch,
} from '../../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../../driver/better-sqlite3.ts'
import { nodeSqlite } from '../../driver/node-sqlite.ts'
import { all, openFile } from '../harness.ts'

describe.each([betterSqlite3, nodeSqlite])('apply on a real file ($name)', (driver) => {
  describe('rules of one side only', () => {
    test('I9: NOT NULL, STRICT types and integer keys park one record and stop no other', async () => {
      await using f = await openFile(
        driver,
        'CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, s TEXT) STRICT',
      )
      const result = await pull(f.store, [
        record('t', 1, { id: 1, n: null, s: 'x' }),
        record('t', 2, { id: 2, n: 'word', s: 'x' }),
        record('t', 3, { id: 'word', n: 1, s: 'x' }),
        record('t', 4, { id: 4, n: 4, s: { $bytes: 'AA==' } }),
        record('t', 5, { id: 5, n: 5, s: true }),
        record('t', 6, { id: 6, n: 6, s: 'good' }),
      ])
      expect(result).toMatchObject({ status: 'done', applied: 1, parked: 5 })
      expect(all(f.app, 'SELECT id FROM t')).toEqual([[6]])
      for (const { reason } of await f.store.listParked(9))
        expect(reason).toMatch(/^(not null|type|a value|key)/)
      expect(await dirtyKeys(f.store)).toEqual([])
    })

    test('I2: a rule that is lifted lets parked records stand', async () => {
      await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)')
      await pull(f.store, [record('t', 1, { id: 1, n: null })])
      expect(await parkedKeys(f.store)).toEqual(['t [1]'])
      f.app.exec(
        'CREATE TABLE u (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO u SELECT * FROM t; DROP TABLE t; ALTER TABLE u RENAME TO t',
      )
      await pull(f.store, [])
      expect(all(f.app, 'SELECT id, n FROM t')).toEqual([[1, null]])
      expect(await parkedKeys(f.store)).toEqual([])
      expect(await dirtyKeys(f.store)).toEqual([])
    })

    test('a row that fails CHECK here is applied: the check is the other replica’s to make', async () => {
      await using f = await openFile(
        driver,
        'CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER CHECK (n > 0))',
      )
      expect(await pull(f.store, [record('t', 1, { id: 1, n: -1 })])).toMatchObject({ applied: 1, parked: 0 })
      expect(all(f.app, 'SELECT n FROM t')).toEqual([[-1]])
      expect(() => f.app.exec('INSERT INTO t VALUES (2, -2)')).toThrow()
    })

    test('an older edit stays visible while its record is parked', async () => {
      await using f = await openFile(
        driver,
        'CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, s TEXT)',
      )
      await pull(f.store, [record('t', 1, { id: 1, n: 1, s: 'old' })])
      await pull(f.store, [record('t', 2, { id: 1, n: null, s: 'new' })])
      expect(all(f.app, 'SELECT n, s FROM t')).toEqual([[1, 'old']])
      f.app.exec("UPDATE t SET s = 'edited'")
      expect(await touch(f.store, 't', '[1]')).toMatchObject({ base: 1, changed: ['s'] })
      await pull(f.store, [record('t', 3, { id: 1, n: 3, s: 'later' })]).then((result) =>
        expect(result).toMatchObject({ status: 'moved' }),
      )
    })
  })

  describe('foreign keys', () => {
    const SQL = `
      CREATE TABLE parents (id TEXT PRIMARY KEY);
      CREATE TABLE children (id TEXT PRIMARY KEY, parent TEXT NOT NULL REFERENCES parents ON DELETE CASCADE);`

    test('any order, and what points nowhere is noted once and resolved later', async () => {
      await using f = await openFile(driver, SQL)
      expect(
        await pull(f.store, [
          record('children', 1, { id: 'c', parent: 'p' }),
          record('parents', 2, { id: 'p' }),
        ]),
      ).toMatchObject({ applied: 2, notes: 0 })
      expect(await pull(f.store, [record('children', 3, { id: 'd', parent: 'q' })])).toMatchObject({
        applied: 1,
        notes: 1,
      })
      expect(await pull(f.store, [])).toMatchObject({ notes: 0 })
      expect(await f.store.listInbox({ open: true })).toMatchObject([
        { kind: 'integrity', table: 'children', key: '["d"]', columns: ['parent'] },
      ])
      await pull(f.store, [record('parents', 4, { id: 'q' })])
      expect(await f.store.listInbox({ open: true })).toEqual([])
      expect(await f.store.listInbox({})).toMatchObject([{ status: 'resolved' }])
    })

    test('I1: a delete that would cascade to an unsent row takes it nowhere', async () => {
      await using f = await openFile(driver, SQL)
      f.app.exec('PRAGMA foreign_keys = ON')
      await pull(f.store, [record('parents', 1, { id: 'p' })])
      f.app.exec("INSERT INTO children VALUES ('unsent', 'p')")
      expect(await pull(f.store, [tombstone('parents', '["p"]', 2)])).toMatchObject({ applied: 1, notes: 1 })
      expect(all(f.app, 'SELECT id FROM children')).toEqual([['unsent']])
      expect(await dirtyKeys(f.store)).toEqual(['children ["unsent"]'])
      expect(await f.store.listInbox({})).toMatchObject([{ kind: 'integrity', key: '["unsent"]' }])
    })
  })
})
