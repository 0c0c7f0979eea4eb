import { execFileSync } from 'node:child_process'

import { expect, test } from 'vitest'

import { pull, readAllDirty, record } from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import type { Driver } from '../driver/driver.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openFile } from './harness.ts'

// Each takes seconds, and up to 1.6 GB of memory.

/** By another program: better-sqlite3 writes no value that it cannot read. */
function write(file: string, sql: string): void {
  const program =
    "const { DatabaseSync } = require('node:sqlite'); new DatabaseSync(process.argv[1]).exec(process.argv[2])"
  execFileSync(process.execPath, ['-e', program, file, sql])
}

/** Row 2 holds that value. */
async function openWithLarge(driver: Driver, value: string) {
  // Large pages make it quick.
  const f = await openFile(driver, 'PRAGMA page_size = 65536; CREATE TABLE t (id INTEGER PRIMARY KEY, v)')
  write(f.file, `INSERT INTO t VALUES (1, 'small'), (2, ${value}), (3, 'small too')`)
  return f
}

// As base64 the first is longer than any string of JavaScript; the drivers do not even read the others.
test.each([
  [nodeSqlite, 'zeroblob(403000000)'],
  [betterSqlite3, 'zeroblob(540000000)'],
])(
  'I9: a value of more than a string can hold stops no other row',
  async (driver, value) => {
    await using f = await openWithLarge(driver, value)
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

test.each([
  [nodeSqlite, 'CAST(zeroblob(540000000) AS TEXT)'],
  [betterSqlite3, 'zeroblob(540000000)'],
])(
  'I1: a row with such a value is held before anything is merged with it, and nothing is written over it',
  async (driver, value) => {
    await using f = await openWithLarge(driver, value)
    const theirs = record('t', 1, { id: 2, v: 'theirs' })
    expect(await pull(f.store, [theirs])).toEqual({ status: 'moved', rows: [{ table: 't', key: '[2]' }] })
    const [row] = await f.store.readTouched([{ table: 't', key: '[2]' }])
    expect(row).toMatchObject({ dirty: false, held: true })
    expect(row?.fields).not.toBeNull()
    expect(await pull(f.store, [theirs])).toMatchObject({ status: 'moved' })
    expect(f.app.value('SELECT octet_length(v) FROM t WHERE id = 2')).toBe(540_000_000n)
    expect((await readAllDirty(f.store)).map(({ key }) => key)).toEqual(['[1]', '[3]'])
    // Rows are read in their order, and it is met on the way.
    write(f.file, 'UPDATE t SET id = id WHERE id = 2')
    expect((await readAllDirty(f.store)).map(({ key }) => key)).toEqual(['[1]', '[3]'])
  },
  60_000,
)
