import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { systemClock } from '../../../../kernel/clock.ts'
import { keyOf } from '../../../../kernel/keys.ts'
import { seededRandom } from '../../../../kernel/random.ts'
import {
  encodeBytes,
  encodeInt,
  encodeReal,
  encodeText,
  encodeTextBytes,
  type Encoded,
  type Fields,
} from '../../../../kernel/values.ts'
import type { WireRecord } from '../../../../protocol/records.ts'
import { cursor, dirtyKeys, parkedKeys, pull, record } from '../../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../../driver/better-sqlite3.ts'
import type { Connection } from '../../driver/driver.ts'
import { nodeSqlite } from '../../driver/node-sqlite.ts'
import { attachFile, openSqliteStore } from '../open.ts'
import { all, openFile, readRows, type OpenFile } from '../harness.ts'

const SHAPES = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, n NUMERIC, r REAL, s TEXT, x)',
  'CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER NOT NULL, n INTEGER, r REAL, s TEXT UNIQUE, x ANY) STRICT',
  'CREATE TABLE t (id TEXT COLLATE NOCASE PRIMARY KEY, i INT, n, r, s TEXT, x, UNIQUE (i) ON CONFLICT REPLACE) WITHOUT ROWID',
  'CREATE TABLE t (id PRIMARY KEY NOT NULL, i, n, r, s, x); CREATE UNIQUE INDEX u ON t (n) WHERE n > 0',
] as const

const usual = fc.oneof(
  fc.constant<Encoded>(null),
  fc.integer({ min: -3, max: 60 }),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true }).map(encodeReal),
  fc.string().map(encodeText),
)
const odd = fc.oneof(
  usual,
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(encodeInt),
  fc.uint8Array({ maxLength: 40 }).map(encodeBytes),
  fc.uint8Array({ minLength: 1, maxLength: 40 }).map(encodeTextBytes),
  fc.constant<Encoded>(true),
)
const key = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 1, max: 500 }) },
  { weight: 1, arbitrary: odd.filter((value) => value !== null) },
)
const columns = { i: fc.integer(), n: usual, r: fc.double({ noNaN: true }).map(encodeReal), s: fc.string() }
const plain = fc.record({ id: key, ...columns, x: odd })
const strange = fc.oneof(
  fc.record({ id: key, i: odd, n: odd, r: odd, s: odd, x: odd }),
  fc.record({ id: key, ...columns }),
)
const rowsOf = (row: fc.Arbitrary<Fields>) => fc.array(row, { minLength: 1, maxLength: 90 })
/** Mostly lists in which a single row may be in the way of all. */
const lists = fc.oneof(
  rowsOf(plain),
  rowsOf(fc.oneof({ weight: 40, arbitrary: plain }, strange)),
  rowsOf(fc.oneof({ weight: 3, arbitrary: plain }, fc.record({ id: key, ...columns, x: odd, later: usual }))),
)

function recordsOf(rows: readonly Fields[]): readonly WireRecord[] {
  const records = rows.map((fields, at) => {
    const canonical = keyOf([fields['id'] ?? null], ['NOCASE'])
    return record('t', at + 1, fields, { key: canonical })
  })
  return [...new Map(records.map((one) => [one.key, one])).values()]
}

const hydrating = { cursor: cursor(1_000), tables: null, place: null, sweep: false }
async function hydrate(f: Pick<OpenFile, 'store'>, records: readonly WireRecord[]) {
  await f.store.startHydrate(hydrating)
  const { table = '', key: last = '' } = records.at(-1) ?? {}
  return await pull(f.store, records, { place: { head: 1_000, table, key: last } })
}

const sorted = (list: readonly unknown[]): readonly string[] => list.map((row) => JSON.stringify(row)).sort()
const statesOf = (app: Connection): readonly string[] =>
  sorted(all(app, 'SELECT quote(k0), version, agreed, hex(image), extra, was FROM _tidemark_s_1'))

