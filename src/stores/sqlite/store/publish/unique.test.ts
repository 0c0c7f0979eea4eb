import { describe, expect, test } from 'vitest'

import type { Fields } from '../../../../kernel/values.ts'
import type { WireRecord } from '../../../../protocol/records.ts'
import {
  acknowledge,
  dirtyKeys,
  note,
  parkedKeys,
  pull,
  push,
  readAllDirty,
  record,
  send,
  touch,
} from '../../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../../driver/better-sqlite3.ts'
import { nodeSqlite } from '../../driver/node-sqlite.ts'
import { all, openFile } from '../harness.ts'

describe.each([betterSqlite3, nodeSqlite])('apply on a real file ($name)', (driver) => {
  describe('unique values', () => {
    const SQL = `
      CREATE TABLE people (id TEXT PRIMARY KEY, email TEXT UNIQUE COLLATE NOCASE, nick TEXT, team TEXT, live INTEGER NOT NULL DEFAULT 1);
      CREATE UNIQUE INDEX nick_in_team ON people (lower(nick), team) WHERE live;`
    const person = (id: string, version: number, more: Fields): WireRecord =>
      record('people', version, { id, email: null, nick: null, team: null, live: 1, ...more })

    test('swapped in one publication, by column and by expression', async () => {
      await using f = await openFile(driver, SQL)
      await pull(f.store, [
        person('a', 1, { email: 'x', nick: 'N', team: 't' }),
        person('b', 2, { email: 'Y', nick: 'm', team: 't' }),
      ])
      const result = await pull(f.store, [
        person('a', 3, { email: 'y', nick: 'M', team: 't' }),
        person('b', 4, { email: 'X', nick: 'n', team: 't' }),
      ])
      expect(result).toMatchObject({ applied: 2, parked: 0 })
      expect(all(f.app, 'SELECT id, email, nick FROM people ORDER BY id')).toEqual([
        ['a', 'y', 'M'],
        ['b', 'X', 'n'],
      ])
      expect(await dirtyKeys(f.store)).toEqual([])
    })

    test('a chain in any order', async () => {
      await using f = await openFile(driver, SQL)
      const rows = ['a', 'b', 'c', 'd']
      await pull(
        f.store,
        rows.map((id, at) => person(id, at + 1, { email: `m${at}` })),
      )
      const next = rows.map((id, at) => person(id, at + 10, { email: `m${(at + 1) % 4}` }))
      expect(await pull(f.store, [next[2], next[0], next[3], next[1]] as WireRecord[])).toMatchObject({
        applied: 4,
        parked: 0,
      })
      expect(all(f.app, 'SELECT email FROM people ORDER BY id').flat()).toEqual(['m1', 'm2', 'm3', 'm0'])
    })

    test('I2: under two keys, the smaller agreed key stands, whatever the index and the order', async () => {
      for (const [one, other] of [
        ['a', 'b'],
        ['b', 'a'],
      ] as const) {
        await using f = await openFile(driver, SQL)
        await pull(f.store, [person(one, 1, { nick: 'Ann', team: 't' })])
        await pull(f.store, [person(other, 2, { nick: 'ANN', team: 't' })])
        expect(all(f.app, 'SELECT id FROM people')).toEqual([['a']])
        expect(await parkedKeys(f.store)).toEqual(['people ["b"]'])
        expect(await dirtyKeys(f.store)).toEqual([])
        // The parked one stands as soon as nothing is in its way.
        await pull(f.store, [person('a', 3, { nick: 'Ann', team: 't', live: 0 })])
        expect(all(f.app, 'SELECT id FROM people ORDER BY id')).toEqual([['a'], ['b']])
        expect(await parkedKeys(f.store)).toEqual([])
      }
    })

    test('I1: an unsent row is in the way: the record is parked, and stands when the row gives up', async () => {
      await using f = await openFile(driver, SQL)
      f.app.exec("INSERT INTO people (id, email) VALUES ('z', 'Mine@x')")
      expect(await pull(f.store, [person('a', 1, { email: 'mine@X' })])).toMatchObject({
        applied: 0,
        parked: 1,
      })
      expect(all(f.app, 'SELECT id FROM people')).toEqual([['z']])
      const changes = await send(f.store)
      expect(changes).toMatchObject([{ key: '["z"]', op: 'put' }])
      const read = await touch(f.store, 'people', '["z"]')
      await acknowledge(f.store, changes, 9, {
        outcome: () => ({ kind: 'left' }),
        rest: {
          merged: [{ read, record: null, decision: { kind: 'take' } }],
          notes: [note(read, { kind: 'unique' })],
        },
      })
      expect(all(f.app, 'SELECT id FROM people')).toEqual([['a']])
      expect(await parkedKeys(f.store)).toEqual([])
      expect(await dirtyKeys(f.store)).toEqual([])
    })

    test('claims are what the index holds', async () => {
      await using f = await openFile(driver, SQL)
      f.app.exec("INSERT INTO people VALUES ('a', 'Mail@X', 'Nick', 'T', 1), ('b', NULL, 'Nick', 'T', 0)")
      const rows = await readAllDirty(f.store)
      const [a, b] = [...rows].sort((x, y) => (x.key < y.key ? -1 : 1))
      const values = Object.values(a?.claims ?? {})
      expect(values).toContain('["mail@x"]')
      expect(values).toContain('["nick","T"]')
      expect(Object.values(b?.claims ?? {})).toEqual([null, null])
      await push(f.store, 1)
      f.app.exec("UPDATE people SET live = 0 WHERE id = 'a'")
      const [changed] = await readAllDirty(f.store)
      expect(changed?.changed).toEqual(['live'])
      expect(Object.values(changed?.claims ?? {})).toEqual([null])
    })

    test('ON CONFLICT REPLACE of the schema deletes nobody', async () => {
      await using f = await openFile(
        driver,
        'CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT REPLACE, u TEXT UNIQUE ON CONFLICT REPLACE)',
      )
      f.app.exec("INSERT INTO t VALUES (9, 'x')")
      expect(await pull(f.store, [record('t', 1, { id: 1, u: 'x' })])).toMatchObject({ parked: 1 })
      expect(all(f.app, 'SELECT id FROM t')).toEqual([[9]])
    })
  })
})
