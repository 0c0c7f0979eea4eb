import { describe, expect, it } from 'vitest'

import { resolveEntry } from '../../src/engine/conflicts.ts'
import { manual } from '../../src/engine/resolvers.ts'
import { keyOf } from '../../src/kernel/keys.ts'
import { FAILED_RETRY_MS } from '../../src/library/retry-book.ts'
import { COMPLETED_KEPT_MS } from '../../src/library/retry-rows.ts'
import {
  clearCompleted,
  clearFailed,
  getStats,
  listOperations,
  observeRetries,
  retryAllFailed,
  retryDue,
  type Retries,
} from '../../src/library/retries.ts'
import { betterSqlite3 } from '../../src/stores/sqlite/driver/better-sqlite3.ts'
import { nodeSqlite } from '../../src/stores/sqlite/driver/node-sqlite.ts'
import { inspectFile, detachFile } from '../../src/stores/sqlite/store/open.ts'
import { all, temporaryFile } from '../../src/stores/sqlite/store/harness.ts'
import { LONG_KEY, openRefusing, type RefusingWorld } from './refusing.ts'

const signal = new AbortController().signal
const HOUR = 3_600_000
const key = (id: string): string => keyOf([id])

/** A sync as the manager does it. */
async function sync(w: RefusingWorld): Promise<number> {
  const { retried } = await retryDue(w.retries)
  await w.sync()
  await observeRetries(w.retries)
  return retried
}

const attempts = async (retries: Retries) =>
  (await listOperations(retries)).map(({ status, attempts: count }) => [status, count])

/** A refused row `x` beside a row `ok` that the cloud took. */
async function openRefused(driver = betterSqlite3): Promise<RefusingWorld> {
  const w = await openRefusing(driver)
  w.refuse(key('x'))
  w.app.exec("INSERT INTO notes VALUES ('ok', '1', NULL), ('x', '1', NULL)")
  await sync(w)
  return w
}

/** The same, refused until it failed. */
async function openFailed(driver = betterSqlite3): Promise<RefusingWorld> {
  const w = await openRefused(driver)
  for (let more = 0; more < 2; more++) {
    w.elapse(60_000)
    await sync(w)
  }
  expect(await attempts(w.retries)).toEqual([['failed', 3]])
  return w
}

/** A store that dies at the given call of `retryQuarantine`: before it, or after. */
const dying = (w: RefusingWorld, when: 'before' | 'after'): Retries => ({
  ...w.retries,
  store: {
    ...w.store,
    async retryQuarantine(id) {
      if (when === 'after') await w.store.retryQuarantine(id)
      throw new Error('killed')
    },
  },
})

describe.each([betterSqlite3, nodeSqlite])('the retry queue, by $name', (driver) => {
  it('tries a refused row again, later each time, until it failed; then once an hour', async () => {
    await using w = await openRefused(driver)
    expect(await getStats(w.retries)).toEqual({ pending: 1, failed: 0, completed: 0, total: 1 })
    expect(await sync(w)).toBe(0)
    w.elapse(15_000)
    expect(await sync(w)).toBe(1)
    expect(await attempts(w.retries)).toEqual([['pending', 2]])
    w.elapse(15_000)
    expect(await sync(w)).toBe(0)
    w.elapse(15_000)
    expect(await sync(w)).toBe(1)
    expect(await listOperations(w.retries)).toMatchObject([
      {
        entityType: 'notes',
        entityId: 'x',
        op: 'put',
        status: 'failed',
        attempts: 3,
        message: 'refused by rule',
      },
    ])
    expect(await getStats(w.retries)).toEqual({ pending: 0, failed: 1, completed: 0, total: 1 })
    w.elapse(FAILED_RETRY_MS - 1)
    expect(await sync(w)).toBe(0)
    w.elapse(1)
    expect(await sync(w)).toBe(1)
    expect(await attempts(w.retries)).toEqual([['failed', 4]])
    // I9: meanwhile others went on.
    w.app.exec("INSERT INTO notes VALUES ('other', '1', NULL)")
    await sync(w)
    expect((await w.store.counts()).pending).toEqual({})
  })

  it('completes an operation that the cloud takes, and keeps it until it is cleared', async () => {
    await using w = await openFailed(driver)
    w.refuse(null)
    expect(await retryAllFailed(w.retries)).toBe(1)
    expect(await getStats(w.retries)).toEqual({ pending: 1, failed: 0, completed: 0, total: 1 })
    expect(await attempts(w.retries)).toEqual([['pending', 3]])
    await sync(w)
    expect(await attempts(w.retries)).toEqual([['completed', 3]])
    expect(await getStats(w.retries)).toEqual({ pending: 0, failed: 0, completed: 1, total: 1 })
    w.elapse(23 * HOUR)
    expect(await clearCompleted(w.retries, 24)).toBe(0)
    w.elapse(HOUR)
    expect(await clearCompleted(w.retries, 24)).toBe(1)
    expect(await getStats(w.retries)).toMatchObject({ total: 0 })
    expect(await w.store.listQuarantine(9)).toEqual([])
  })

  it('goes with the file’s sync, and is never synced', async () => {
    const { file, remove } = temporaryFile()
    {
      await using w = await openRefused(driver)
      expect(inspectFile({ file: w.app.file, driver })).toMatchObject({ tables: ['notes'], refused: [] })
      expect((await w.store.schema()).tables.map(({ name }) => name)).toEqual(['notes'])
      w.app.exec(`VACUUM INTO '${file}'`)
    }
    detachFile({ file, driver })
    const after = driver.open(file)
    expect(all(after, 'SELECT name FROM sqlite_master WHERE sql IS NOT NULL')).toEqual([['notes']])
    after.close()
    remove()
  })
})

