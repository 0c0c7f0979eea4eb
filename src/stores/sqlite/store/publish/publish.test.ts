import { describe, expect, test } from 'vitest'

import type { Fields } from '../../../../kernel/values.ts'
import type { WireRecord } from '../../../../protocol/records.ts'
import type { Store } from '../../../../engine/store.ts'
import {
  acknowledge,
  dirtyKeys,
  key,
  merge,
  note,
  parkedKeys,
  pull,
  push,
  readAllDirty,
  send,
  tombstone,
  touch,
} from '../../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../../driver/better-sqlite3.ts'
import type { Connection } from '../../driver/driver.ts'
import { nodeSqlite } from '../../driver/node-sqlite.ts'
import { openFile } from '../harness.ts'

/** A live record of another replica; its key is the first column's. */
function record(table: string, version: number, fields: Fields, more: Partial<WireRecord> = {}): WireRecord {
  const [first = null] = Object.values(fields)
  return { table, key: key(first), version, hlc: version * 1_000, by: 'replica-b', fields, ...more }
}

const all = (app: Connection, sql: string): readonly (readonly unknown[])[] =>
  app
    .prepare(sql)
    .all()
    .map((row) => row.map((value) => (typeof value === 'bigint' ? Number(value) : value)))

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

  describe('triggers of the application', () => {
    const SQL = `
      CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT, body TEXT);
      CREATE TABLE totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
      INSERT INTO totals VALUES ('notes', 0);
      CREATE TABLE log (at INTEGER, what TEXT);
      CREATE TABLE last (id INTEGER UNIQUE, what TEXT);
      CREATE VIRTUAL TABLE search USING fts5 (title, body, content = 'notes', content_rowid = 'id');
      CREATE TRIGGER search_i AFTER INSERT ON notes BEGIN
        INSERT INTO search (rowid, title, body) VALUES (new.id, new.title, new.body); END;
      CREATE TRIGGER search_d AFTER DELETE ON notes BEGIN
        INSERT INTO search (search, rowid, title, body) VALUES ('delete', old.id, old.title, old.body); END;
      CREATE TRIGGER search_u AFTER UPDATE ON notes BEGIN
        INSERT INTO search (search, rowid, title, body) VALUES ('delete', old.id, old.title, old.body);
        INSERT INTO search (rowid, title, body) VALUES (new.id, new.title, new.body); END;
      CREATE TRIGGER count_i AFTER INSERT ON notes BEGIN UPDATE totals SET value = value + 1 WHERE name = 'notes'; END;
      CREATE TRIGGER count_d AFTER DELETE ON notes BEGIN UPDATE totals SET value = value - 1 WHERE name = 'notes'; END;
      CREATE TRIGGER log_i AFTER INSERT ON notes BEGIN INSERT INTO log VALUES (new.id, new.title); END;
      CREATE TRIGGER last_u AFTER UPDATE ON notes BEGIN INSERT OR REPLACE INTO last VALUES (1, new.title); END;`
    const noteOf = (id: number, version: number, title: string): WireRecord =>
      record('notes', version, { id, title, body: `body ${id}` })
    const schemaOf = (app: Connection) =>
      all(
        app,
        "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE '\\_tidemark%' ESCAPE '\\' ORDER BY type, name",
      )

    test('a full-text index stays right, a counter counts once, other triggers run, the schema is as before', async () => {
      await using f = await openFile(driver, SQL)
      const before = schemaOf(f.app)
      await push(f.store, 1)
      await pull(f.store, [
        noteOf(1, 2, 'apple'),
        noteOf(2, 3, 'pear'),
        record('totals', 4, { name: 'notes', value: 2 }),
      ])
      await pull(f.store, [
        noteOf(1, 5, 'cherry'),
        tombstone('notes', '[2]', 6),
        record('totals', 7, { name: 'notes', value: 1 }),
      ])
      expect(all(f.app, "SELECT rowid FROM search WHERE search MATCH 'cherry'")).toEqual([[1]])
      expect(all(f.app, "SELECT rowid FROM search WHERE search MATCH 'apple OR pear'")).toEqual([])
      f.app.exec("INSERT INTO search (search) VALUES ('integrity-check')")
      expect(all(f.app, 'SELECT name, value FROM totals')).toEqual([['notes', 1]])
      expect(all(f.app, 'SELECT at FROM log')).toEqual([[1], [2]])
      // Its own OR REPLACE stands: a clause of ours would have overridden it.
      expect(all(f.app, 'SELECT what FROM last')).toEqual([['cherry']])
      expect(await dirtyKeys(f.store)).toEqual([])
      expect(schemaOf(f.app)).toEqual(before)
      f.app.exec("INSERT INTO notes VALUES (7, 'local', '')")
      expect(all(f.app, 'SELECT value FROM totals')).toEqual([[2]])
      expect(await dirtyKeys(f.store)).toEqual(['notes [7]', 'totals ["notes"]'])
    })

    test('the schema is touched only where such a trigger can fire', async () => {
      await using f = await openFile(driver, SQL)
      const version = () => f.app.value('PRAGMA schema_version')
      await f.store.schema()
      const before = version()
      await pull(f.store, [record('totals', 1, { name: 'others', value: 2 })])
      expect(version()).toBe(before)
      await pull(f.store, [noteOf(1, 2, 'x')])
      expect(version()).not.toBe(before)
      // The store's own change is no news to it: nothing is repaired, and capture is whole.
      await f.reopen()
      const after = version()
      await f.store.schema()
      expect(version()).toBe(after)
      expect(await dirtyKeys(f.store)).toEqual(['totals ["notes"]'])
    })

    test('one that is set off through an unsynced table is taken off too', async () => {
      const sql = `
        CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE s (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO s VALUES (1, 0);
        CREATE TABLE u (x);
        CREATE TRIGGER t1 AFTER INSERT ON a BEGIN INSERT INTO u VALUES (new.id); END;
        CREATE TRIGGER t2 AFTER INSERT ON u BEGIN UPDATE s SET n = n + 1; END;`
      await using f = await openFile(driver, sql)
      await push(f.store, 1)
      await pull(f.store, [record('a', 5, { id: 1 })])
      expect(all(f.app, 'SELECT x FROM u')).toEqual([[1]])
      expect(all(f.app, 'SELECT n FROM s')).toEqual([[0]])
      f.app.exec('INSERT INTO a VALUES (2)')
      expect(all(f.app, 'SELECT n FROM s')).toEqual([[1]])
    })

    test.each(['ABORT', 'FAIL', 'ROLLBACK'])('I9: RAISE(%s) parks its row alone', async (kind) => {
      const sql = `CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
        CREATE TRIGGER no BEFORE INSERT ON t WHEN new.x = 'bad' BEGIN SELECT RAISE(${kind}, 'no'); END;`
      await using f = await openFile(driver, sql)
      const result = await pull(f.store, [
        record('t', 1, { id: 1, x: 'good' }),
        record('t', 2, { id: 2, x: 'bad' }),
        record('t', 3, { id: 3, x: 'good' }),
      ])
      expect(result).toMatchObject({ status: 'done', applied: 2, parked: 1 })
      expect(all(f.app, 'SELECT id FROM t')).toEqual([[1], [3]])
      expect(await parkedKeys(f.store)).toEqual(['t [2]'])
      f.app.exec('DROP TRIGGER no')
      await pull(f.store, [])
      expect(all(f.app, 'SELECT id FROM t')).toEqual([[1], [2], [3]])
    })

    test('I9: RAISE(IGNORE) parks its row', async () => {
      const sql = `CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
        CREATE TRIGGER no BEFORE INSERT ON t WHEN new.x = 'bad' BEGIN SELECT RAISE(IGNORE); END;`
      await using f = await openFile(driver, sql)
      expect(await pull(f.store, [record('t', 1, { id: 1, x: 'bad' })])).toMatchObject({
        applied: 0,
        parked: 1,
      })
      expect(await dirtyKeys(f.store)).toEqual([])
    })
  })

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
