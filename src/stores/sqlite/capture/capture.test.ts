import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, describe, expect, it } from 'vitest'

import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { transact, type Connection } from '../driver/driver.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { readShapes } from '../shape/read.ts'
import {
  dropCapture,
  installCapture,
  listCaptured,
  raiseFloor,
  removeCapture,
  setApplying,
  switchToWal,
  takeSweeps,
  verifyCapture,
} from './capture.ts'
import { markTable } from './names.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function makeFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-capture-'))
  folders.push(folder)
  return join(folder, 'app.db')
}

const install = (db: Connection, clock?: string) =>
  installCapture(db, readShapes(db).shapes.values(), clock === undefined ? {} : { clock })
const verify = (db: Connection) =>
  verifyCapture(db, readShapes(db).shapes.values()).map(({ name, found }) => `${name} ${found}`)
const marks = (db: Connection, table: string): unknown[] => {
  const number = listCaptured(db).find(({ name }) => name === table)?.number ?? 0
  return db.prepare(`SELECT * FROM ${markTable(number)} ORDER BY 1`).all()
}
const marked = (db: Connection, table: string): unknown[] =>
  (marks(db, table) as unknown[][]).map((row) => row[0])
const schemaOf = (db: Connection): unknown[] =>
  db.prepare('SELECT type, name, tbl_name, sql FROM sqlite_master').all()