describe('a refused row', () => {
  it('that the application mends is sent by itself', async () => {
    await using w = await openFailed()
    w.refuse(null)
    w.app.exec("UPDATE notes SET a = 'mended' WHERE id = 'x'")
    expect(await sync(w)).toBe(0)
    expect(await attempts(w.retries)).toEqual([['completed', 3]])
  })

  it('that the application changes to something that is refused too counts on', async () => {
    await using w = await openRefused()
    w.app.exec("UPDATE notes SET a = '2' WHERE id = 'x'")
    expect(await getStats(w.retries)).toMatchObject({ pending: 2 })
    await sync(w)
    expect(await attempts(w.retries)).toEqual([['pending', 2]])
  })

  it('is a new operation when it was completed before', async () => {
    await using w = await openRefused()
    w.refuse(null)
    w.elapse(60_000)
    await sync(w)
    w.refuse(key('x'))
    w.app.exec("UPDATE notes SET a = '2' WHERE id = 'x'")
    await sync(w)
    expect(await attempts(w.retries)).toEqual([
      ['pending', 1],
      ['completed', 1],
    ])
  })

  it('that cannot even be sent is treated alike, and completed once it is deleted', async () => {
    await using w = await openRefusing(betterSqlite3)
    w.app.exec(`INSERT INTO notes VALUES ('${LONG_KEY}', '1', NULL)`)
    await sync(w)
    expect(await listOperations(w.retries)).toMatchObject([{ code: 'payload_too_large', attempts: 1 }])
    w.elapse(60_000)
    expect(await sync(w)).toBe(1)
    expect(await attempts(w.retries)).toEqual([['pending', 2]])
    w.app.exec('DELETE FROM notes')
    w.elapse(60_000)
    await sync(w)
    expect(await attempts(w.retries)).toEqual([['completed', 2]])
  })

  it('that only the cloud finds too large, with what others have in it, goes the whole way', async () => {
    await using w = await openRefusing(betterSqlite3)
    const half = 'x'.repeat(9_000_000)
    w.app.prepare("INSERT INTO notes VALUES ('big', ?, NULL)").run(half)
    await sync(w)
    w.app.prepare("UPDATE notes SET b = ? WHERE id = 'big'").run(half)
    await sync(w)
    expect(await listOperations(w.retries)).toMatchObject([{ code: 'payload_too_large', attempts: 1 }])
    for (let more = 0; more < 2; more++) {
      w.elapse(60_000)
      expect(await sync(w)).toBe(1)
    }
    expect(await attempts(w.retries)).toEqual([['failed', 3]])
    expect(await clearFailed(w.retries, w.provider, signal)).toBe(1)
    expect(all(w.app, 'SELECT length(a), b FROM notes')).toEqual([[9_000_000, null]])
  }, 60_000)

  it('of a table that is gone is forgotten', async () => {
    await using w = await openRefused()
    w.app.exec('DROP TABLE notes')
    await observeRetries(w.retries)
    expect(await listOperations(w.retries)).toEqual([])
  })
})

