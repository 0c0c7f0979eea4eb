import pg from 'pg'

import type { Log } from '../../src/cloud/log/log.ts'
import { openPostgresLog } from '../../src/cloud/log/postgres.ts'
import { migrate } from '../../src/cloud/postgres/migrate.ts'
import { MIGRATIONS } from '../../src/cloud/postgres/migrations.ts'
import { openDatabase } from '../../src/cloud/postgres/pool.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { TidemarkError } from '../../src/kernel/errors.ts'
import type { PullRequest } from '../../src/protocol/pull.ts'
import { failureOf } from '../../src/testing/failures.ts'
import type { Reader } from '../../src/testing/log-contract/harness.ts'

/** A node's log on a database that is brought up to date first, with connections of its own. */
export interface LogNode extends AsyncDisposable {
  readonly log: Log
}

export async function openNode(url: string): Promise<LogNode> {
  const database = openDatabase({ url })
  await persist(() => migrate(database, MIGRATIONS, systemClock))
  const log = openPostgresLog({ database, clock: systemClock })
  return {
    log,
    async [Symbol.asyncDispose]() {
      await log[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

const MAX_TRIES = 200
const PAUSE_MS = 25

/** What a client does: again, for as long as the answer is one that passes. */
export async function persist<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      const passes = error instanceof TidemarkError && (error.code === 'unavailable' || error.retry)
      if (!passes || tries === MAX_TRIES) throw error
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }
}

/** As somebody beside the nodes, an operator or a program of theirs. */
export async function askDatabase<Row extends object>(url: string, sql: string): Promise<readonly Row[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Row>(sql)).rows
  } finally {
    await client.end().catch(() => {})
  }
}

/** The ids of all generations. To ask begins one where one is due. */
export async function generationsOf(log: Log, space: string): Promise<readonly string[]> {
  const cursor = { epoch: 'none', generation: 'none', version: 0, high: 0 }
  const request = { space: 'n', replica: 'nobody', cursor }
  const { details } = await persist(async () => {
    const failure = await failureOf(log.pull(space, request))
    if (failure.code === 'lost_history') return failure
    throw new TidemarkError('unavailable')
  })
  return (details['generations'] as readonly { readonly id: string }[]).map(({ id }) => id)
}

/** The pull that a reader would make next, to be made through any node. */
export function pullOf({ id, cursor }: Reader): PullRequest {
  if (cursor === null) throw new Error('it has not read yet')
  return { space: 'n', replica: id, cursor }
}
