import pg from 'pg'

import { TidemarkError } from '../../kernel/errors.ts'
import { toDatabaseError } from './failure.ts'
import { Session } from './session.ts'

export interface DatabaseOptions {
  /** `postgres://user:password@host:port/database?sslmode=…`; what it leaves out comes from the `PG…` variables. */
  readonly url: string
  readonly limits?: Partial<DatabaseLimits>
}

/** Counts, and milliseconds. */
export interface DatabaseLimits {
  /** Connections that one node holds at the same time, those for wake-ups apart. */
  readonly connections: number
  /** A connection that is not there after it is given up. */
  readonly connectMs: number
  /** A statement that takes longer is ended. */
  readonly statementMs: number
  /** So long a statement waits for a lock. */
  readonly lockMs: number
  /** A transaction whose node says nothing for so long is ended, and its locks let go. */
  readonly idleInTransactionMs: number
}

export const DATABASE_LIMITS: DatabaseLimits = {
  connections: 10,
  connectMs: 5_000,
  statementMs: 60_000,
  lockMs: 30_000,
  idleInTransactionMs: 10_000,
}
/** Beyond the statement's own time, the server is taken for gone. */
const SILENCE_MS = 5_000

/** With a name it is prepared once on each connection. */
export interface Statement {
  readonly text: string
  readonly name?: string
}

export type Value = string | number | bigint | boolean | null | Uint8Array | readonly Value[]

/** One connection, inside a transaction or lent for some statements. Rejects with `TidemarkError`s only. */
export interface Connection {
  query<Row extends object>(statement: Statement | string, values?: readonly Value[]): Promise<Row[]>
}

export interface Database extends Connection, AsyncDisposable {
  /**
   * Runs `work` in one transaction of READ COMMITTED; it is undone when `work` rejects. Each statement sees what was
   * committed when it began.
   */
  transaction<T>(work: (connection: Connection) => Promise<T>): Promise<T>
  /** A connection outside the pool, for what belongs to one: LISTEN, session locks. Its owner ends it. */
  connect(name: string): Promise<pg.Client>
  /** Connections now. */
  usage(): { readonly total: number; readonly idle: number; readonly waiting: number }
}

/** int8 as a number: versions stay below 2^53 by a check of their own. JSON stays the text it is. */
const TYPES = new pg.TypeOverrides()
TYPES.setTypeParser(pg.types.builtins.INT8, Number)
TYPES.setTypeParser(pg.types.builtins.JSON, String)

/** Opens nothing yet: the first query connects. Throws `bad_usage` for what is no address of a database. */
export function openDatabase(options: DatabaseOptions): Database {
  const limits = { ...DATABASE_LIMITS, ...options.limits }
  const config = {
    connectionString: checkUrl(options.url),
    connectionTimeoutMillis: limits.connectMs,
    query_timeout: limits.statementMs + SILENCE_MS,
    keepAlive: true,
    types: TYPES,
  }
  const settings = sessionSettings(limits)
  // The pool waits for it, whatever its types say.
  const prepare: (client: pg.ClientBase) => unknown = (client) => client.query(settings)
  const pool = new pg.Pool({
    ...config,
    Client: Session,
    application_name: 'tidemark',
    max: limits.connections,
    idleTimeoutMillis: 30_000,
    onConnect: prepare,
  })
  // A connection that breaks while nobody uses it is no failure: the next query makes another.
  pool.on('error', () => {})
  // Nor may one end the whole process that breaks between two statements of a transaction: the pool hears only those
  // that nobody uses. The next statement says what has become of it.
  pool.on('connect', (client) => client.on('error', () => {}))
  return new PooledDatabase(pool, async (name) => {
    let client: pg.Client | null = null
    try {
      // It reads the certificates that the address names.
      client = new Session({ ...config, application_name: name })
      client.on('error', () => {})
      await client.connect()
      await prepare(client)
      return client
    } catch (error) {
      void client?.end().catch(() => {})
      throw toDatabaseError(error)
    }
  })
}