describe('giving failed operations up', () => {
  it('makes each row what the cloud has', async () => {
    await using w = await openFailed()
    w.refuse(key('ok'))
    w.app.exec("UPDATE notes SET a = 'mine' WHERE id = 'ok'")
    for (let times = 0; times < 3; times++) {
      await sync(w)
      w.elapse(60_000)
    }
    expect(await getStats(w.retries)).toMatchObject({ failed: 2 })
    expect(await clearFailed(w.retries, w.provider, signal)).toBe(2)
    expect(all(w.app, 'SELECT * FROM notes')).toEqual([['ok', '1', null]])
    expect(await listOperations(w.retries)).toEqual([])
    expect((await w.store.counts()).pending).toEqual({})
    expect(await clearFailed(w.retries, null, signal)).toBe(0)
  })

  it('I1: loses nothing where the cloud cannot be asked', async () => {
    await using w = await openFailed()
    await expect(clearFailed(w.retries, null, signal)).rejects.toMatchObject({ code: 'not_connected' })
    await expect(clearFailed(w.retries, null, signal)).rejects.toThrow('Not connected')
    w.cut()
    await expect(clearFailed(w.retries, w.provider, signal)).rejects.toMatchObject({ code: 'network' })
    expect(await attempts(w.retries)).toEqual([['failed', 3]])
    expect(await w.store.listQuarantine(9)).toHaveLength(1)
    expect(all(w.app, "SELECT a FROM notes WHERE id = 'x'")).toEqual([['1']])
  })

  it('I1: asks no other cloud than the one that the file is in step with, which has none of its rows', async () => {
    await using w = await openFailed()
    await using elsewhere = await openFailed()
    await expect(clearFailed(w.retries, elsewhere.provider, signal)).rejects.toMatchObject({
      code: 'lost_history',
    })
    expect(await attempts(w.retries)).toEqual([['failed', 3]])
    expect(all(w.app, "SELECT a FROM notes WHERE id = 'x'")).toEqual([['1']])
  })

  it('is not about those that are on their way again', async () => {
    await using w = await openFailed()
    await retryAllFailed(w.retries)
    w.cut()
    expect(await clearFailed(w.retries, w.provider, signal)).toBe(0)
    expect(await getStats(w.retries)).toMatchObject({ pending: 1, failed: 0 })
  })

  it('I1: leaves a later change of the row, which is sent', async () => {
    await using w = await openFailed()
    w.app.exec("UPDATE notes SET a = 'later' WHERE id = 'x'")
    expect(await clearFailed(w.retries, w.provider, signal)).toBe(1)
    expect(all(w.app, "SELECT a FROM notes WHERE id = 'x'")).toEqual([['later']])
    w.refuse(null)
    await sync(w)
    const other = await w.another()
    await other.sync()
    expect(all(other.app, "SELECT a FROM notes WHERE id = 'x'")).toEqual([['later']])
  })

  it('I2: comes to what the cloud has, also where that changed after it was asked', async () => {
    await using w = await openRefused()
    w.refuse(key('ok'))
    w.app.exec("UPDATE notes SET a = 'mine' WHERE id = 'ok'")
    await sync(w)
    const other = await w.another()
    await other.sync()
    const late = {
      ...w.provider,
      async read(...[request, stop]: Parameters<typeof w.provider.read>) {
        const answer = await w.provider.read(request, stop)
        other.app.exec("UPDATE notes SET a = 'newer' WHERE id = 'ok'")
        await other.sync()
        await w.sync()
        return answer
      },
    }
    expect(await clearFailed({ ...w.retries, maxRetries: 1 }, late, signal)).toBe(2)
    w.refuse(null)
    await sync(w)
    for (const { app } of [w, other]) expect(all(app, 'SELECT * FROM notes')).toEqual([['ok', 'newer', null]])
    expect((await w.store.counts()).pending).toEqual({})
  })

  it('I9: goes on after a row that cannot be given up, and says so', async () => {
    await using w = await openFailed()
    w.app.exec("INSERT INTO notes VALUES ('y', '1', NULL)")
    w.refuse('y')
    for (let times = 0; times < 3; times++) {
      await sync(w)
      w.elapse(60_000)
    }
    const [first] = await w.store.listQuarantine(9)
    const store = {
      ...w.store,
      dropQuarantine: (...[id, record]: Parameters<typeof w.store.dropQuarantine>) =>
        id === first?.id ? Promise.reject(new Error('no')) : w.store.dropQuarantine(id, record),
    }
    await expect(clearFailed({ ...w.retries, store }, w.provider, signal)).rejects.toThrow()
    expect(await attempts(w.retries)).toHaveLength(1)
    expect(await clearFailed(w.retries, w.provider, signal)).toBe(1)
  })
})

