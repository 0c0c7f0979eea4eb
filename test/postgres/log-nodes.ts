import { randomUUID } from 'node:crypto'

import pg from 'pg'

import type { Log } from '../../src/cloud/log/log.ts'
import { openPostgresLog } from '../../src/cloud/log/postgres.ts'
import { silentMetrics, type Metrics } from '../../src/cloud/metrics.ts'
import { migrate } from '../../src/cloud/postgres/migrate.ts'
import { MIGRATIONS } from '../../src/cloud/postgres/migrations.ts'
import {
  openDatabase,
  type Connection,
  type Database,
  type DatabaseLimits,
  type Statement,
  type Value,
} from '../../src/cloud/postgres/pool.ts'
import { type Clock, systemClock } from '../../src/kernel/clock.ts'
import { openTestDatabase } from './database.ts'
import { watchDatabase, type Watch } from './watched-database.ts'

/** One database, and as many nodes as a test opens on it. */
export interface LogNodes extends AsyncDisposable {
  readonly url: string
  /** A connection beside the nodes': for barriers, and to look. */
  readonly admin: pg.Client
  /** Another one. */
  connect(): Promise<pg.Client>
  node(options?: NodeOptions): Log
  /** A connection, and a node all of whose statements go through it: both can be inside of one transaction. */
  within(): Promise<{ readonly client: pg.Client; readonly log: Log }>
  /** Makes a space that nothing is in. */
  space(): Promise<string>
}

export interface NodeOptions {
  readonly watch?: Watch
  readonly clock?: Clock
  readonly metrics?: Metrics
  readonly limits?: Partial<DatabaseLimits>
  /** In place of the database's own address: of a proxy. */
  readonly url?: string
}

/** `database`: one that stays; `fresh`: and that is not migrated yet. */
export async function openLogNodes(
  database?: { readonly url: string },
  { fresh = false }: { readonly fresh?: boolean } = {},
): Promise<LogNodes> {
  if (database !== undefined) {
    await using pool = openDatabase(database)
    if (fresh) await migrate(pool, MIGRATIONS, systemClock)
    return openOn(database.url, [])
  }
  const made = await openTestDatabase()
  await using pool = openDatabase(made)
  await migrate(pool, MIGRATIONS, systemClock)
  return openOn(made.url, [() => made[Symbol.asyncDispose]()])
}

async function openOn(database: string, opened: (() => PromiseLike<void>)[]): Promise<LogNodes> {
  const close = async (): Promise<void> => {
    for (const end of opened.splice(0)) await end()
  }
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: database })
    client.on('error', () => {})
    await client.connect()
    opened.unshift(() => client.end())
    return client
  }
  const node = (options: NodeOptions = {}): Log => {
    const { watch, clock = systemClock, metrics = silentMetrics, limits = {}, url = database } = options
    const pool = openDatabase({ url, limits })
    const log = openPostgresLog({ database: watch ? watchDatabase(pool, watch) : pool, clock, metrics })
    opened.unshift(() => pool[Symbol.asyncDispose]())
    opened.unshift(() => log[Symbol.asyncDispose]())
    return log
  }
  const within: LogNodes['within'] = async () => {
    const pool = openDatabase({ url: database })
    const client = await pool.connect('within')
    const query: Connection['query'] = async <Row extends object>(
      statement: Statement | string,
      values: readonly Value[] = [],
    ) => {
      const asked = typeof statement === 'string' ? { text: statement } : statement
      return (await client.query<Row>({ ...asked, values: [...values] })).rows
    }
    const only: Database = {
      query,
      transaction: (work) => work({ query }),
      connect: (name) => pool.connect(name),
      usage: () => pool.usage(),
      [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
    }
    const log = openPostgresLog({ database: only, clock: systemClock })
    opened.unshift(async () => {
      await log[Symbol.asyncDispose]()
      await client.end()
      await pool[Symbol.asyncDispose]()
    })
    return { client, log }
  }
  const admin = await connect()
  const space = async (): Promise<string> => {
    const id = randomUUID()
    await node().ensureSpace(id)
    return id
  }
  return { url: database, admin, connect, node, within, space, [Symbol.asyncDispose]: close }
}
/** Breaks off the connections of all nodes, as a database does that is stopped; fulfilled when their processes are gone. */
export async function breakConnections(admin: pg.Client): Promise<void> {
  await admin.query(
    `SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'tidemark'`,
  )
}
