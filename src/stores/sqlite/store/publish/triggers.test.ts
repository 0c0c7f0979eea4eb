import { describe, expect, test } from 'vitest'

import type { WireRecord } from '../../../../protocol/records.ts'
import {
  dirtyKeys,
  parkedKeys,
  pull,
  push,
  record,
  tombstone,
} from '../../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../../driver/better-sqlite3.ts'
import type { Connection } from '../../driver/driver.ts'
import { nodeSqlite } from '../../driver/node-sqlite.ts'
import { all, openFile } from '../harness.ts'

describe.each([betterSqlite3, nodeSqlite])('apply on a real file ($name)', (driver) => {
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
      await pull(f.store, [noteOf(1, 8, 'plum')])
      expect(all(f.app, 'SELECT what FROM last')).toEqual([['plum']])
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

    test('the order in which triggers fire is as before, with the notes of the store first', async () => {
      await using f = await openFile(driver, SQL)
      const isOwn = (name: string) => name.startsWith('_tidemark')
      const order = () =>
        all(
          f.app,
          "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'notes' ORDER BY rowid",
        ).map(([name]) => String(name))
      const before = order().filter((name) => !isOwn(name))
      expect(before.indexOf('count_i')).toBeLessThan(before.indexOf('log_i'))
      await push(f.store, 1)
      for (const version of [2, 3]) {
        await pull(f.store, [noteOf(1, version, 'apple')])
        expect(order().filter((name) => !isOwn(name))).toEqual(before)
        // The youngest fires first.
        expect(order().findIndex(isOwn)).toBe(before.length)
      }
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

    describe('that write synced tables and others both', () => {
      const MIXED = `
        CREATE TABLE note (id INTEGER PRIMARY KEY, title TEXT, updated_at TEXT);
        CREATE TABLE stats (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO stats VALUES (1, 0);
        CREATE TABLE log (what);
        CREATE VIRTUAL TABLE note_fts USING fts5 (title, content = 'note', content_rowid = 'id');
        CREATE TRIGGER z_log AFTER INSERT ON note BEGIN INSERT INTO log VALUES ('first ' || new.id); END;
        CREATE TRIGGER both_i AFTER INSERT ON note BEGIN
          UPDATE stats SET n = n + 1; -- counts; twice?
          INSERT INTO note_fts (rowid, title) VALUES (new.id, new.title);
          INSERT INTO log VALUES ('; END'); END;
        CREATE TRIGGER both_u AFTER UPDATE OF title ON note WHEN new.title <> old.title BEGIN
          INSERT INTO note_fts (note_fts, rowid, title) VALUES ('delete', old.id, old.title);
          INSERT INTO note_fts (rowid, title) VALUES (new.id, new.title);
          UPDATE note SET updated_at = 'here' WHERE id = new.id; END;
        CREATE TRIGGER both_d AFTER DELETE ON note FOR EACH ROW BEGIN
          INSERT INTO note_fts (note_fts, rowid, title) VALUES ('delete', old.id, old.title);
          UPDATE stats SET n = n - 1; END;
        CREATE TRIGGER a_log AFTER INSERT ON note BEGIN INSERT INTO log VALUES ('last ' || new.id); END;`
      const note = (id: number, version: number, title: string): WireRecord =>
        record('note', version, { id, title, updated_at: 'there' })
      const triggersOf = (app: Connection) =>
        all(
          app,
          "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name NOT LIKE '\\_tidemark%' ESCAPE '\\' ORDER BY rowid",
        )
      const check = (app: Connection) =>
        app.exec("INSERT INTO note_fts (note_fts, rank) VALUES ('integrity-check', 1)")
      const find = (app: Connection, word: string) =>
        all(app, `SELECT rowid FROM note_fts WHERE note_fts MATCH '${word}' ORDER BY rowid`).flat()

      test('what they feed beside is fed, in their order, and nothing counts twice', async () => {
        await using f = await openFile(driver, MIXED)
        const before = triggersOf(f.app)
        await push(f.store, 1)
        await pull(f.store, [note(1, 2, 'apple'), note(2, 3, 'pear'), record('stats', 4, { id: 1, n: 2 })])
        expect(find(f.app, 'apple OR pear')).toEqual([1, 2])
        check(f.app)
        // As an insert of the application would have it: the youngest first.
        f.app.exec('CREATE TABLE log_there AS SELECT * FROM log; DELETE FROM log')
        f.app.exec("INSERT INTO note VALUES (1000, 'local', ''), (2000, 'local', '')")
        const texts = (sql: string) => all(f.app, sql).map(([what]) => String(what).replace(/\d+/, '?'))
        expect(texts('SELECT what FROM log_there')).toEqual(texts('SELECT what FROM log'))
        f.app.exec('DELETE FROM note WHERE id >= 1000')
        await pull(f.store, [
          note(1, 5, 'cherry'),
          tombstone('note', '[2]', 6),
          record('stats', 7, { id: 1, n: 1 }),
        ])
        expect(find(f.app, 'cherry')).toEqual([1])
        expect(find(f.app, 'apple OR pear')).toEqual([])
        check(f.app)
        expect(all(f.app, 'SELECT * FROM note')).toEqual([[1, 'cherry', 'there']])
        expect(triggersOf(f.app)).toEqual(before)
        f.app.exec("UPDATE note SET title = 'plum'")
        expect(all(f.app, 'SELECT * FROM note')).toEqual([[1, 'plum', 'here']])
        check(f.app)
      })

      test('no stand-in outlives a transaction that is taken back, and the row that did it waits', async () => {
        await using f = await openFile(
          driver,
          `${MIXED} CREATE TRIGGER no BEFORE INSERT ON note WHEN new.title = 'bad' BEGIN SELECT RAISE(ROLLBACK, 'no'); END;`,
        )
        const before = triggersOf(f.app)
        await push(f.store, 1)
        await pull(f.store, [note(1, 2, 'apple'), note(2, 3, 'bad')])
        expect(await parkedKeys(f.store)).toEqual(['note [2]'])
        expect(triggersOf(f.app)).toEqual(before)
        expect(find(f.app, 'apple')).toEqual([1])
        check(f.app)
      })

      test('a refusal before what is left out stands; one behind it leaves the whole trigger out', async () => {
        const sql = (refuses: string, count: string, feeds: string) => `
          CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE s (id INTEGER PRIMARY KEY, n); CREATE TABLE log (x);
          INSERT INTO s VALUES (1, 0);
          CREATE TRIGGER both AFTER INSERT ON t BEGIN ${refuses} ${count} ${feeds} END;`
        const refuses = "SELECT CASE WHEN new.id = 2 THEN RAISE(ABORT, 'no') END;"
        const [count, feeds] = ['UPDATE s SET n = n + 1;', 'INSERT INTO log VALUES (new.id);']
        const records = [record('t', 5, { id: 1 }), record('t', 6, { id: 2 })]
        await using f = await openFile(driver, sql(refuses, count, feeds))
        await push(f.store, 1)
        await pull(f.store, records)
        expect(all(f.app, 'SELECT id FROM t')).toEqual([[1]])
        expect(all(f.app, 'SELECT x FROM log')).toEqual([[1]])
        expect(await parkedKeys(f.store)).toEqual(['t [2]'])
        for (const whole of [
          sql(count, refuses, feeds),
          sql(count, '', 'INSERT INTO log VALUES (last_insert_rowid());'),
        ]) {
          await using g = await openFile(driver, whole)
          await push(g.store, 1)
          await pull(g.store, records)
          expect(all(g.app, 'SELECT id FROM t')).toEqual([[1], [2]])
          expect(all(g.app, 'SELECT x FROM log')).toEqual([])
          expect(all(g.app, 'SELECT n FROM s')).toEqual([[0]])
        }
      })

      test('a row whose triggers write a view comes in', async () => {
        const sql = `CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE s (id INTEGER PRIMARY KEY, n); CREATE TABLE log (x);
          INSERT INTO s VALUES (1, 0); CREATE VIEW v AS SELECT id FROM t; CREATE VIEW w AS SELECT id FROM t;
          CREATE TRIGGER v_i INSTEAD OF INSERT ON v BEGIN UPDATE s SET n = n + 1; SELECT RAISE(FAIL, 'no') WHERE changes() <> 1; END;
          CREATE TRIGGER w_i INSTEAD OF INSERT ON w BEGIN UPDATE s SET n = n + 1; INSERT INTO log VALUES (new.id); END;
          CREATE TRIGGER t_i AFTER INSERT ON t BEGIN INSERT INTO v VALUES (new.id); INSERT INTO w VALUES (new.id); END;`
        await using f = await openFile(driver, sql)
        await push(f.store, 1)
        await pull(f.store, [record('t', 5, { id: 1 })])
        expect(all(f.app, 'SELECT id FROM t')).toEqual([[1]])
        expect(all(f.app, 'SELECT x FROM log')).toEqual([[1]])
        expect(all(f.app, 'SELECT n FROM s')).toEqual([[0]])
      })

      test('where what is left does not compile, the trigger is left out and the row comes in', async () => {
        // A byte order mark is white space to SQLite alone: this text is not split, and so the view has no trigger.
        const sql = `CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE s (id INTEGER PRIMARY KEY, n); CREATE TABLE log (x);
          INSERT INTO s VALUES (1, 0); CREATE VIEW v AS SELECT id FROM t; CREATE VIEW w AS SELECT id FROM t;
          CREATE TRIGGER v_i INSTEAD OF INSERT ON v BEGIN \ufeffUPDATE s SET n = n + 1; END;
          CREATE TRIGGER t_i AFTER INSERT ON t BEGIN
            INSERT INTO log VALUES (new.id); INSERT INTO w VALUES (new.id); UPDATE s SET n = n + 1; END;
          CREATE TRIGGER w_i INSTEAD OF INSERT ON w BEGIN INSERT INTO v VALUES (new.id); UPDATE s SET n = n + 1; END;`
        await using f = await openFile(driver, sql)
        const before = triggersOf(f.app)
        await push(f.store, 1)
        for (const id of [1, 2]) {
          await pull(f.store, [record('t', 4 + id, { id })])
          expect(all(f.app, 'SELECT count(*) FROM t')).toEqual([[id]])
          expect(triggersOf(f.app)).toEqual(before)
        }
        expect(all(f.app, 'SELECT x FROM log')).toEqual([])
        expect(all(f.app, 'SELECT n FROM s')).toEqual([[0]])
      })

      test('one that an unsynced table sets off is stood in for too', async () => {
        const sql = `
          CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE s (id INTEGER PRIMARY KEY, n); INSERT INTO s VALUES (1, 0);
          CREATE TABLE u (x); CREATE TABLE log (x);
          CREATE TRIGGER t1 AFTER INSERT ON a BEGIN UPDATE s SET n = n + 1; INSERT INTO u VALUES (new.id); END;
          CREATE TRIGGER t2 AFTER INSERT ON u BEGIN INSERT INTO log VALUES (new.x); UPDATE s SET n = n + 1; END;`
        await using f = await openFile(driver, sql)
        const before = triggersOf(f.app)
        await push(f.store, 1)
        await pull(f.store, [record('a', 5, { id: 1 })])
        expect(all(f.app, 'SELECT x FROM log')).toEqual([[1]])
        expect(all(f.app, 'SELECT n FROM s')).toEqual([[0]])
        expect(triggersOf(f.app)).toEqual(before)
      })
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

    test('I1: a write that RAISE(FAIL) ends leaves nothing: no row that is known to nobody', async () => {
      const sql = `CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE log (x);
        CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.x); END;
        CREATE TRIGGER u AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.x); END;
        CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO log VALUES ('-' || old.x); END;
        CREATE TRIGGER no AFTER INSERT ON log WHEN new.x LIKE '%bad' BEGIN SELECT RAISE(FAIL, 'no'); END;`
      await using f = await openFile(driver, sql)
      const rows = () => all(f.app, 'SELECT id, x FROM t ORDER BY id')
      await pull(f.store, [record('t', 1, { id: 1, x: 'bad' }), record('t', 2, { id: 2, x: 'good' })])
      expect(rows()).toEqual([[2, 'good']])
      expect(await parkedKeys(f.store)).toEqual(['t [1]'])
      await pull(f.store, [record('t', 3, { id: 2, x: 'bad' })])
      expect(rows()).toEqual([[2, 'good']])
      expect(await parkedKeys(f.store)).toEqual(['t [1]', 't [2]'])
      expect(all(f.app, 'SELECT x FROM log')).toEqual([['good']])
      // The row of before is not taken for another one that was inserted here.
      await pull(f.store, [record('t', 4, { id: 1, x: 'well' }), record('t', 5, { id: 2, x: 'well' })])
      expect(rows()).toEqual([
        [1, 'well'],
        [2, 'well'],
      ])
      expect(await dirtyKeys(f.store)).toEqual([])
      f.app.exec("UPDATE log SET x = ''; DROP TRIGGER no")
      f.app.exec("CREATE TRIGGER no AFTER DELETE ON t WHEN old.id = 1 BEGIN SELECT RAISE(FAIL, 'no'); END")
      await pull(f.store, [tombstone('t', '[1]', 6), tombstone('t', '[2]', 7)])
      expect(rows()).toEqual([[1, 'well']])
    })

    test('I9: RAISE(ROLLBACK) keeps its row from a sweep, and the others go', async () => {
      const sql = `CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
        CREATE TRIGGER no BEFORE DELETE ON t WHEN old.id = 2 BEGIN SELECT RAISE(ROLLBACK, 'no'); END;`
      await using f = await openFile(driver, sql)
      await pull(
        f.store,
        [1, 2, 3].map((id) => record('t', id, { id, x: 'x' })),
      )
      const cursor = { epoch: 'e', generation: 'g', version: 9, high: 9 }
      await f.store.startHydrate({ cursor, tables: null, place: null, sweep: true })
      expect(await f.store.finishHydrate(cursor)).toEqual({ deleted: 2 })
      expect(all(f.app, 'SELECT id FROM t')).toEqual([[2]])
      expect(await f.store.state()).toMatchObject({ cursor, hydrating: null })
    })

    test('I9: RAISE(ROLLBACK) keeps a value from its new column, and the others come back', async () => {
      const sql = `CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
        CREATE TRIGGER no BEFORE UPDATE ON t WHEN old.id = 2 BEGIN SELECT RAISE(ROLLBACK, 'no'); END;`
      await using f = await openFile(driver, sql)
      await pull(
        f.store,
        [1, 2, 3].map((id) => record('t', id, { id, x: 'x', more: `m${id}` })),
      )
      f.app.exec('ALTER TABLE t ADD COLUMN more TEXT')
      expect(await dirtyKeys(f.store)).toEqual([])
      expect(all(f.app, 'SELECT more FROM t ORDER BY id')).toEqual([['m1'], [null], ['m3']])
      f.app.exec("UPDATE t SET x = 'edited' WHERE id = 3")
      expect(await dirtyKeys(f.store)).toEqual(['t [3]'])
    })

    test('I9: a record that a trigger let fall is tried again, for what the trigger asks may have changed', async () => {
      const sql = `CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE closed (yes);
        CREATE TRIGGER no BEFORE INSERT ON t WHEN EXISTS (SELECT 1 FROM closed) BEGIN SELECT RAISE(IGNORE); END;
        INSERT INTO closed VALUES (1)`
      await using f = await openFile(driver, sql)
      await pull(f.store, [record('t', 1, { id: 1, x: 'a' })])
      expect(await parkedKeys(f.store)).toEqual(['t [1]'])
      f.app.exec('DELETE FROM closed')
      await pull(f.store, [])
      expect(await parkedKeys(f.store)).toEqual([])
      expect(all(f.app, 'SELECT * FROM t')).toEqual([[1, 'a']])
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
})