describe('I8, I9: a process that is killed', () => {
  it('before a row is marked: it is retried when its next turn comes, not at once', async () => {
    await using w = await openRefused()
    w.elapse(15_000)
    await expect(retryDue(dying(w, 'before'))).rejects.toThrow('killed')
    expect(await sync(w)).toBe(0)
    expect(await attempts(w.retries)).toEqual([['pending', 1]])
    w.elapse(15_000)
    expect(await sync(w)).toBe(1)
    expect(await attempts(w.retries)).toEqual([['pending', 2]])
  })

  it('after it, or after the refusal: the failure is counted when somebody looks again', async () => {
    await using w = await openRefused()
    w.elapse(15_000)
    await expect(retryDue(dying(w, 'after'))).rejects.toThrow('killed')
    // Nobody looks after this sync either.
    await w.sync()
    const { retried, nextRetryAt } = await retryDue(w.retries)
    expect(retried).toBe(0)
    expect(nextRetryAt).toBeGreaterThan(w.retries.clock.now() + 15_000)
    expect(await attempts(w.retries)).toEqual([['pending', 2]])
  })

  it('between giving a row up and forgetting it: nothing is left of it', async () => {
    await using w = await openFailed()
    const book = { ...w.retries.book, write: () => Promise.reject(new Error('killed')) }
    await expect(clearFailed({ ...w.retries, book }, w.provider, signal)).rejects.toThrow('killed')
    await sync(w)
    expect(await attempts(w.retries)).toEqual([['completed', 3]])
  })
})

