import { expect, test } from 'vitest'

import { openTestDatabase } from '../../../../test/postgres/database.ts'
import { systemClock } from '../../../kernel/clock.ts'
import { del, put, Reader, SPACE } from '../../../testing/log-contract/harness.ts'
import { migrate } from '../../postgres/migrate.ts'
import { MIGRATIONS } from '../../postgres/migrations.ts'
import { openDatabase } from '../../postgres/pool.ts'
import type { Log } from '../log.ts'
import { openPostgresLog } from '../postgres.ts'

const TABLES = ['spaces', 'generations', 'tables', 'writers', 'records', 'claims', 'replicas', 'staged']

/** A connection plans a statement once, while the tables are of one page, and keeps the plan. */
test('whatever a log does it does by an index, however small the tables were when it was planned', async () => {
  await using served = await openTestDatabase()
  await using database = openDatabase({ ...served, limits: { connections: 1 } })
  await migrate(database, MIGRATIONS, systemClock)
  await database.query(
    TABLES.map((name) => `ALTER TABLE tidemark.${name} SET (autovacuum_enabled = off)`).join('; '),
  )
  const live = async (log: Log): Promise<void> => {
    const reader = new Reader(log, `reader-${Math.random()}`)
    await reader.start()
    const key = `${Math.random()}`
    const [version = 0] = await reader.write(put(key, 0, { a: 1 }, { claims: { unique: key } }))
    const other = new Reader(log, `${reader.id}-parts`)
    await other.push([put(`${key}-1`, 0, {})], { part: { index: 0, of: 2, attempt: 'a' } })
    await reader.write(del(key, version))
    await reader.pullAll()
    await log.hydratePage(SPACE, null, 10)
    await log.read(SPACE, { space: 'name', records: [{ table: 't', key: `["${key}"]` }] })
    await log.putSchema(SPACE, [])
    await log.status(SPACE)
    await log.forgetReplica(SPACE, reader.id)
    await log.collect(SPACE, { liveSince: 0, retainSince: 0 })
  }
  const scans = async (): Promise<number> => {
    // What a session has counted is told when it is idle, or asked.
    await database.query('SELECT pg_stat_force_next_flush()')
    const [row] = await database.query<{ scans: number }>(
      `SELECT sum(seq_scan)::bigint AS scans FROM pg_stat_user_tables WHERE schemaname = 'tidemark' AND relname = ANY($1)`,
      [TABLES],
    )
    return row?.scans ?? 0
  }
  {
    await using first = openPostgresLog({ database, clock: systemClock })
    await first.ensureSpace(SPACE)
    await live(first)
  }
  // By these statistics reading a whole table is the cheapest.
  await database.query(TABLES.map((name) => `ANALYZE tidemark.${name}`).join('; '))
  await using fresh = openDatabase({ ...served, limits: { connections: 1 } })
  await using log = openPostgresLog({ database: fresh, clock: systemClock })
  const before = await scans()
  for (let round = 0; round < 8; round++) await live(log)
  await fresh.query('SELECT pg_stat_force_next_flush()')
  expect(await scans()).toBe(before)
})
