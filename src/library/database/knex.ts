import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { Driver } from '../../stores/sqlite/driver/driver.ts'
import { nodeSqlite } from '../../stores/sqlite/driver/node-sqlite.ts'
import { driverOfBetterSqlite3, isBetterSqlite3, versionOf } from './better-sqlite3.ts'
import { mainFile, requireVersion, type AppDatabase, type KnexDatabase } from './database.ts'
import { isGone, isInside, keepOut, takeOne, type PooledClient } from './knex-pool.ts'
import { isNodeSqlite } from './node-sqlite.ts'

/** What Knex's client has for its dialects; it is not in its types. */
interface KnexClient extends PooledClient {
  readonly config: {
    readonly client?: unknown
    readonly migrations?: { readonly tableName?: unknown; readonly lockTableName?: unknown }
  }
}

export const isKnex = (value: unknown): value is KnexDatabase =>
  typeof value === 'function' &&
  'raw' in value &&
  typeof value.raw === 'function' &&
  'client' in value &&
  isClient(value.client)

const isClient = (client: unknown): client is KnexClient =>
  typeof client === 'object' &&
  client !== null &&
  'acquireConnection' in client &&
  'releaseConnection' in client &&
  'config' in client

export async function openKnex(knex: KnexDatabase, clock: Clock, waitMs: number): Promise<AppDatabase> {
  if ('isTransaction' in knex && knex.isTransaction === true) {
    throw new TidemarkError(
      'unprocessable',
      'A transaction of Knex is no database: give the Knex that began it',
    )
  }
  const client = knex.client as KnexClient
  if (isGone(client)) throw new TidemarkError('unprocessable', 'The database is closed')
  const { connection, giveBack } = await takeOne(client, { clock, waitMs })
  try {
    const { driver, native } = driverOf(connection, client)
    requireVersion(versionOf(native))
    return {
      file: mainFile(native.prepare('PRAGMA database_list').all()),
      driver,
      handle: client,
      enter: (attempt, isHolding) => keepOut(client, { attempt, isHolding, clock, waitMs }),
      isInside: () => isInside(client),
      tools: migrationTables(client),
    }
  } finally {
    await giveBack()
  }
}

/** By the connection itself: the name of the client says nothing of a copy, or of a client of the application's own. */
function driverOf(
  connection: unknown,
  client: KnexClient,
): { readonly driver: Driver; readonly native: { prepare(sql: string): { all(): unknown[] } } } {
  if (isBetterSqlite3(connection)) return { driver: driverOfBetterSqlite3(connection), native: connection }
  if (isNodeSqlite(connection)) return { driver: nodeSqlite, native: connection }
  const name = typeof client.config.client === 'string' ? client.config.client : 'of its own'
  throw new TidemarkError(
    'unprocessable',
    `Knex's client ${name} cannot be synced beside: use the client better-sqlite3, since two copies of SQLite in one process do not see each other's locks`,
    { details: { client: name } },
  )
}

/** Where this Knex keeps which migrations it ran, if it was told another name than its default. */
function migrationTables({ config: { migrations } }: KnexClient): readonly string[] {
  const name = migrations?.tableName
  if (typeof name !== 'string') return []
  const lock = migrations?.lockTableName
  return [name, typeof lock === 'string' ? lock : `${name}_lock`]
}