describe('the book', () => {
  it('is not made by looking, nor by syncs without a refusal', async () => {
    await using w = await openRefusing(betterSqlite3)
    w.app.exec("INSERT INTO notes VALUES ('a', '1', NULL)")
    await sync(w)
    expect(await getStats(w.retries)).toEqual({ pending: 0, failed: 0, completed: 0, total: 0 })
    expect(await listOperations(w.retries)).toEqual([])
    expect(await clearCompleted(w.retries, 0)).toBe(0)
    expect(await clearFailed(w.retries, null, signal)).toBe(0)
    expect(await retryAllFailed(w.retries)).toBe(0)
    expect(w.writes).toBe(0)
    expect(all(w.app, "SELECT 1 FROM sqlite_master WHERE name LIKE '_tidemark_retries%'")).toEqual([])
  })

  it('is shown as it will be, before anybody wrote it', async () => {
    await using w = await openRefusing(betterSqlite3)
    w.app.exec(`INSERT INTO notes VALUES ('${LONG_KEY}', '1', NULL)`)
    await w.sync()
    expect(await getStats(w.retries)).toEqual({ pending: 1, failed: 0, completed: 0, total: 1 })
    expect(await attempts(w.retries)).toEqual([['pending', 1]])
    expect(w.writes).toBe(0)
    expect(await getStats({ ...w.retries, maxRetries: 1 })).toMatchObject({ pending: 0, failed: 1 })
  })

  it('I8: is not written when nothing changed, for a write would wake the engine', async () => {
    await using w = await openFailed()
    const { writes } = w
    for (let times = 0; times < 3; times++) await sync(w)
    expect(w.writes).toBe(writes)
  })

  it('counts a refusal once, whoever looks at the same time', async () => {
    await using w = await openRefused()
    w.elapse(60_000)
    await retryDue(w.retries)
    await w.sync()
    await Promise.all([1, 2, 3, 4].map(() => observeRetries(w.retries)))
    expect(await attempts(w.retries)).toEqual([['pending', 2]])
  })

  it('does not count what another wrote between its look and its write', async () => {
    await using w = await openRefused()
    w.elapse(60_000)
    await retryDue(w.retries)
    await w.sync()
    let interfere = true
    const slow: Retries = {
      ...w.retries,
      book: {
        ...w.retries.book,
        async write(work) {
          if (interfere) {
            interfere = false
            await observeRetries(w.retries)
            w.elapse(60_000)
            await sync(w)
          }
          return await w.retries.book.write(work)
        },
      },
    }
    await observeRetries(slow)
    expect(await attempts(w.retries)).toEqual([['failed', 3]])
  })

  it('retries nothing whose turn somebody else has planned meanwhile', async () => {
    await using w = await openRefused()
    w.elapse(15_000)
    const slow: Retries = {
      ...w.retries,
      book: {
        ...w.retries.book,
        async write(work) {
          await expect(retryDue(dying(w, 'before'))).rejects.toThrow('killed')
          return await w.retries.book.write(work)
        },
      },
    }
    expect(await retryDue(slow)).toMatchObject({ retried: 0 })
    expect(await w.store.listQuarantine(9)).toHaveLength(1)
  })

  it('lets completed operations go after a month, whatever the clock did meanwhile', async () => {
    await using w = await openRefused()
    w.refuse(null)
    w.elapse(60_000)
    await sync(w)
    w.elapse(-HOUR)
    await observeRetries(w.retries)
    expect(await attempts(w.retries)).toEqual([['completed', 1]])
    w.elapse(HOUR + COMPLETED_KEPT_MS)
    await observeRetries(w.retries)
    expect(await attempts(w.retries)).toEqual([])
  })

  it('clears the completed of a clock that was ahead', async () => {
    await using w = await openRefused()
    w.refuse(null)
    w.elapse(60_000)
    await sync(w)
    w.elapse(-HOUR)
    expect(await clearCompleted(w.retries, 1)).toBe(0)
    expect(await clearCompleted(w.retries, 0)).toBe(1)
    for (const hours of [-1, Number.NaN])
      await expect(clearCompleted(w.retries, hours)).rejects.toMatchObject({ code: 'bad_request' })
  })

  it('says of every operation that waits when it is due (I8)', async () => {
    await using w = await openRefused()
    const { nextRetryAt } = await observeRetries(w.retries)
    const now = w.retries.clock.now()
    expect(nextRetryAt).toBeGreaterThan(now)
    w.elapse((nextRetryAt ?? 0) - now)
    const again = await retryDue(w.retries)
    expect(again.retried).toBe(1)
    expect(again.nextRetryAt).toBeGreaterThan(w.retries.clock.now())
    expect((await listOperations(w.retries)).map((one) => one.nextRetryAt)).toEqual([null])
  })

  it('lists as many as asked for', async () => {
    await using w = await openRefused()
    w.app.exec(`INSERT INTO notes VALUES ('${LONG_KEY}', '1', NULL)`)
    await sync(w)
    expect(await listOperations(w.retries, 1)).toMatchObject([{ code: 'payload_too_large' }])
    expect(await listOperations(w.retries)).toHaveLength(2)
    expect(await listOperations(w.retries, 0)).toEqual([])
  })

  it('keeps an operation whose row waits in the inbox, until that is settled', async () => {
    await using w = await openRefusing(betterSqlite3, { resolver: manual })
    w.refuse(key('x'))
    w.app.exec("INSERT INTO notes VALUES ('x', 'mine', NULL)")
    await sync(w)
    const other = await w.another()
    other.app.exec("INSERT INTO notes VALUES ('x', 'theirs', NULL)")
    await other.sync()
    w.refuse(null)
    w.elapse(60_000)
    expect(await sync(w)).toBe(1)
    const [conflict] = await w.store.listInbox({ open: true })
    expect(conflict).toMatchObject({ chosen: 'waits' })
    expect(await w.store.listQuarantine(9)).toEqual([])
    expect(await attempts(w.retries)).toEqual([['pending', 1]])
    expect(await getStats(w.retries)).toMatchObject({ pending: 0, total: 0 })
    await resolveEntry(w.store, conflict?.id ?? '', 'local')
    await sync(w)
    expect(await attempts(w.retries)).toEqual([['completed', 1]])
  })
})
