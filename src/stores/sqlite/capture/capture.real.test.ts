import { expect, it } from 'vitest'

import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { readShapes } from '../shape/read.ts'
import { installCapture, removeCapture, verifyCapture } from './capture.ts'
import { markTable } from './names.ts'

/** SQLite reads its whole schema table for every object it makes or drops: that takes a while. */
const TIMEOUT_MS = 600_000

it(
  'captures 2,000 tables',
  () => {
    const names = Array.from({ length: 2_000 }, (_, at) => `table ${at}`)
    const key = (at: number): string => (at % 2 === 0 ? 'INTEGER' : 'TEXT')
    const db = betterSqlite3.open(':memory:')
    db.exec(names.map((name, at) => `CREATE TABLE "${name}" (id ${key(at)} PRIMARY KEY, v UNIQUE)`).join(';'))
    const schema = db.prepare('SELECT sql FROM sqlite_master').all()
    const outcomes = installCapture(db, readShapes(db).shapes.values())
    expect(outcomes.length).toBe(2_000)
    for (const { name, number } of outcomes) {
      if (!name.endsWith('99')) continue
      db.exec(`INSERT INTO "${name}" VALUES (1, 1); REPLACE INTO "${name}" VALUES (2, 1)`)
      expect(db.value(`SELECT count(*) FROM ${markTable(number)}`)).toBe(2n)
    }
    const states = new Set(verifyCapture(db, readShapes(db).shapes.values()).map(({ found }) => found))
    expect([...states]).toEqual(['whole'])
    removeCapture(db)
    expect(db.prepare('SELECT sql FROM sqlite_master').all()).toEqual(schema)
    db.close()
  },
  TIMEOUT_MS,
)

it(
  'captures a million rows in one statement',
  () => {
    const db = betterSqlite3.open(':memory:')
    db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, a, b UNIQUE)')
    installCapture(db, readShapes(db).shapes.values())
    const numbers = 'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)'
    db.exec(`${numbers} INSERT INTO t SELECT i, i, i FROM n; DELETE FROM ${markTable(1)}`)
    db.exec('UPDATE t SET a = a + 1; DELETE FROM t WHERE id % 2')
    expect(db.value(`SELECT count(*) FROM ${markTable(1)}`)).toBe(1_000_000n)
    db.close()
  },
  TIMEOUT_MS,
)
