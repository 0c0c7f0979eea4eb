import { describe, expect, it } from 'vitest'

import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import type { Connection } from '../driver/driver.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { readShapes } from '../shape/read.ts'
import { installCapture, listCaptured, takeSweeps } from './capture.ts'
import { markTable } from './names.ts'

const install = (db: Connection) => installCapture(db, readShapes(db).shapes.values())
const marked = (db: Connection, table: string): readonly unknown[] => {
  const number = listCaptured(db).find(({ name }) => name === table)?.number ?? 0
  const rows = db.prepare(`SELECT * FROM ${markTable(number)} ORDER BY 1`).all()
  return rows.map(([key]) => key)
}

/** What SQLite does that nobody expects, each found by the fuzzer. */
describe.each([betterSqlite3, nodeSqlite])('capture where SQLite is odd ($name)', (driver) => {
  const open = (sql: string): Connection => {
    const db = driver.open(':memory:')
    db.exec(sql)
    return db
  }

  it('I1: marks a row that goes under the key it had, where SQLite tells triggers another spelling', () => {
    const db = open(`PRAGMA foreign_keys = 1;
      CREATE TABLE t (k TEXT PRIMARY KEY, v);
      CREATE TABLE child (number INTEGER PRIMARY KEY, t INTEGER UNIQUE REFERENCES t (k));
      INSERT INTO t VALUES ('007', 1), ('1.0', 1), ('x', 1)`)
    install(db)
    db.exec(
      "DELETE FROM t WHERE k = '007'; UPDATE t SET k = '2.0' WHERE k = '1.0'; UPDATE t SET v = 2 WHERE k = 'x'",
    )
    expect(marked(db, 't')).toEqual(expect.arrayContaining(['007', '1.0', '2.0', 'x']))
    db.close()
  })

  it('I1: marks a row whose change stands although what it set off elsewhere failed', () => {
    const db = open(`PRAGMA foreign_keys = 1;
      CREATE TABLE t (k TEXT PRIMARY KEY, v UNIQUE);
      CREATE TABLE child (id INTEGER PRIMARY KEY, t REFERENCES t (k) ON DELETE CASCADE ON UPDATE CASCADE
        DEFERRABLE INITIALLY DEFERRED, v REFERENCES t (v) ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED);
      CREATE TRIGGER stop BEFORE DELETE ON child BEGIN SELECT RAISE(FAIL, 'stop'); END;
      CREATE TRIGGER halt BEFORE UPDATE ON child BEGIN SELECT RAISE(FAIL, 'stop'); END;
      INSERT INTO t VALUES ('a', 1), ('b', 2), ('c', 3), ('d', 4);
      INSERT INTO child VALUES (1, 'a', NULL), (2, 'b', NULL), (3, NULL, 3), (4, 'd', NULL)`)
    install(db)
    db.exec('BEGIN')
    const failing = [
      "DELETE FROM t WHERE k = 'a'",
      "UPDATE t SET k = 'e' WHERE k = 'b'",
      'UPDATE t SET v = 5 WHERE v = 3',
      "REPLACE INTO t VALUES ('d', 9)",
    ]
    for (const sql of failing) expect(() => db.exec(sql)).toThrow('trigger constraint failed')
    db.exec('DROP TRIGGER stop; DROP TRIGGER halt; DELETE FROM child; COMMIT')
    const left = db.prepare('SELECT k, v FROM t ORDER BY k').all().map(String)
    expect(left).toEqual(['c,5', 'e,2'])
    expect(marked(db, 't')).toEqual(expect.arrayContaining(['a', 'b', 'c', 'd', 'e']))
    db.close()
  })

  it('I1: an index on JSON in some rows only never looks into the others', () => {
    const db = open(`CREATE TABLE t (id INTEGER PRIMARY KEY, d, kind, n UNIQUE);
      CREATE UNIQUE INDEX u ON t (json_extract(d, '$.x'), n) WHERE json_valid(kind);
      INSERT INTO t VALUES (1, '{bad', 'text', 1), (2, '{"x":1}', '1', 2)`)
    expect(install(db)).toMatchObject([{ name: 't', sweep: true }])
    db.exec("UPDATE t SET d = '{worse' WHERE id = 1; INSERT INTO t VALUES (3, '{bad', 'text', 3)")
    db.exec(`REPLACE INTO t VALUES (4, '{"x":1}', '1', 2)`)
    expect([...marked(db, 't'), ...takeSweeps(db)]).toEqual([1n, 2n, 3n, 4n, 't'])
    db.close()
  })
})
