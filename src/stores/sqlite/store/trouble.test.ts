import { zstdDecompressSync } from 'node:zlib'

import { describe, expect, test } from 'vitest'

import { systemClock } from '../../../kernel/clock.ts'
import { AsyncDisposableStack } from '../../../kernel/disposable-stack.ts'
import { seededRandom } from '../../../kernel/random.ts'
import type { WireRecord } from '../../../protocol/records.ts'
import { dirtyKeys, pull, push, readAllDirty, record, send } from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openFile } from './harness.ts'
import { attachFile, openSqliteStore } from './open.ts'

const SQL = 'CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT, y TEXT)'
const big = (id: number, version: number): WireRecord =>
  record('t', version, { id, x: 'x'.repeat(3_000), y: String(version) })

describe.each([betterSqlite3, nodeSqlite])('trouble ($name)', (driver) => {
  test('another writer’s lock: a clear error in time, nothing done, and on it goes', async () => {
    await using f = await openFile(driver, SQL)
    await pull(f.store, [record('t', 1, { id: 1, x: 'a', y: '' })])
    f.app.exec("UPDATE t SET x = 'b'")
    await using store = openSqliteStore({ file: f.file, driver, busyMs: 30 })
    f.app.exec('BEGIN IMMEDIATE')
    await expect(pull(store, [record('t', 2, { id: 2, x: 'a', y: '' })])).rejects.toMatchObject({
      code: 'database_locked',
      retry: true,
    })
    await expect(store.saveMutation({ number: 1, force: false, parts: [] })).rejects.toMatchObject({
      code: 'database_locked',
    })
    // Reading needs no lock.
    expect(await readAllDirty(store)).toHaveLength(1)
    expect((await store.state()).inFlight).toBeNull()
    f.app.exec('COMMIT')
    expect(await pull(store, [record('t', 2, { id: 2, x: 'a', y: '' })])).toMatchObject({ applied: 1 })
  })

  test('a full disk: a clear error, nothing half done, no corruption, and on it goes when there is room', async () => {
    await using f = await openFile(driver, SQL)
    f.app.exec("INSERT INTO t VALUES (500, 'mine', '')")
    const connection = driver.open(f.file)
    await using store = openSqliteStore({ connection })
    await store.schema()
    const pages = connection.value('PRAGMA page_count')
    connection.exec(`PRAGMA max_page_count = ${Number(pages) + 20}`)
    const records = Array.from({ length: 200 }, (_, at) => big(at, at + 1))
    const cursor = { epoch: 'e', generation: 'g', version: 200, high: 200 }
    await expect(pull(store, records, { cursor })).rejects.toMatchObject({ code: 'disk_full', retry: true })
    expect(await store.state()).toMatchObject({ cursor: null })
    expect(f.app.value('SELECT count(*) FROM t')).toBe(1n)
    expect(await dirtyKeys(store)).toEqual(['t [500]'])
    expect(f.app.value('SELECT applying FROM _tidemark_flag')).toBe(0n)
    expect(f.app.value('PRAGMA integrity_check')).toBe('ok')
    connection.exec('PRAGMA max_page_count = 1000000')
    expect(await pull(store, records, { cursor })).toMatchObject({ applied: 200 })
    expect(await push(store, 300)).toHaveLength(1)
    await store[Symbol.asyncDispose]()
    connection.close()
  })

  test('rows that cannot be carried are set apart, whatever is behind them goes on (I9)', async () => {
    await using f = await openFile(driver, 'CREATE TABLE t (id TEXT PRIMARY KEY, x)')
    const insert = f.app.prepare('INSERT INTO t VALUES (?, ?)')
    insert.run('k'.repeat(2_000), 'x')
    insert.run('huge', new Uint8Array(13 * 1024 * 1024))
    insert.run('five megabytes', new Uint8Array(5 * 1024 * 1024))
    insert.run('small', 'x')
    const { rows, refused } = await f.store.readDirty({ rows: 100, bytes: 100_000_000 })
    expect(rows.map(({ key }) => key).sort()).toEqual(['["five megabytes"]', '["small"]'])
    expect(refused).toBe(2)
    const entries = await f.store.listQuarantine(9)
    expect(entries.map(({ code }) => code)).toEqual(['payload_too_large', 'payload_too_large'])
    expect(await dirtyKeys(f.store)).toEqual(['t ["five megabytes"]', 't ["small"]'])
    // Once it is small enough it goes like any other.
    f.app.exec("UPDATE t SET x = 'less' WHERE id = 'huge'")
    expect(await dirtyKeys(f.store)).toEqual(['t ["five megabytes"]', 't ["huge"]', 't ["small"]'])
    await push(f.store, 1)
    expect(await f.store.listQuarantine(9)).toHaveLength(1)
  })

  test('limits of rows and bytes are kept, `more` is exact', async () => {
    await using f = await openFile(driver, SQL)
    const insert = f.app.prepare('INSERT INTO t VALUES (?, ?, NULL)')
    for (let id = 1n; id <= 10n; id++) insert.run(id, 'x'.repeat(1_000))
    expect(await f.store.readDirty({ rows: 10, bytes: 1e9 })).toMatchObject({
      more: false,
      rows: { length: 10 },
    })
    expect(await f.store.readDirty({ rows: 9, bytes: 1e9 })).toMatchObject({
      more: true,
      rows: { length: 9 },
    })
    expect(await f.store.readDirty({ rows: 10, bytes: 2_500 })).toMatchObject({
      more: true,
      rows: { length: 3 },
    })
    expect(await f.store.readDirty({ rows: 10, bytes: 1 })).toMatchObject({ more: true, rows: { length: 1 } })
  })

  test('the answer to a mutation of megabytes survives a restart', async () => {
    await using f = await openFile(driver, SQL)
    await pull(f.store, [big(1, 1)])
    f.app.exec("UPDATE t SET y = 'edited'")
    await send(f.store)
    const { inFlight } = await f.store.state()
    const unpacked = async () =>
      (await f.store.packedParts?.())?.map((bytes) => zstdDecompressSync(bytes).toString())
    expect(await unpacked()).toEqual(inFlight?.parts)
    await f.reopen()
    expect(await unpacked()).toEqual(inFlight?.parts)
    expect((await f.store.state()).inFlight).toEqual(inFlight)
    expect(f.app.value('SELECT sum(length(body)) FROM _tidemark_mutation')).toBeLessThan(
      BigInt(inFlight?.parts.join('').length ?? 0),
    )
    await f.store.freeMutation(inFlight?.number ?? 0)
    expect(await unpacked()).toBeUndefined()
  })

  test('I9: the widest table that is taken can be read exactly; a wider one is refused', async () => {
    const wide = (name: string, columns: number): string =>
      `CREATE TABLE ${name} (id INTEGER PRIMARY KEY, ${Array.from({ length: columns - 1 }, (_, at) => `c${at}`).join(', ')});`
    await using f = await openFile(driver, `${wide('t', 995)} ${wide('wider', 996)}`)
    const { tables, refused } = await f.store.schema()
    expect(tables.map(({ name }) => name)).toEqual(['t'])
    expect(refused).toEqual([{ table: 'wider', reason: 'more than 995 columns' }])
    // Text that may have lost bytes on its way here, and so is read again.
    f.app.exec("INSERT INTO t (id, c9) VALUES (1, '\ufffd')")
    const [row] = await readAllDirty(f.store)
    expect(row?.fields?.['c9']).toBe('\ufffd')
    await push(f.store, 1)
    await pull(f.store, [record('t', 2, { ...row?.fields, id: 1, c9: 'well' })])
    expect(f.app.prepare('SELECT c9 FROM t').all()).toEqual([['well']])
  })

  test('I1: nothing is read or kept inside a transaction of the application, on a shared connection', async () => {
    await using stack = new AsyncDisposableStack()
    const connection = stack.adopt(driver.open(':memory:'), (one) => one.close())
    connection.exec(SQL)
    const settings = { connection, clock: systemClock, random: seededRandom(1) }
    await attachFile({ ...settings, space: 'space', replica: 'replica-a' })
    await using store = openSqliteStore(settings)
    connection.exec("BEGIN; INSERT INTO t VALUES (1, 'may go', '')")
    const locked = { code: 'database_locked', retry: true }
    await expect(readAllDirty(store)).rejects.toMatchObject(locked)
    await expect(store.saveMutation({ number: 1, force: false, parts: [] })).rejects.toMatchObject(locked)
    await expect(pull(store, [record('t', 1, { id: 2, x: 'a', y: '' })])).rejects.toMatchObject(locked)
    connection.exec('ROLLBACK')
    expect(await readAllDirty(store)).toEqual([])
    expect(await pull(store, [record('t', 1, { id: 2, x: 'a', y: '' })])).toMatchObject({ applied: 1 })
    expect(connection.value('PRAGMA foreign_keys')).toBe(0n)
  })
})
