import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { AsyncDisposableStack } from '../../../kernel/disposable-stack.ts'
import { sameValue, type Encoded } from '../../../kernel/values.ts'
import { pull, readAllDirty } from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import type { Affinity } from '../shape/shape.ts'
import { encodeValue } from '../values.ts'
import { isKept, isSameKeyValue } from './affinity.ts'
import { newBounds, pushValue } from './bind.ts'
import { openFile } from './harness.ts'

const AFFINITIES: readonly Affinity[] = ['INTEGER', 'NUMERIC', 'REAL', 'TEXT', 'BLOB']

const text = fc.oneof(
  fc.string({
    unit: fc.constantFrom(...' 0123456789.eE+-_x\t\n\v\f\r\u00a0a'.split('')),
    minLength: 1,
    maxLength: 9,
  }),
  fc.constantFrom('2024-01-05', '10:30', '1.2.3', '12e', '1e5', '.5', '5.', '.', '0x1F', '9'.repeat(25)),
)

describe.each([betterSqlite3, nodeSqlite])('what a column makes of text ($name)', (driver) => {
  test('I10: text is kept, and stays the same key, exactly where SQLite itself keeps it', async () => {
    await using stack = new AsyncDisposableStack()
    const connection = stack.adopt(driver.open(':memory:'), (one) => one.close())
    const columns = AFFINITIES.map((affinity) => `c${affinity} ${affinity === 'BLOB' ? '' : affinity}`)
    connection.exec(`CREATE TABLE t (${columns.join(', ')})`)
    const insert = connection.prepare('INSERT INTO t VALUES (?, ?, ?, ?, ?)')
    fc.assert(
      fc.property(text, (value: Encoded) => {
        const bounds = newBounds()
        expect(pushValue(bounds, value, 'UTF-8')).toBe(true)
        const [bound = null] = bounds.values
        connection.exec('DELETE FROM t')
        insert.run(bound, bound, bound, bound, bound)
        const stored = connection.prepare('SELECT * FROM t').get() ?? []
        for (const [at, affinity] of AFFINITIES.entries()) {
          const same = sameValue(encodeValue(stored[at] ?? null, 'UTF-8'), value)
          expect(isKept(value, affinity), affinity).toBe(same)
          expect(isSameKeyValue(value, affinity), affinity).toBe(typeof stored[at] === 'string')
        }
      }),
      { numRuns: 5_000 },
    )
  })

  test('I2: rows whose keys are days stand where the column is declared as a date', async () => {
    await using file = await openFile(driver, 'CREATE TABLE t (day DATE, n INTEGER, PRIMARY KEY (day, n))')
    const days = ['2024-01-05', '1.2.3', '12e']
    await pull(
      file.store,
      days.map((day, at) => ({
        table: 't',
        key: JSON.stringify([day, 1]),
        version: at + 1,
        hlc: 1,
        by: 'b',
        fields: { day, n: 1 },
      })),
    )
    expect(await file.store.listParked(10)).toEqual([])
    expect(file.app.prepare('SELECT day FROM t').all().flat().sort()).toEqual([...days].sort())
    file.app.exec("UPDATE t SET n = 1 WHERE day = '2024-01-05'")
    expect(await readAllDirty(file.store)).toEqual([])
  })
})