describe.each([betterSqlite3, nodeSqlite])('rows that a hydrate adds many at a time ($name)', (driver) => {
  test.each(SHAPES)('I10: are the rows and states that one at a time makes: %s', async (sql) => {
    await fc.assert(
      fc.asyncProperty(lists, async (rows) => {
        await using many = await openFile(driver, `PRAGMA synchronous = OFF; ${sql}`)
        await using single = await openFile(driver, `PRAGMA synchronous = OFF; ${sql}`)
        const records = recordsOf(rows)
        const result = await hydrate(many, records)
        const { status, applied, parked } = await pull(single.store, records).then((one) =>
          one.status === 'done' ? one : { ...one, applied: -1, parked: -1 },
        )
        expect(result).toMatchObject({ status, applied, parked })
        expect(sorted(readRows(many.app, 't'))).toEqual(sorted(readRows(single.app, 't')))
        expect(statesOf(many.app)).toEqual(statesOf(single.app))
        expect(await parkedKeys(many.store)).toEqual(await parkedKeys(single.store))
        expect(await dirtyKeys(many.store)).toEqual([])
        many.app.exec('UPDATE t SET i = i')
        expect(await dirtyKeys(many.store)).toEqual([])
      }),
      { numRuns: 12, endOnFailure: true },
    )
  })

  const cities = Array.from({ length: 100 }, (_, at) => record('t', at + 1, { id: at + 1, a: `city ${at}` }))

  test('I1: one that meets a row that was never marked leaves that row an edit', async () => {
    await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)')
    f.app.exec("INSERT INTO t VALUES (70, 'mine'); DELETE FROM _tidemark_m_1")
    expect(await hydrate(f, cities)).toEqual({ status: 'moved', rows: [{ table: 't', key: '[70]' }] })
    expect(all(f.app, 'SELECT * FROM t')).toEqual([[70, 'mine']])
    expect(await dirtyKeys(f.store)).toEqual(['t [70]'])
  })

  test('I9: a trigger of the application that refuses one parks that one', async () => {
    for (const kind of ["ABORT, 'no'", "ROLLBACK, 'no'", 'IGNORE']) {
      await using f = await openFile(
        driver,
        `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
         CREATE TRIGGER r BEFORE INSERT ON t WHEN NEW.id = 70 BEGIN SELECT RAISE(${kind}); END`,
      )
      expect(await hydrate(f, cities)).toMatchObject({ status: 'done', applied: 99, parked: 1 })
      expect(await parkedKeys(f.store)).toEqual(['t [70]'])
      expect(all(f.app, 'SELECT count(*), max(id) FROM t')).toEqual([[99, 100]])
    }
  })

  test('I9: so does a trigger of the connection alone, which the file does not show', async () => {
    for (const kind of ["ROLLBACK, 'no'", 'IGNORE']) {
      const connection = driver.open(':memory:')
      connection.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)')
      const settings = { connection, clock: systemClock, random: seededRandom(1) }
      await attachFile({ ...settings, space: 'space', replica: 'replica-a' })
      await using store = openSqliteStore(settings)
      connection.exec(
        `CREATE TEMP TRIGGER r BEFORE INSERT ON main.t WHEN NEW.id = 70 BEGIN SELECT RAISE(${kind}); END`,
      )
      expect(await hydrate({ store }, cities)).toMatchObject({ status: 'done', applied: 99, parked: 1 })
      expect(await parkedKeys(store)).toEqual(['t [70]'])
      connection.close()
    }
  })

  test('I9: one that comes a second time, older, changes nothing', async () => {
    await using f = await openFile(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)')
    await hydrate(f, cities)
    f.app.exec("UPDATE t SET a = 'edited' WHERE id = 5")
    await f.store.readDirty({ rows: 1, bytes: 1 })
    const older = cities.slice(20).map((one) => ({ ...one, version: 0, fields: { id: 1, a: 'older' } }))
    expect(await hydrate(f, older)).toMatchObject({ status: 'done', applied: 0, parked: 0 })
    expect(all(f.app, "SELECT count(*) FROM t WHERE a LIKE 'city %'")).toEqual([[99]])
  })
})
