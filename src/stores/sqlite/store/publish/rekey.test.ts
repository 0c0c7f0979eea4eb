import { describe, expect, test } from 'vitest'

import type { Store } from '../../../../engine/store.ts'
import type { WireRecord } from '../../../../protocol/records.ts'
import {
  acknowledge,
  dirtyKeys,
  merge,
  note,
  pull,
  push,
  record,
  send,
  tombstone,
  touch,
} from '../../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../../driver/better-sqlite3.ts'
import { nodeSqlite } from '../../driver/node-sqlite.ts'
import { all, openFile } from '../harness.ts'

/** Re-keys the row that meets this record, as the engine decides. */
async function rekey(store: Store, records: readonly WireRecord[], more: Parameters<typeof pull>[2] = {}) {
  const merged = await Promise.all(
    records.map(async (met) => {
      const read = await touch(store, met.table, met.key)
      return { read, record: met, decision: { kind: 'rekey' } as const }
    }),
  )
  const notes = merged.map(({ read, record: remote }) =>
    note(read, { kind: 'rekeyed', remote, chosen: 'both' }),
  )
  return merge(store, merged, { notes, ...more })
}

describe.each([betterSqlite3, nodeSqlite])('apply on a real file ($name)', (driver) => {
  describe('the same new integer key', () => {
    const SQL = `
      CREATE TABLE authors (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, editor INTEGER REFERENCES authors(id));
      CREATE TABLE books (id INTEGER PRIMARY KEY, author INTEGER REFERENCES authors ON DELETE CASCADE, title TEXT);
      CREATE TABLE pages (author INTEGER, book INTEGER, number INTEGER, text TEXT, PRIMARY KEY (author, book, number),
        FOREIGN KEY (author) REFERENCES authors(id), FOREIGN KEY (book) REFERENCES books(id)) WITHOUT ROWID;
      CREATE TABLE scratch (author INTEGER REFERENCES authors(id), word TEXT);`

    test('I8: a row finds a fresh key where the largest of all is taken', async () => {
      const ends = [9223372036854775807n, 9223372036854775804n]
      for (const end of ends) {
        await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)')
        await pull(f.store, [record('t', 1, { id: { $int: String(end) }, x: 'end' })])
        f.app.exec("INSERT INTO t VALUES (1, 'local'), (2, 'local')")
        const met = [record('t', 2, { id: 1, x: 'remote' }), record('t', 3, { id: 2, x: 'remote' })]
        expect(await rekey(f.store, met)).toMatchObject({ status: 'done', applied: 2, parked: 0 })
        const ids = f.app.prepare("SELECT id FROM t WHERE x = 'local'").all().flat() as bigint[]
        expect(ids).toHaveLength(2)
        expect(ids.every((id) => id > 2n && id < end)).toBe(true)
      }
    })

    test('I1: children, grandchildren in a composite key, the row itself and unsynced rows follow', async () => {
      await using f = await openFile(driver, SQL)
      f.app.exec(`
        INSERT INTO authors VALUES (1, 'local', 1), (2, 'other', 1);
        INSERT INTO books VALUES (1, 1, 'l');
        INSERT INTO pages VALUES (1, 1, 1, 'p');
        INSERT INTO scratch VALUES (1, 'w'), (2, 'v');`)
      const result = await rekey(f.store, [record('authors', 1, { id: 1, name: 'remote', editor: null })])
      expect(result).toMatchObject({ status: 'done', applied: 1, parked: 0, notes: 1 })
      const [[id]] = all(f.app, "SELECT id FROM authors WHERE name = 'local'") as [[number]]
      expect(id).toBeGreaterThan(2)
      expect(all(f.app, 'SELECT id, name, editor FROM authors ORDER BY name')).toEqual([
        [id, 'local', id],
        [2, 'other', id],
        [1, 'remote', null],
      ])
      expect(all(f.app, 'SELECT author FROM books')).toEqual([[id]])
      expect(all(f.app, 'SELECT author, book FROM pages')).toEqual([[id, 1]])
      expect(all(f.app, 'SELECT author FROM scratch ORDER BY word')).toEqual([[2], [id]])
      expect(all(f.app, 'PRAGMA foreign_key_check')).toEqual([])
      const dirty = ['authors [2]', `authors [${id}]`, 'books [1]', `pages [${id},1,1]`]
      expect(await dirtyKeys(f.store)).toEqual(dirty.sort())
      const [entry] = await f.store.listInbox({})
      expect(entry).toMatchObject({ kind: 'rekeyed', key: '[1]', local: { id, name: 'local' } })
    })

    test('children that came from the cloud stay with the cloud’s row', async () => {
      await using f = await openFile(driver, SQL)
      await pull(f.store, [record('books', 1, { id: 9, author: 1, title: 'remote' })])
      f.app.exec(
        "INSERT INTO authors VALUES (1, 'local', NULL); INSERT INTO books VALUES (1, 1, 'mine'), (2, 1, 'sent')",
      )
      const changes = (await send(f.store)).filter(({ key: at }) => at === '[2]')
      await acknowledge(f.store, changes, 2)
      const parent = record('authors', 3, { id: 1, name: 'remote', editor: null })
      await rekey(f.store, [parent])
      const [[id]] = all(f.app, "SELECT id FROM authors WHERE name = 'local'") as [[number]]
      expect(all(f.app, 'SELECT id, author FROM books ORDER BY id')).toEqual([
        [1, id],
        [2, id],
        [9, 1],
      ])
      expect(await dirtyKeys(f.store)).toEqual([`authors [${id}]`, 'books [1]', 'books [2]'])
      expect((await touch(f.store, 'books', '[2]')).changed).toEqual(['author'])
    })

    test('fresh keys are above every known one, spread, and never given twice', async () => {
      await using f = await openFile(driver, SQL)
      f.app.exec(
        "INSERT INTO authors VALUES (900, 'gone', NULL); DELETE FROM authors WHERE id = 900; INSERT INTO authors VALUES (1, 'a', NULL)",
      )
      await pull(f.store, [tombstone('authors', '[5000]', 1)])
      await rekey(f.store, [record('authors', 2, { id: 1, name: 'r1', editor: null })])
      const [[first]] = all(f.app, "SELECT id FROM authors WHERE name = 'a'") as [[number]]
      expect(first).toBeGreaterThan(5_000)
      await rekey(f.store, [record('authors', 3, { id: first, name: 'r2', editor: null })])
      const [[second]] = all(f.app, "SELECT id FROM authors WHERE name = 'a'") as [[number]]
      expect(second).toBeGreaterThan(first)
      expect(all(f.app, "INSERT INTO authors (name) VALUES ('next') RETURNING id")[0]?.[0]).toBeGreaterThan(
        second,
      )
    })

    test('a child of the same publication that still says the old key follows too', async () => {
      await using f = await openFile(driver, SQL)
      f.app.exec("INSERT INTO authors VALUES (1, 'local', NULL); INSERT INTO books VALUES (1, 1, 'mine')")
      await push(f.store, 1).then(() => undefined)
      f.app.exec(
        "DELETE FROM authors; INSERT INTO authors VALUES (4, 'new', NULL); UPDATE books SET author = 4",
      )
      const changes = await send(f.store)
      const [book] = changes.filter(({ table }) => table === 'books')
      const current = record('books', 9, { id: 1, author: 4, title: 'edited elsewhere' })
      const parent = record('authors', 8, { id: 4, name: 'remote', editor: null })
      const read = await touch(f.store, 'authors', '[4]')
      await acknowledge(f.store, changes, 9, {
        outcome: (change) => (change === book ? { kind: 'ok', version: 9 } : { kind: 'left' }),
        rest: { records: [current], merged: [{ read, record: parent, decision: { kind: 'rekey' } }] },
      })
      const [[id]] = all(f.app, "SELECT id FROM authors WHERE name = 'new'") as [[number]]
      expect(all(f.app, 'SELECT author, title FROM books')).toEqual([[id, 'edited elsewhere']])
      expect(await touch(f.store, 'books', '[1]')).toMatchObject({ base: 9, changed: ['author'] })
    })
  })
})
