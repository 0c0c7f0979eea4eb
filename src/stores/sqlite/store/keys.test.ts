import { describe, expect, test } from 'vitest'

import { parkedKeys, pull, readAllDirty, record, tombstone } from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openFile } from './harness.ts'

/** Keys that another replica's table has, and the row of this one that SQLite would find by them. */
const STRANGERS = [
  { type: 'TEXT COLLATE NOCASE', own: '["bob"]', id: 'bob', other: '["BOB"]', otherId: 'BOB' },
  { type: 'TEXT COLLATE RTRIM', own: '["bob"]', id: 'bob', other: '["bob "]', otherId: 'bob ' },
  { type: 'INTEGER', own: '[1]', id: 1, other: '["1"]', otherId: '1' },
  { type: 'TEXT', own: '["1"]', id: '1', other: '[1]', otherId: 1 },
] as const

describe.each([betterSqlite3, nodeSqlite])(
  'keys of tables that are declared otherwise elsewhere ($name)',
  (driver) => {
    test.each(STRANGERS)(
      'I1: $other deletes no row $own of a key that is $type',
      async ({ type, own, id, other, otherId }) => {
        await using f = await openFile(driver, `CREATE TABLE t (id ${type} PRIMARY KEY, x TEXT)`)
        const rows = () => f.app.prepare('SELECT x FROM t').all().flat()
        await pull(f.store, [record('t', 5, { id, x: 'own' }, { key: own })])
        await pull(f.store, [record('t', 6, { id: otherId, x: 'other' }, { key: other })])
        expect(rows()).toEqual(['own'])
        expect(await parkedKeys(f.store)).toEqual([`t ${other}`])
        // Older than what is agreed on the row, but news all the same: it is another one.
        await pull(f.store, [record('t', 8, { id, x: 'own again' }, { key: own })])
        await pull(f.store, [record('t', 7, { id: otherId, x: 'newer' }, { key: other })])
        expect((await f.store.listParked(9)).map((parked) => parked.record.version)).toEqual([7])
        f.app.exec("UPDATE t SET x = 'edited'")
        expect(await f.store.readTouched([{ table: 't', key: other }])).toEqual([])
        await pull(f.store, [tombstone('t', other, 9)])
        expect(rows()).toEqual(['edited'])
        expect(await parkedKeys(f.store)).toEqual([])
        expect((await readAllDirty(f.store)).map((row) => [row.key, row.base])).toEqual([[own, 8]])
      },
    )

    test('I9: what is no key at all is parked, and the others go on', async () => {
      await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)')
      const odd = ['zz', '{}', '[]', '[null]', '[1,2]', '[1.0]', '[ 1]', '[{"$int":"x"}]', '["\\u0000"]']
      await pull(f.store, [
        ...odd.map((key, at) => record('t', at + 1, { id: 1, x: 'odd' }, { key })),
        record('t', 50, { id: 7, x: 'well' }),
      ])
      expect(f.app.prepare('SELECT id FROM t').all()).toEqual([[7n]])
      expect([...(await parkedKeys(f.store))].sort()).toEqual(odd.map((key) => `t ${key}`).sort())
      await pull(
        f.store,
        odd.map((key, at) => tombstone('t', key, 60 + at)),
      )
      expect(await parkedKeys(f.store)).toEqual([])
    })
  },
)
