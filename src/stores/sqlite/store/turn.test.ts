import { describe, expect, test } from 'vitest'

import { systemClock } from '../../../kernel/clock.ts'
import { pull, record } from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openFile, type OpenFile } from './harness.ts'
import { openSqliteStore } from './open.ts'
import { takeTurns, type TurnOptions } from './turn.ts'

const SQL = 'CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)'
/** Far longer than any test: a thread that stands still is noticed by what it did not do, not by a time. */
const LONG_MS = 60_000

describe.each([betterSqlite3, nodeSqlite])(
  'turns beside an application in the same process ($name)',
  (driver) => {
    /** The application has a transaction open, and a store waits for its turn beside it. */
    function besides(f: OpenFile, options: Partial<TurnOptions> = {}) {
      const { file } = f
      const turns = takeTurns({ file, driver, clock: systemClock, waitMs: LONG_MS, ...options })
      const store = openSqliteStore({ file, driver, turn: turns.turn })
      return {
        store,
        async [Symbol.asyncDispose]() {
          await store[Symbol.asyncDispose]()
          turns[Symbol.dispose]()
        },
      }
    }

    test('a transaction that goes on after an await ends, and the store works after it', async () => {
      await using f = await openFile(driver, SQL)
      await using beside = besides(f)
      const { store } = beside
      await store.schema()
      f.app.exec("BEGIN IMMEDIATE; INSERT INTO t VALUES (1, 'mine')")
      let published = false
      const publishing = pull(store, [record('t', 1, { id: 2, x: 'theirs' })]).then(() => {
        published = true
      })
      // The application’s turns of the event loop come meanwhile.
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 1))
      expect(published).toBe(false)
      f.app.exec("INSERT INTO t VALUES (3, 'mine'); COMMIT")
      await publishing
      expect(f.app.value("SELECT group_concat(x, ' ') FROM (SELECT x FROM t ORDER BY id)")).toBe(
        'mine theirs mine',
      )
    })

    test('what only looks does not wait', async () => {
      await using f = await openFile(driver, SQL)
      await using beside = besides(f)
      const { store } = beside
      await store.schema()
      f.app.exec("BEGIN IMMEDIATE; INSERT INTO t VALUES (1, 'mine')")
      expect(await store.state()).toMatchObject({ inFlight: null })
      expect(await store.counts()).toMatchObject({ parked: 0 })
      expect(await store.listInbox({})).toEqual([])
      expect(await store.listQuarantine(9)).toEqual([])
      f.app.exec('ROLLBACK')
    })

    test('a turn that never comes is an error that says why', async () => {
      await using f = await openFile(driver, SQL)
      await using beside = besides(f, { waitMs: 5 })
      await beside.store.schema()
      f.app.exec('BEGIN IMMEDIATE')
      await expect(pull(beside.store, [record('t', 1, { id: 2, x: 'y' })])).rejects.toMatchObject({
        code: 'database_locked',
        message: expect.stringContaining('inside a transaction'),
      })
      f.app.exec('ROLLBACK')
      await pull(beside.store, [record('t', 1, { id: 2, x: 'y' })])
    })

    test('the application is kept out while the work is done, and let in whatever comes of it', async () => {
      await using f = await openFile(driver, SQL)
      const said: string[] = []
      await using beside = besides(f, {
        enter: async () => {
          said.push('enter')
          return () => void said.push('leave')
        },
      })
      await beside.store.schema()
      said.length = 0
      await pull(beside.store, [record('t', 1, { id: 2, x: 'y' })])
      expect(said.slice(0, 2)).toEqual(['enter', 'leave'])
      said.length = 0
      await expect(beside.store.finishHydrate(null)).rejects.toMatchObject({ code: 'invariant' })
      expect(said).toEqual(['enter', 'leave'])
    })

    test('while somebody holds the lock, the application is let in between two looks', async () => {
      await using f = await openFile(driver, SQL)
      const said: string[] = []
      await using beside = besides(f, {
        enter: async (attempt) => {
          said.push(`enter ${attempt}`)
          return () => void said.push('leave')
        },
      })
      await beside.store.schema()
      said.length = 0
      f.app.exec('BEGIN IMMEDIATE')
      const publishing = pull(beside.store, [record('t', 1, { id: 2, x: 'y' })])
      while (said.length < 6) await new Promise((resolve) => setTimeout(resolve, 1))
      f.app.exec('COMMIT')
      await publishing
      expect(said.slice(0, 6)).toEqual(['enter 0', 'leave', 'enter 1', 'leave', 'enter 2', 'leave'])
    })

    test('a transaction that holds no lock is waited for as well', async () => {
      await using f = await openFile(driver, SQL)
      await using beside = besides(f, { isInside: () => f.app.inTransaction })
      await beside.store.schema()
      f.app.exec('BEGIN; SELECT count(*) FROM t')
      const publishing = pull(beside.store, [record('t', 1, { id: 2, x: 'theirs' })])
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 1))
      // Refused where anything was written since it read.
      f.app.exec("INSERT INTO t VALUES (1, 'mine'); COMMIT")
      await publishing
      expect(f.app.value('SELECT count(*) FROM t')).toBe(2n)
    })

    test('after its signal nobody waits for long, and what need not wait is still done', async () => {
      await using f = await openFile(driver, SQL)
      const stopping = new AbortController()
      const never = new Promise<never>(() => {})
      let isKept = false
      await using beside = besides(f, {
        signal: stopping.signal,
        enter: () => (isKept ? never : Promise.resolve(() => {})),
      })
      await beside.store.schema()
      f.app.exec('BEGIN IMMEDIATE')
      const locked = expect(pull(beside.store, [record('t', 1, { id: 2, x: 'y' })])).rejects
      stopping.abort()
      await locked.toMatchObject({ code: 'aborted' })
      f.app.exec('ROLLBACK')
      await pull(beside.store, [record('t', 1, { id: 2, x: 'y' })])
      isKept = true
      await expect(beside.store.finishHydrate(null)).rejects.toMatchObject({ code: 'aborted' })
    })

    test('a transaction that begins while a turn comes, and only reads, has its end first', async () => {
      await using f = await openFile(driver, SQL)
      let began = false
      const begin = () => {
        if (!began) f.app.exec('BEGIN; SELECT count(*) FROM t')
        began = true
      }
      await using beside = besides(f, {
        enter: async () => {
          // The application’s code between our looking and our work.
          begin()
          return () => {}
        },
        isInside: () => f.app.inTransaction,
      })
      const publishing = pull(beside.store, [record('t', 1, { id: 2, x: 'theirs' })])
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 1))
      // Refused when somebody else has written since.
      f.app.exec("INSERT INTO t VALUES (3, 'mine'); COMMIT")
      await publishing
      expect(f.app.value('SELECT count(*) FROM t')).toBe(2n)
    })

    test('whatever the wall clock does, a turn that does not come ends, and at once with its signal', async () => {
      await using f = await openFile(driver, SQL)
      let now = 1e12
      const clock = { ...systemClock, now: () => (now -= 1_000_000) }
      const stop = new AbortController()
      await using beside = besides(f, { clock, waitMs: 20 })
      await using stopped = besides(f, { signal: stop.signal })
      await beside.store.schema()
      await stopped.store.schema()
      f.app.exec('BEGIN IMMEDIATE')
      await expect(pull(beside.store, [record('t', 1, { id: 2, x: 'y' })])).rejects.toMatchObject({
        code: 'database_locked',
      })
      const waiting = pull(stopped.store, [record('t', 1, { id: 2, x: 'y' })])
      stop.abort(new Error('enough'))
      await expect(waiting).rejects.toMatchObject({ code: 'aborted' })
      f.app.exec('ROLLBACK')
      // What need not wait is still done.
      await pull(stopped.store, [record('t', 1, { id: 2, x: 'y' })])
    })
  },
)
