import { describe, expect, test } from 'vitest'

import { dirtyKeys, push } from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import type { Connection } from '../driver/driver.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { all, openFile, type OpenFile } from './harness.ts'

const ROWS = 4_500
const numbers = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})`

function dropTriggers(app: Connection): void {
  const sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '\\_tidemark%' ESCAPE '\\'"
  for (const [name] of app.prepare(sql).all()) app.exec(`DROP TRIGGER ${String(name)}`)
}

async function openAgreed(driver: typeof betterSqlite3, table: string, key: string): Promise<OpenFile> {
  const f = await openFile(driver, `${table}; ${numbers} INSERT INTO t SELECT ${key}, 'x' || i FROM n`)
  for (let round = 0; round < 5; round++) await push(f.store, 1 + round * ROWS)
  expect((await f.store.counts()).pending).toEqual({})
  return f
}

/** How many turns the event loop has while `work` goes on. */
async function countTurns(work: Promise<unknown>): Promise<number> {
  let turns = 0
  let isDone = false
  const end = (): void => {
    isDone = true
  }
  work.then(end, end)
  while (!isDone) {
    turns++
    await new Promise((resolve) => setImmediate(resolve))
  }
  await work
  return turns
}

describe.each([betterSqlite3, nodeSqlite])('a comparison of a whole table ($name)', (driver) => {
  test('leaves other work its turn, and answers what does not depend on it', async () => {
    await using f = await openAgreed(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, x)', 'i')
    dropTriggers(f.app)
    f.app.exec('UPDATE t SET x = 0 WHERE id IN (1, 1000, 1001, 4500); DELETE FROM t WHERE id IN (2, 3000)')
    const found = dirtyKeys(f.store)
    const order: string[] = []
    const counted = f.store.counts().then(() => order.push('counts'))
    const compared = found.then(() => order.push('dirty'))
    expect(await countTurns(found)).toBeGreaterThan(3)
    await Promise.all([counted, compared])
    expect(order).toEqual(['counts', 'dirty'])
    expect(await found).toEqual(['t [1000]', 't [1001]', 't [1]', 't [2]', 't [3000]', 't [4500]'])
  })

  test('I1: what is written and missed again meanwhile is found as well', async () => {
    await using f = await openAgreed(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, x)', 'i')
    dropTriggers(f.app)
    f.app.exec("UPDATE t SET x = 'before' WHERE id = 4000")
    const found = dirtyKeys(f.store)
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve, 1))
    f.app.exec("UPDATE t SET x = 'marked' WHERE id = 5")
    dropTriggers(f.app)
    f.app.exec("UPDATE t SET x = 'missed' WHERE id = 6; DELETE FROM t WHERE id = 4001")
    await found
    expect(await dirtyKeys(f.store)).toEqual(['t [4000]', 't [4001]', 't [5]', 't [6]'])
  })

  test('I1: broken off by the end of the store, it is made when the file is opened again', async () => {
    await using f = await openAgreed(driver, 'CREATE TABLE t (id INTEGER PRIMARY KEY, x)', 'i')
    dropTriggers(f.app)
    f.app.exec("UPDATE t SET x = 'missed' WHERE id = 4400")
    const found = dirtyKeys(f.store)
    const refused = expect(found).rejects.toMatchObject({ code: 'aborted' })
    await new Promise((resolve) => setTimeout(resolve, 1))
    await f.reopen()
    await refused
    expect(await dirtyKeys(f.store)).toEqual(['t [4400]'])
  })

  test.each([
    ['text', 'k TEXT PRIMARY KEY', "'k' || i"],
    ['NOCASE', 'k TEXT PRIMARY KEY COLLATE NOCASE', "iif(i % 2, 'K', 'k') || i"],
    ['bytes that are no text', 'k TEXT PRIMARY KEY', "CAST(x'ff' || i AS TEXT)"],
    [
      'any type',
      'k PRIMARY KEY',
      "CASE i % 4 WHEN 0 THEN i WHEN 1 THEN i + 0.5 WHEN 2 THEN 'k' || i ELSE CAST(i AS BLOB) END",
    ],
    ['nullable', 'k PRIMARY KEY', 'iif(i % 3, i, NULL)'],
  ])('meets every row once, in the order of its key: %s', async (_, column, key) => {
    for (const [table, keys] of [
      [`CREATE TABLE t (${column}, x)`, key],
      [
        `CREATE TABLE t (a, ${column.replace(' PRIMARY KEY', '')}, x, PRIMARY KEY (a DESC, k))`,
        `i % 2, ${key}`,
      ],
    ] as const) {
      await using f = await openAgreed(driver, table, keys)
      dropTriggers(f.app)
      f.app.exec("UPDATE t SET x = 'changed' WHERE rowid % 100 = 1; DELETE FROM t WHERE rowid % 100 = 2")
      const changed = Number(
        all(f.app, "SELECT count(*) FROM t WHERE x = 'changed' AND k IS NOT NULL")[0]?.[0],
      )
      const rows = (await dirtyKeys(f.store)).length
      expect(rows).toBeGreaterThanOrEqual(changed + 30)
      expect(rows).toBeLessThanOrEqual(90)
      const whole = (await f.store.readDirty({ rows: 1_000, bytes: 1e9 })).rows
      expect(whole.filter(({ fields }) => fields !== null)).toHaveLength(changed)
    }
  })

  // SQLite tells nobody of a row that another one displaces; where it cannot be told before, all of them are looked at.
  test.each([
    ['a number', 'id INTEGER PRIMARY KEY', 'id', 'i'],
    [
      'text and number',
      'a TEXT COLLATE NOCASE, b, PRIMARY KEY (a, b)',
      'a, b',
      "iif(i % 2, 'K', 'k') || (i / 100), i",
    ],
  ])('I1: finds displaced rows in slices, also when it is broken off: %s', async (_, key, names, values) => {
    const count = 25_000
    const columns = key.includes(', PRIMARY') ? key.replace(', PRIMARY', ', d, PRIMARY') : `${key}, d`
    await using f = await openFile(
      driver,
      `CREATE TABLE t (${columns}); CREATE UNIQUE INDEX u ON t (abs(d));
       ${numbers.replace(String(ROWS), String(count))} INSERT INTO t (${names}, d) SELECT ${values}, i FROM n`,
    )
    const state = names.split(', ').map((_name, at) => `k${at}`)
    await f.store.state()
    f.app.exec(`INSERT INTO _tidemark_s_1 (${state.join(', ')}, version, agreed, image)
      SELECT ${names}, 1, 1, x'00' FROM t; DELETE FROM _tidemark_m_1`)
    expect(await dirtyKeys(f.store)).toEqual([])
    const gone = [5, 9_999, 10_000, 10_001, 20_005, 25_000]
    for (const d of gone)
      f.app.exec(
        `WITH n (i) AS (SELECT ${count + d}) REPLACE INTO t (${names}, d) SELECT ${values}, -${d} FROM n`,
      )
    const found = dirtyKeys(f.store)
    const refused = expect(found).rejects.toMatchObject({ code: 'aborted' })
    await new Promise((resolve) => setTimeout(resolve, 0))
    await f.reopen()
    await refused
    const again = dirtyKeys(f.store)
    expect(await countTurns(again)).toBeGreaterThan(2)
    expect(await again).toHaveLength(2 * gone.length)
    expect(await dirtyKeys(f.store)).toHaveLength(2 * gone.length)
  })
})
