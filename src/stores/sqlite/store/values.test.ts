import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import {
  encodeBytes,
  encodeInt,
  encodeReal,
  encodeText,
  encodeTextBytes,
  type Encoded,
  type Fields,
} from '../../../kernel/values.ts'
import { dirtyKeys, pull, push, readAllDirty } from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { applicationOn, openFile, readRows } from './harness.ts'

const value: fc.Arbitrary<Encoded> = fc.oneof(
  fc.constant(null),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(encodeInt),
  fc.integer().map(Number),
  fc.double({ noNaN: true }).map(encodeReal),
  fc.string({ unit: 'grapheme' }).map(encodeText),
  fc.string({ minLength: 15, maxLength: 18 }).map(encodeText),
  fc.uint8Array({ maxLength: 40 }).map(encodeBytes),
  fc.uint8Array({ minLength: 1, maxLength: 40 }).map(encodeTextBytes),
)
const rows = fc.array(fc.record({ a: value, b: value, c: value }), { minLength: 1, maxLength: 12 })

describe.each([betterSqlite3, nodeSqlite])('values through capture and apply ($name)', (driver) => {
  const SQL = 'CREATE TABLE t (id TEXT PRIMARY KEY, a, b, c BLOB)'

  test('I10: every value of a row comes back bit for bit, and equals its image', async () => {
    await using from = await openFile(driver, SQL)
    await using to = await openFile(driver, SQL)
    for (const { app } of [from, to]) app.exec('PRAGMA synchronous = OFF')
    const write = applicationOn(from.app)
    let version = 0
    await fc.assert(
      fc.asyncProperty(rows, async (given) => {
        from.app.exec('DELETE FROM t')
        for (const [at, row] of given.entries()) await write.insert('t', { id: `${version}-${at}`, ...row })
        const sent = await readAllDirty(from.store)
        const changes = await push(from.store, version + 1)
        version += changes.length
        await pull(
          to.store,
          changes.map((change, at) => ({
            table: 't',
            key: change.key,
            version: version + at + 1,
            hlc: 1,
            by: 'b',
            ...(change.fields === undefined
              ? { deleted: true as const }
              : { fields: JSON.parse(JSON.stringify(change.fields)) as Fields }),
          })),
        )
        version += changes.length
        const sorted = (list: readonly Fields[]): readonly string[] =>
          list.map((row) => JSON.stringify(row)).sort()
        const expected = given.map((row, at) => ({ id: `${version - 2 * changes.length}-${at}`, ...row }))
        expect(sorted(readRows(to.app, 't'))).toEqual(sorted(expected))
        expect(sorted(sent.map(({ fields }) => fields).filter((fields) => fields !== null))).toEqual(
          sorted(expected),
        )
        for (const { app, store } of [from, to]) {
          app.exec('UPDATE t SET a = a, b = b, c = c')
          expect(await dirtyKeys(store)).toEqual([])
        }
      }),
      { numRuns: 60 },
    )
  })

  test('I10: keys of every kind find their rows, marks and images', async () => {
    await using f = await openFile(driver, 'CREATE TABLE t (k, l TEXT COLLATE NOCASE, x, PRIMARY KEY (k, l))')
    f.app.exec('PRAGMA synchronous = OFF')
    const write = applicationOn(f.app)
    const keyValue = value.filter((one) => one !== null)
    const text = fc.oneof(
      fc.string({ unit: 'grapheme' }).map(encodeText),
      fc.uint8Array({ minLength: 1, maxLength: 9 }).map(encodeTextBytes),
    )
    let version = 0
    await fc.assert(
      fc.asyncProperty(keyValue, text, async (k, l) => {
        await write.insert('t', { k, l, x: 1 })
        await push(f.store, ++version)
        expect(await dirtyKeys(f.store)).toEqual([])
        await write.update('t', { k, l }, { x: 2 })
        const [row] = await readAllDirty(f.store)
        expect(row).toMatchObject({ base: version, agreed: 'live', changed: ['x'], fields: { k, l, x: 2 } })
        await push(f.store, ++version)
        await pull(f.store, [
          { table: 't', key: row?.key ?? '', version: ++version, hlc: 1, by: 'b', deleted: true },
        ])
        expect(readRows(f.app, 't')).toEqual([])
        expect(await dirtyKeys(f.store)).toEqual([])
      }),
      { numRuns: 120 },
    )
  })
})
