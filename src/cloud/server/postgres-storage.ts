import { randomUUID } from 'node:crypto'

import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { silentLogger } from '../../kernel/logger.ts'
import { systemRandom } from '../../kernel/random.ts'
import { joinPostgresBus } from '../bus/postgres.ts'
import type { Directory } from '../directory.ts'
import { openPostgresDirectory } from '../directory/postgres.ts'
import { openPostgresLog } from '../log/postgres.ts'
import { countSpaces } from '../log/postgres/copy.ts'
import { beginGenerations } from '../log/postgres/begin-generations.ts'
import { silentMetrics, type Metrics } from '../metrics.ts'
import { createPostgresExclusive } from '../postgres/exclusive.ts'
import { migrate, readLevel } from '../postgres/migrate.ts'
import { MIGRATIONS } from '../postgres/migrations.ts'
import { openDatabase, type Database, type DatabaseOptions } from '../postgres/pool.ts'
import type { CloudSpaces } from './cloud-spaces.ts'
import { createViewKeeper } from '../views/keeper.ts'
import type { DatabasePlace } from './place.ts'
import type { Storage, StorageOptions } from './storage.ts'

/** A cloud's storage in a PostgreSQL database, brought up to date first. One pool for everything in it. */
export async function openPostgresStorage(options: DatabasePlace, deps: StorageOptions): Promise<Storage> {
  const { clock, random = systemRandom, logger = silentLogger, metrics = silentMetrics } = deps
  const database = await openMigrated(options, clock)
  watchPool(database, metrics)
  const directory = openPostgresDirectory({ database, clock })
  const views = options.views === false ? null : createViewKeeper(database, logger)
  const onSchema = (space: string): void => views?.refresh(space)
  const log = openPostgresLog({ database, clock, metrics, onSchema })
  const bus = joinPostgresBus({ database, clock, random, logger, metrics })
  return {
    log,
    directory,
    bus,
    exclusive: createPostgresExclusive(database),
    check: () => checkDatabase(database),
    async [Symbol.asyncDispose]() {
      // The bus goes after the log: it tells of the last commits.
      await log[Symbol.asyncDispose]()
      await views?.[Symbol.asyncDispose]()
      await bus[Symbol.asyncDispose]()
      await directory[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** The directory alone, with the connections that a command needs. */
export async function openDirectoryOnly(options: DatabaseOptions, clock: Clock): Promise<Directory> {
  const database = await openMigrated({ ...options, limits: { ...options.limits, connections: 1 } }, clock)
  return openPostgresDirectory({ database, clock, ownsDatabase: true })
}

/** The spaces for who only looks, with the connections that a command needs. */
export async function openPostgresSpaces(options: DatabaseOptions, clock: Clock): Promise<CloudSpaces> {
  const database = await openMigrated({ ...options, limits: { ...options.limits, connections: 1 } }, clock)
  const directory = openPostgresDirectory({ database, clock })
  const log = openPostgresLog({ database, clock })
  return {
    directory,
    copySpace: (id) => log.copySpace(id),
    countSpaces: () => countSpaces(database),
    async [Symbol.asyncDispose]() {
      await log[Symbol.asyncDispose]()
      await directory[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** Whether a cloud was ever opened in the database. */
export async function isCloudIn(options: DatabaseOptions): Promise<boolean> {
  await using database = openDatabase(options)
  return (await readLevel(database)).number > 0
}

export async function beginGenerationsIn(options: DatabaseOptions, clock: Clock): Promise<number> {
  await using database = await openMigrated(options, clock)
  return await beginGenerations(database, randomUUID)
}

async function openMigrated(options: DatabaseOptions, clock: Clock): Promise<Database> {
  const database = openDatabase(options)
  try {
    await requireEncoding(database)
    await migrate(database, MIGRATIONS, clock)
    return database
  } catch (error) {
    await database[Symbol.asyncDispose]()
    throw error
  }
}

/** In any other encoding some texts are refused, one by one and late, or change. */
async function requireEncoding(database: Database): Promise<void> {
  const [row] = await database.query<{ readonly server_encoding: string }>('SHOW server_encoding')
  if (row?.server_encoding === 'UTF8') return
  throw new TidemarkError(
    'database_refused',
    `The database has the encoding ${row?.server_encoding}, and must have UTF8`,
  )
}

function watchPool(database: Database, metrics: Metrics): void {
  for (const state of ['total', 'idle', 'waiting'] as const)
    metrics.watch('databaseConnections', { state }, () => database.usage()[state])
}

const CHECK = {
  name: 'tidemark_check',
  text: 'SELECT readable_from AS "readableFrom", pg_is_in_recovery() AS standby FROM tidemark.level',
}

/** One cheap query: does it answer, would it take a write, and may this program still use it? */
async function checkDatabase(database: Database): Promise<void> {
  const [found] = await database.query<{ readonly readableFrom: number; readonly standby: boolean }>(CHECK)
  if (found === undefined || found.standby)
    throw new TidemarkError('unavailable', 'The database takes no writes: it is a standby')
  if (found.readableFrom > (MIGRATIONS.at(-1)?.number ?? 0))
    throw new TidemarkError('needs_upgrade', 'A newer version of Tidemark has changed this database')
}
