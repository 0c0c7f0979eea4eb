import { describe, expect, test } from 'vitest'

import { pull, record } from '../../../testing/store-contract/cycle.ts'
import { createManualClock } from '../../../testing/manual-clock.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openFile } from './harness.ts'

describe.each([betterSqlite3, nodeSqlite])('watching a file ($name)', (driver) => {
  const SQL = 'CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)'

  test('I8: another connection’s commit is noticed within one poll, the store’s own never', async () => {
    const clock = createManualClock()
    await using f = await openFile(driver, SQL, { clock })
    let calls = 0
    const stop = f.store.watch(() => calls++)
    clock.elapse(100)
    expect(calls).toBe(0)
    f.app.exec("INSERT INTO t VALUES (1, 'x')")
    clock.elapse(100)
    expect(calls).toBe(1)
    await pull(f.store, [record('t', 1, { id: 2, x: 'y' })])
    await f.store.readDirty({ rows: 9, bytes: 9_999 })
    clock.elapse(1_000)
    expect(calls).toBe(1)
    // A commit that comes between two calls of the store is not taken for its own.
    f.app.exec("INSERT INTO t VALUES (3, 'x')")
    await pull(f.store, [record('t', 2, { id: 4, x: 'y' })])
    clock.elapse(100)
    expect(calls).toBe(2)
    stop()
    expect(clock.pending.length).toBe(0)
  })

  test('a commit that is told of is told once', async () => {
    const clock = createManualClock()
    await using f = await openFile(driver, SQL, { clock })
    let calls = 0
    const stop = f.store.watch(() => calls++)
    f.app.exec("INSERT INTO t VALUES (1, 'x')")
    f.store.notify()
    expect(calls).toBe(1)
    await f.store.readDirty({ rows: 9, bytes: 9_999 })
    clock.elapse(1_000)
    expect(calls).toBe(1)
    f.app.exec("INSERT INTO t VALUES (2, 'x')")
    clock.elapse(100)
    expect(calls).toBe(2)
    stop()
  })

  test('what was read whole as dirty rows is not told of, what was not is', async () => {
    const clock = createManualClock()
    await using f = await openFile(driver, SQL, { clock })
    let calls = 0
    const stop = f.store.watch(() => calls++)
    const insert = (id: number) => f.app.exec(`INSERT INTO t VALUES (${id}, 'x')`)
    const read = (rows: number) => f.store.readDirty({ rows, bytes: 9_999 })
    insert(1)
    await read(9)
    clock.elapse(100)
    // The cloud does not know the schema yet.
    expect(calls).toBe(1)
    await f.store.savePublishedSchema((await f.store.schema()).fingerprint)
    insert(2)
    insert(3)
    await read(1)
    clock.elapse(100)
    expect(calls).toBe(2)
    insert(4)
    expect((await read(9)).rows.length).toBe(4)
    clock.elapse(1_000)
    expect(calls).toBe(2)
    await read(9)
    insert(5)
    clock.elapse(100)
    expect(calls).toBe(3)
    f.app.exec('ALTER TABLE t ADD COLUMN y')
    await read(9)
    clock.elapse(100)
    expect(calls).toBe(4)
    stop()
  })

  test('polls come seldom while nothing happens, often again as soon as something does', async () => {
    const clock = createManualClock()
    await using f = await openFile(driver, SQL, { clock })
    let calls = 0
    const stop = f.store.watch(() => calls++)
    const polls = (ms: number): number => {
      let count = 0
      const end = clock.now() + ms
      for (
        let [next] = clock.pending;
        next !== undefined && clock.now() + next <= end;
        [next] = clock.pending
      ) {
        clock.elapse(next)
        count++
      }
      clock.elapse(end - clock.now())
      return count
    }
    expect(polls(1_000)).toBe(10)
    polls(30_000)
    expect(polls(10_000)).toBeLessThanOrEqual(10)
    f.app.exec("INSERT INTO t VALUES (1, 'x')")
    expect(polls(1_000)).toBeGreaterThanOrEqual(1)
    expect(calls).toBe(1)
    expect(polls(1_000)).toBe(10)
    polls(30_000)
    f.store.notify()
    expect(calls).toBe(2)
    expect(polls(1_000)).toBe(10)
    stop()
  })

  test('several watch, each until it stops, and none after the store is closed', async () => {
    const clock = createManualClock()
    await using f = await openFile(driver, SQL, { clock })
    const seen: string[] = []
    const stop = f.store.watch(() => seen.push('a'))
    f.store.watch(() => seen.push('b'))
    f.store.notify()
    stop()
    f.store.notify()
    expect(seen).toEqual(['a', 'b', 'b'])
    await f.store[Symbol.asyncDispose]()
    expect(clock.pending.length).toBe(0)
  })
})
