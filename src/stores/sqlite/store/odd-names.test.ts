import { describe, expect, test } from 'vitest'

import { dirtyKeys, pull, push, readAllDirty } from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openFile } from './harness.ts'

/** Fields as JSON brings them, where `__proto__` is a name like any other. */
const row = (json: string): { readonly [name: string]: string } =>
  JSON.parse(json) as { readonly [name: string]: string }

describe.each([betterSqlite3, nodeSqlite])('a column called __proto__ ($name)', (driver) => {
  test('I2: claims its unique values', async () => {
    await using f = await openFile(driver, 'CREATE TABLE t (id TEXT PRIMARY KEY, "__proto__" TEXT UNIQUE)')
    f.app.exec(`INSERT INTO t VALUES ('a', 'x')`)
    const [dirty] = await readAllDirty(f.store)
    expect(Object.entries(dirty?.claims ?? {})).toEqual([['__proto__', '["x"]']])
  })

  test('I2: is kept for a table that lacks it, and comes back with the column', async () => {
    await using f = await openFile(driver, 'CREATE TABLE t (id TEXT PRIMARY KEY)')
    const fields = row('{"id":"a","__proto__":"kept"}')
    await pull(f.store, [{ table: 't', key: '["a"]', version: 1, hlc: 1, by: 'b', fields }])
    f.app.exec('ALTER TABLE t ADD COLUMN "__proto__" TEXT')
    expect(await dirtyKeys(f.store)).toEqual([])
    expect(f.app.prepare('SELECT "__proto__" FROM t').all()).toEqual([['kept']])
    f.app.exec(`UPDATE t SET "__proto__" = 'edited'`)
    const [change] = await push(f.store, 2)
    expect(Object.entries(change?.fields ?? {})).toEqual([['__proto__', 'edited']])
  })
})
