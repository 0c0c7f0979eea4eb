import fc from 'fast-check'
import { expect, test } from 'vitest'

import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { numbersOf } from './names.ts'

test('the numbers in a table are each told once, without reading the rows', () => {
  const connection = betterSqlite3.open(':memory:')
  connection.exec(
    'CREATE TABLE t (number INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (number, key)) WITHOUT ROWID',
  )
  const insert = connection.prepare('INSERT INTO t VALUES (?, ?)')
  const query = connection.prepare(numbersOf('t'))
  fc.assert(
    fc.property(fc.array(fc.nat(5)), (numbers) => {
      connection.exec('DELETE FROM t')
      for (const [at, number] of numbers.entries()) insert.run(BigInt(number), `["${at}"]`)
      expect(query.all().map(([number]) => Number(number))).toEqual([...new Set(numbers)].sort())
    }),
  )
  const plan = connection.prepare(`EXPLAIN QUERY PLAN ${numbersOf('t')}`).all()
  expect(plan.map((row) => String(row[3])).filter((step) => step.startsWith('SCAN t'))).toEqual([])
  connection.close()
})
