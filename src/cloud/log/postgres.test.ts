import { afterAll, beforeAll } from 'vitest'

import { copyTestDatabase, openTestDatabase, type TestDatabase } from '../../../test/postgres/database.ts'
import { type Clock, systemClock } from '../../kernel/clock.ts'
import { logContract } from '../../testing/log-contract.ts'
import type { LogHarness } from '../../testing/log-contract/harness.ts'
import { migrate } from '../postgres/migrate.ts'
import { MIGRATIONS } from '../postgres/migrations.ts'
import { openDatabase, type Database } from '../postgres/pool.ts'
import type { Log } from './log.ts'
import { openPostgresLog } from './postgres.ts'

const TABLES = ['spaces', 'generations', 'tables', 'writers', 'records', 'claims', 'replicas', 'staged']

let database: TestDatabase
beforeAll(async () => {
  database = await openTestDatabase()
  await using first = openDatabase(database)
  await migrate(first, MIGRATIONS, systemClock)
})
afterAll(() => database[Symbol.asyncDispose]())

async function openEmpty(now: number): Promise<LogHarness> {
  let time = now
  const clock: Clock = {
    now: () => time,
    // What is tried again is tried soon; acknowledgements wait for ever.
    after: (ms, run) => (ms < 1_000 ? systemClock.after(ms, run) : () => {}),
  }
  let pool: Database = openDatabase(database)
  let log = openPostgresLog({ database: pool, clock })
  const others: AsyncDisposable[] = []
  // Of a few rows it is quicker than TRUNCATE.
  await pool.query(TABLES.map((name) => `DELETE FROM tidemark.${name}`).join('; '))
  const close = async (): Promise<void> => {
    await log[Symbol.asyncDispose]()
    await pool[Symbol.asyncDispose]()
  }
  return {
    get log() {
      return log
    },
    time: { now: () => time, advance: (ms) => void (time += ms) },
    /** As after another start of the server: what was written then was written in an earlier life of the database. */
    async restart() {
      await close()
      pool = openDatabase(database)
      await pool.query(`UPDATE tidemark.spaces SET boot = 'an earlier life', wrote = pg_current_xact_id()`)
      return (log = openPostgresLog({ database: pool, clock }))
    },
    async save() {
      const saved = await copyTestDatabase(database)
      others.unshift(saved)
      return async (): Promise<Log> => {
        const copy = await copyTestDatabase(saved)
        const copyPool = openDatabase(copy)
        const opened = openPostgresLog({ database: copyPool, clock })
        others.unshift(opened, copyPool, copy)
        return opened
      }
    },
    async [Symbol.asyncDispose]() {
      await close()
      for (const other of others) await other[Symbol.asyncDispose]()
    },
  }
}

logContract('postgres', openEmpty)
