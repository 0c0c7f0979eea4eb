import { execFileSync } from 'node:child_process'

import { expect, test } from 'vitest'

import { pull, readAllDirty, record } from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import type { Driver } from '../driver/driver.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openFile } from './harness.ts'

/** Row 2 holds so many bytes. By another program: better-sqlite3 writes no value that it cannot read. */
async function openWithBlob(driver: Driver, bytes: number) {
  // Large pages make it quick.
  const f = await openFile(driver, 'PRAGMA page_size = 65536; CREATE TABLE t (id INTEGER PRIMARY KEY, v)')
  const program =
    "const { DatabaseSync } = require('node:sqlite'); new DatabaseSync(process.argv[1]).exec(process.argv[2])"
  const sql = `INSERT INTO t VALUES (1, 'small'), (2, zeroblob(${bytes})), (3, 'small too')`
  execFileSync(process.execPath, ['-e', program, f.file, sql])
  return f
}

// As base64 the smaller one is longer than any string of JavaScript; better-sqlite3 does not even read the larger.
test.each([
  [nodeSqlite, 403_000_000],
  [betterSqlite3, 540_000_000],
])(
  'I9: a value of more than a string can hold stops no other row',
  async (driver, bytes) => {
    await using f = await openWithBlob(driver, bytes)
    expect((await readAllDirty(f.store)).map(({ key }) => key)).toEqual(['[1]', '[3]'])
    expect(await f.store.listQuarantine(10)).toMatchObject([
      { table: 't', key: '[2]', code: 'payload_too_large', message: 'the row is larger than 16777216 bytes' },
    ])
    // Made small, it is an edit as any other.
    f.app.exec("UPDATE t SET v = 'fits' WHERE id = 2")
    expect((await readAllDirty(f.store)).map(({ key }) => key)).toEqual(['[1]', '[2]', '[3]'])
  },
  60_000,
)

test('I1: a row with such a value is held before anything is merged with it, and nothing is written over it', async () => {
  await using f = await openWithBlob(betterSqlite3, 540_000_000)
  const theirs = record('t', 1, { id: 2, v: 'theirs' })
  expect(await pull(f.store, [theirs])).toEqual({ status: 'moved', rows: [{ table: 't', key: '[2]' }] })
  const [row] = await f.store.readTouched([{ table: 't', key: '[2]' }])
  expect(row).toMatchObject({ dirty: false, held: true })
  expect(await pull(f.store, [theirs])).toMatchObject({ status: 'moved' })
  expect(f.app.value('SELECT octet_length(v) FROM t WHERE id = 2')).toBe(540_000_000n)
  expect((await readAllDirty(f.store)).map(({ key }) => key)).toEqual(['[1]', '[3]'])
}, 60_000)
