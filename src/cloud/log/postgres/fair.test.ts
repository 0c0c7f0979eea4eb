import { expect, test } from 'vitest'

import { openTestDatabase } from '../../../../test/postgres/database.ts'
import { systemClock } from '../../../kernel/clock.ts'
import { codeOf, Reader, SPACE, START } from '../../../testing/log-contract/harness.ts'
import { createManualClock } from '../../../testing/manual-clock.ts'
import { migrate } from '../../postgres/migrate.ts'
import { MIGRATIONS } from '../../postgres/migrations.ts'
import { openDatabase } from '../../postgres/pool.ts'
import { openPostgresLog } from '../postgres.ts'

test('a space whose lock is held takes one connection, and others are answered from the rest', async () => {
  await using served = await openTestDatabase()
  await using admin = openDatabase(served)
  await migrate(admin, MIGRATIONS, systemClock)
  await using database = openDatabase({ ...served, limits: { connections: 2, lockMs: 5_000 } })
  await using log = openPostgresLog({ database, clock: systemClock })
  await log.ensureSpace('held')
  await log.ensureSpace('free')
  const waiting = await admin.transaction(async (connection) => {
    await connection.query(`SELECT FROM tidemark.spaces WHERE id = 'held' FOR UPDATE`)
    const begun = Array.from({ length: 6 }, (_, at) => log.startHydrate('held', `reader-${at}`))
    const options = { liveSince: 0, retainSince: 0 }
    const upkeep = [log.putSchema('held', []), log.forgetReplica('held', 'x'), log.collect('held', options)]
    const free = new Reader(log, 'free', 'free')
    expect((await free.start()).version).toBe(0)
    expect((await log.status('free')).head).toBe(0)
    return [...begun, ...upkeep]
  })
  // The lock is let go, and all of them go on.
  await Promise.all(waiting)
})

test('a certificate that is not there is told as any other reason', async () => {
  await using database = openDatabase({
    url: 'postgres://nobody@127.0.0.1:1/none?sslrootcert=/not/there.pem',
  })
  expect(await codeOf(database.connect('tidemark test'))).toBe('unavailable')
})

test('a pull that ends after its log was closed leaves no timer behind', async () => {
  await using served = await openTestDatabase()
  await using database = openDatabase(served)
  await migrate(database, MIGRATIONS, systemClock)
  const clock = createManualClock(START)
  const log = openPostgresLog({ database, clock })
  await log.ensureSpace(SPACE)
  const reader = new Reader(log, 'reader')
  await reader.start()
  const pulled = reader.pull()
  await log[Symbol.asyncDispose]()
  await pulled
  expect(clock.pending).toEqual([])
})