/**
 * What every session needs whatever the defaults of its database and role: at any other level of isolation a statement
 * that waited for the space's lock would not see what its last holder wrote (I4); with another search path a function
 * that somebody else made could take the place of PostgreSQL's own; without nulls in arrays "nothing" would become the
 * text NULL (I10); compiling plans costs more than they do; a plan that was made for a table of one page is kept for one
 * of millions, unless it has to use the index, in the index's order.
 */
const sessionSettings = (limits: DatabaseLimits): string => `
  SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; SET jit = off;
  SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off;
  SET enable_hashjoin = off; SET enable_mergejoin = off;
  SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SET client_min_messages = warning;
  SET search_path = pg_catalog, pg_temp; SET array_nulls = on; SET idle_session_timeout = 0;
  SET statement_timeout = ${limits.statementMs}; SET lock_timeout = ${limits.lockMs};
  SET idle_in_transaction_session_timeout = ${limits.idleInTransactionMs}`

class PooledDatabase implements Database {
  readonly #pool: pg.Pool
  readonly #connect: (name: string) => Promise<pg.Client>

  constructor(pool: pg.Pool, connect: (name: string) => Promise<pg.Client>) {
    this.#pool = pool
    this.#connect = connect
  }

  query<Row extends object>(statement: Statement | string, values: readonly Value[] = []): Promise<Row[]> {
    return ask<Row>(this.#pool, statement, values)
  }

  async transaction<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect().catch((error: unknown) => {
      throw toDatabaseError(error)
    })
    let broken = false
    try {
      await ask(client, 'BEGIN', [])
      const result = await work({ query: (statement, values = []) => ask(client, statement, values) })
      const { command } = await client.query('COMMIT')
      // A transaction in which anything failed is undone, and COMMIT says so only here.
      if (command !== 'COMMIT') throw new TidemarkError('unavailable', 'The database undid a transaction')
      return result
    } catch (error) {
      // What cannot be undone is undone by the server when the connection goes.
      const failure = toDatabaseError(error)
      if (failure.code === 'unavailable' && failure.details['sqlstate'] === undefined) broken = true
      else await ask(client, 'ROLLBACK', []).catch(() => (broken = true))
      throw failure
    } finally {
      client.release(broken)
    }
  }

  connect(name: string): Promise<pg.Client> {
    return this.#connect(name)
  }

  usage() {
    const { totalCount, idleCount, waitingCount } = this.#pool
    return { total: totalCount, idle: idleCount, waiting: waitingCount }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#pool.ended && !this.#pool.ending) await this.#pool.end()
  }
}

async function ask<Row extends object>(
  on: pg.Pool | pg.PoolClient,
  statement: Statement | string,
  values: readonly Value[],
): Promise<Row[]> {
  const query = typeof statement === 'string' ? { text: statement } : statement
  try {
    return (await on.query<Row>({ ...query, values: [...values] })).rows
  } catch (error) {
    throw toDatabaseError(error)
  }
}

/** What may stand after `sslmode=`; the driver takes anything else for one of them, in silence. */
const TLS_MODES: readonly string[] = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify']

/** What the driver takes for `verify-full`, with a warning at each start that it will not do so for ever. */
const STRICT_MODES: readonly string[] = ['prefer', 'require', 'verify-ca']

/** The address for the driver. Nothing of it is repeated in a message: it may hold a password. */
function checkUrl(url: string): string {
  if (!/^postgres(?:ql)?:\/\//.test(url) || !URL.canParse(url))
    throw new TidemarkError(
      'bad_usage',
      'a database is named as postgres://user@host:port/name (in a password, /, ?, #, @ and % are %2F, %3F, %23, %40 and %25)',
    )
  const address = new URL(url)
  const modes = address.searchParams.getAll('sslmode')
  for (const mode of modes)
    if (!TLS_MODES.includes(mode))
      throw new TidemarkError('bad_usage', `the sslmode of a database is one of ${TLS_MODES.join(', ')}`)
  // The driver takes the last.
  if (!STRICT_MODES.includes(modes.at(-1) ?? '')) return url
  address.searchParams.set('sslmode', 'verify-full')
  return address.href
}