for (const driver of [betterSqlite3, nodeSqlite]) {
  describe(`capture through ${driver.name}`, () => {
    const open = (sql: string): Connection => {
      const db = driver.open(':memory:')
      db.exec(sql)
      return db
    }

    it('stamps marks with the later of the clock and what was seen, and raises them with every write', () => {
      const db = open(
        'CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE clock (ms); INSERT INTO clock VALUES (1000)',
      )
      install(db, 'SELECT ms FROM clock')
      db.exec('INSERT INTO t VALUES (1, 1)')
      expect(marks(db, 't')).toEqual([[1n, 1_000_000n]])
      db.exec('UPDATE t SET a = 2')
      expect(marks(db, 't')).toEqual([[1n, 1_000_001n]])
      raiseFloor(db, 5_000_000)
      raiseFloor(db, 4_000_000)
      db.exec('UPDATE t SET a = 3')
      expect(marks(db, 't')).toEqual([[1n, 5_000_001n]])
      db.exec('UPDATE clock SET ms = 6000; UPDATE t SET a = 4')
      expect(marks(db, 't')).toEqual([[1n, 6_000_000n]])
      db.exec('UPDATE clock SET ms = 10; UPDATE t SET a = 5; INSERT INTO t VALUES (2, 2)')
      expect(marks(db, 't')).toEqual([
        [1n, 6_000_001n],
        [2n, 5_000_001n],
      ])
      db.close()
    })

    it('has a clock of its own that is right', () => {
      const db = open('CREATE TABLE t (id INTEGER PRIMARY KEY)')
      install(db)
      db.exec('INSERT INTO t VALUES (1)')
      const off = Number((marks(db, 't') as bigint[][])[0]?.[1]) / 1_000 - Date.now()
      expect(Math.abs(off)).toBeLessThan(60_000)
      db.close()
    })

    it('I6: is silent for the connection that applies, and only for its transaction', () => {
      const file = makeFile()
      const engine = driver.open(file, { create: true })
      engine.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE); CREATE UNIQUE INDEX u ON t (lower(a))')
      install(engine)
      switchToWal(engine)
      transact(engine, 'immediate', () => {
        setApplying(engine, true)
        engine.exec(
          "INSERT INTO t VALUES (1, 'a'); REPLACE INTO t VALUES (2, 'a'); UPDATE t SET a = 'b'; DELETE FROM t; INSERT INTO t VALUES (3, 'c')",
        )
        const other = driver.open(file)
        expect(other.value('SELECT applying FROM _tidemark_flag')).toBe(0n)
        other.close()
        setApplying(engine, false)
      })
      expect(marks(engine, 't')).toEqual([])
      expect(takeSweeps(engine)).toEqual([])
      const app = driver.open(file)
      app.exec("UPDATE t SET a = 'd'")
      expect(marked(engine, 't')).toEqual([3n])
      app.close()
      engine.close()
    })

    it('leaves rows with a NULL in the key alone', () => {
      const db = open('CREATE TABLE t (k TEXT PRIMARY KEY, a)')
      install(db)
      db.exec("INSERT INTO t VALUES (NULL, 1), (NULL, 2), ('x', 3)")
      db.exec(
        "UPDATE t SET a = a + 1; UPDATE t SET k = 'y' WHERE a = 2; DELETE FROM t WHERE k IS NULL; UPDATE t SET k = NULL WHERE k = 'x'",
      )
      expect(marked(db, 't')).toEqual(['x', 'y'])
      db.close()
    })

    it('takes spellings that the key takes for one as one row', () => {
      const db = open(
        "CREATE TABLE t (k TEXT PRIMARY KEY COLLATE NOCASE, a); INSERT INTO t VALUES ('Key', 1)",
      )
      install(db)
      db.exec("UPDATE t SET k = 'KEY'; DELETE FROM t; INSERT INTO t VALUES ('key', 1)")
      expect(marked(db, 't').map((key) => String(key).toLowerCase())).toEqual(['key'])
      db.close()
    })

    it('takes two rows for two where only their column takes their keys for one', () => {
      const db = open('CREATE TABLE t (k TEXT COLLATE RTRIM, a, PRIMARY KEY (k COLLATE BINARY))')
      db.exec("INSERT INTO t VALUES ('a ', 1)")
      install(db)
      db.exec("UPDATE t SET k = 'a'")
      expect(marked(db, 't')).toEqual(['a', 'a '])
      db.close()
    })

    it('I1: notices altered and missing triggers, and repairs them without forgetting marks', () => {
      const db = open(
        'CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE); CREATE TABLE u (k TEXT PRIMARY KEY)',
      )
      expect(verify(db)).toEqual(['t absent', 'u absent'])
      expect(install(db).map(({ found, number }) => [found, number])).toEqual([
        ['absent', 1],
        ['absent', 2],
      ])
      expect(verify(db)).toEqual(['t whole', 'u whole'])
      db.exec("INSERT INTO t VALUES (1, 1); INSERT INTO u VALUES ('x')")
      db.exec('DROP TRIGGER _tidemark_t_1_u')
      expect(verify(db)).toEqual(['t broken', 'u whole'])
      expect(install(db).map(({ found }) => found)).toEqual(['broken', 'whole'])
      db.exec('DROP TABLE _tidemark_m_2')
      expect(verify(db)).toEqual(['t whole', 'u broken'])
      install(db)
      db.exec(
        'DROP TRIGGER _tidemark_t_1_d; CREATE TRIGGER _tidemark_t_1_d AFTER DELETE ON t BEGIN SELECT 1; END',
      )
      expect(verify(db)).toEqual(['t broken', 'u whole'])
      install(db)
      db.exec('DELETE FROM _tidemark_flag')
      expect(verify(db)).toEqual(['t absent', 'u absent'])
      install(db)
      expect(verify(db)).toEqual(['t whole', 'u whole'])
      expect(marked(db, 't')).toEqual([1n])
      db.exec('UPDATE t SET a = 2')
      expect(marked(db, 't')).toEqual([1n])
      db.close()
    })

    it('I1: keeps its triggers the youngest, so that none of the application can end the statement before them', () => {
      const db = open('CREATE TABLE t (id INTEGER PRIMARY KEY, a)')
      install(db)
      db.exec('CREATE TRIGGER late AFTER INSERT ON t WHEN new.a = 1 BEGIN SELECT RAISE(IGNORE); END')
      expect(verify(db)).toEqual(['t broken'])
      install(db)
      expect(verify(db)).toEqual(['t whole'])
      db.exec('INSERT INTO t VALUES (1, 1)')
      expect(db.value('SELECT count(*) FROM t')).toBe(1n)
      expect(marked(db, 't')).toEqual([1n])
      db.close()
    })

    it('I1: notices a new unique index and a rebuilt table', () => {
      const db = open('CREATE TABLE t (id INTEGER PRIMARY KEY, a)')
      install(db)
      db.exec('CREATE UNIQUE INDEX u ON t (a)')
      expect(verify(db)).toEqual(['t broken'])
      install(db)
      db.exec('INSERT INTO t VALUES (1, 1)')
      db.exec(
        'BEGIN; CREATE TABLE n (id INTEGER PRIMARY KEY, a, b); INSERT INTO n (id, a) SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t; COMMIT',
      )
      expect(verify(db)).toEqual(['t broken'])
      expect(install(db).map(({ number, found }) => [number, found])).toEqual([[1, 'broken']])
      db.exec('UPDATE t SET b = 1')
      expect(marked(db, 't')).toEqual([1n])
      db.close()
    })

    it('goes on after VACUUM moved an index, and only rewrites the hint', () => {
      const db = open(
        'CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE t (id INTEGER PRIMARY KEY, x); CREATE UNIQUE INDEX u ON t (x)',
      )
      db.exec('DROP TABLE a; INSERT INTO t VALUES (1, 1), (2, 2)')
      install(db)
      db.exec('VACUUM')
      expect(verify(db)).toEqual(['t stale'])
      db.exec('REPLACE INTO t VALUES (3, 2)')
      expect(marked(db, 't')).toEqual([2n, 3n])
      expect(install(db).map(({ found }) => found)).toEqual(['stale'])
      expect(verify(db)).toEqual(['t whole'])
      db.close()
    })

    it('lets an index and its column be dropped, and then neither searches nor fails', () => {
      const db = open(
        'CREATE TABLE t (id INTEGER PRIMARY KEY, x, y, g AS (x || y)); CREATE UNIQUE INDEX u ON t (x) WHERE y > 0',
      )
      db.exec('CREATE UNIQUE INDEX v ON t (lower(y), x); CREATE UNIQUE INDEX w ON t (g)')
      install(db)
      db.exec('DROP INDEX u; DROP INDEX v; DROP INDEX w')
      const plan = db.prepare('EXPLAIN INSERT INTO t (id) VALUES (1)').all()
      expect(plan.length).toBeGreaterThan(0)
      db.exec('ALTER TABLE t DROP COLUMN g; ALTER TABLE t DROP COLUMN y; ALTER TABLE t DROP COLUMN x')
      db.exec('INSERT INTO t VALUES (1); UPDATE t SET id = 2; DELETE FROM t')
      expect(marked(db, 't')).toEqual([1n, 2n])
      expect(verify(db)).toEqual(['t broken'])
      db.close()
    })

    it('does not read the whole table for each row after its index was dropped', () => {
      const db = open('CREATE TABLE t (id INTEGER PRIMARY KEY, x); CREATE UNIQUE INDEX u ON t (x)')
      install(db)
      db.exec('DROP INDEX u')
      db.exec(
        'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, i FROM n',
      )
      expect(marks(db, 't').length).toBe(20_000)
      db.close()
    })

    it('asks for a sweep where a displaced row cannot be told, and only then', () => {
      const db = open(`
        CREATE TABLE j (id INTEGER PRIMARY KEY, d); CREATE UNIQUE INDEX ju ON j (json_extract(d, '$.x'));
        CREATE TABLE s (id INTEGER PRIMARY KEY, d); CREATE UNIQUE INDEX su ON s (abs(d));
        CREATE TABLE r (id INTEGER PRIMARY KEY, d NOT NULL DEFAULT (hex(randomblob(16))) UNIQUE);
        CREATE TABLE n (id INTEGER PRIMARY KEY, d); CREATE UNIQUE INDEX nu ON n (length(id));
        INSERT INTO j VALUES (1, '{"x":1}'); INSERT INTO s VALUES (1, 1)`)
      expect(install(db).map(({ name, sweep }) => [name, sweep])).toEqual([
        ['j', true],
        ['n', true],
        ['r', true],
        ['s', true],
      ])
      db.exec(`REPLACE INTO j VALUES (2, '{"x":1.0}'); INSERT INTO r (id) VALUES (1)`)
      expect(marked(db, 'j')).toEqual([1n, 2n])
      expect(takeSweeps(db)).toEqual([])
      db.exec('INSERT OR REPLACE INTO r VALUES (2, NULL); REPLACE INTO s VALUES (2, -1)')
      expect(takeSweeps(db)).toEqual(['r', 's'])
      // Not valid JSON, so SQLite never looks into it: neither may we.
      db.exec("INSERT OR IGNORE INTO j VALUES (2, '{bad')")
      expect(takeSweeps(db)).toEqual(['j'])
      // The row's number is not known before: the next one is as long as the last, and takes its place.
      db.exec('INSERT INTO n VALUES (1, 1); REPLACE INTO n VALUES (2, 2)')
      expect([takeSweeps(db), marked(db, 'n')]).toEqual([[], [1n, 2n]])
      db.exec('REPLACE INTO n (d) VALUES (3)')
      expect([takeSweeps(db), marked(db, 'n')]).toEqual([['n'], [1n, 2n, 3n]])
      expect(takeSweeps(db)).toEqual([])
      db.close()
    })

    it('leaves the file as if it had never been there', () => {
      const file = makeFile()
      const db = driver.open(file, { create: true })
      db.exec(`PRAGMA user_version = 7; PRAGMA application_id = 9;
        CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, x UNIQUE); CREATE UNIQUE INDEX u ON a (lower(x));
        CREATE TABLE b (k TEXT PRIMARY KEY, v) WITHOUT ROWID; CREATE VIEW w AS SELECT * FROM a;
        CREATE TRIGGER g AFTER INSERT ON a BEGIN INSERT OR REPLACE INTO b VALUES (new.x, 1); END;
        INSERT INTO a (x) VALUES ('one'), ('two'); ANALYZE`)
      const before = [
        schemaOf(db),
        db.prepare('SELECT * FROM sqlite_sequence').all(),
        db.prepare('SELECT * FROM sqlite_stat1').all(),
      ]
      expect(db.value('PRAGMA journal_mode')).toBe('delete')
      install(db)
      expect(switchToWal(db)).toBe(true)
      expect(db.value('PRAGMA journal_mode')).toBe('wal')
      db.exec(
        "INSERT INTO a (x) VALUES ('three'); DELETE FROM a WHERE x = 'three'; ANALYZE; DELETE FROM b WHERE k = 'three'",
      )
      db.exec("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'a'")
      expect(removeCapture(db)).toBe(true)
      db.exec('ANALYZE')
      const after = [
        schemaOf(db),
        db.prepare('SELECT * FROM sqlite_sequence').all(),
        db.prepare('SELECT * FROM sqlite_stat1').all(),
      ]
      expect(after).toEqual(before)
      expect(db.value('PRAGMA journal_mode')).toBe('delete')
      expect([db.value('PRAGMA user_version'), db.value('PRAGMA application_id')]).toEqual([7n, 9n])
      expect(db.value('PRAGMA integrity_check')).toBe('ok')
      expect(removeCapture(db)).toBe(true)
      db.close()
    })

    it('says so when another connection keeps the file in WAL, and keeps a WAL that was there before', () => {
      const file = makeFile()
      const db = driver.open(file, { create: true, busyMs: 0 })
      db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY)')
      install(db)
      switchToWal(db)
      const other = driver.open(file)
      other.value('SELECT count(*) FROM t')
      expect(removeCapture(db)).toBe(false)
      other.close()
      install(db)
      switchToWal(db)
      expect(removeCapture(db)).toBe(true)
      expect(db.value('PRAGMA journal_mode')).toBe('wal')
      db.close()
    })

    it('stops one table and gives its number to no other', () => {
      const db = open('CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY)')
      install(db)
      dropCapture(db, 'b')
      dropCapture(db, 'nothing')
      db.exec('INSERT INTO b VALUES (1); INSERT INTO a VALUES (1)')
      expect(listCaptured(db)).toEqual([{ number: 1, name: 'a' }])
      expect(verify(db)).toEqual(['a whole', 'b absent'])
      install(db)
      expect(listCaptured(db)).toEqual([
        { number: 1, name: 'a' },
        { number: 3, name: 'b' },
      ])
      db.exec('DROP TABLE a')
      expect(listCaptured(db).map(({ name }) => name)).toEqual(['a', 'b'])
      dropCapture(db, 'a')
      expect(listCaptured(db).map(({ name }) => name)).toEqual(['b'])
      db.close()
    })

    it('carries a row of 5 MB without copying it into the mark', () => {
      const db = open('CREATE TABLE t (k TEXT PRIMARY KEY, big)')
      install(db)
      db.exec("INSERT INTO t VALUES ('x', randomblob(5000000)); UPDATE t SET big = randomblob(5000000)")
      expect(marked(db, 't')).toEqual(['x'])
      expect(
        Number(db.value("SELECT sum(pgsize) FROM dbstat WHERE name = '_tidemark_m_1'") ?? 0),
      ).toBeLessThan(10_000)
      db.close()
    })
  })
}
