import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { readLevel } from '../postgres/migrate.ts'
import { MIGRATIONS } from '../postgres/migrations.ts'
import { DATABASE_LIMITS, openDatabase, type Database } from '../postgres/pool.ts'
import { describePlace, takesAnyCertificate, type DatabasePlace } from '../server/place.ts'
import type { CheckOptions } from './check.ts'
import { fail, ok, warn, type Finding } from './finding.ts'
import { describeServer, readServer } from './postgres-server.ts'

/** A check must not stand behind a long wait, nor make others stand behind it. */
const LIMITS = { connections: 1, connectMs: 5_000, statementMs: 15_000, lockMs: 2_000 } as const
/** Wake-ups and collection have connections of their own. */
const APART_FROM_POOL = 2
/** Between a node and its database, in milliseconds: times in rows are the nodes', and theirs must agree. */
const CLOCK_MS = 2_000
const CLOCK_LOOKS = 3

/** A cloud's database: can we get in, may we do what we must, and is it set up to keep what it acknowledges? */
export async function checkPostgres(
  options: DatabasePlace,
  { clock, nodes }: CheckOptions,
): Promise<readonly Finding[]> {
  await using database = openDatabase({ ...options, limits: { ...options.limits, ...LIMITS } })
  const address = describePlace({ database: options })
  try {
    await database.query('SELECT 1')
  } catch (error) {
    return [describeRefusal(address, error)]
  }
  const connections = nodes * ((options.limits?.connections ?? DATABASE_LIMITS.connections) + APART_FROM_POOL)
  try {
    const server = await readServer(database)
    return [
      ok('connection', `${address} as ${server.user}`),
      ...describeServer(server, { nodes, connections, address, isTrusting: takesAnyCertificate(options) }),
      ...(await checkTables(database, server.isStandby)),
      ...(options.views === false ? [] : await checkViews(database)),
      await checkClock(database, clock),
    ]
  } catch (error) {
    return [
      fail('connection', `${address} answers, but not to all questions: ${sentenceOf(error)}`, hintOf(error)),
    ]
  }
}

/** Why it does not let us in. What PostgreSQL says of that names no secret, and is what an operator looks for. */
function describeRefusal(address: string, error: unknown): Finding {
  const { sqlstate: state, reason = '' } = error instanceof TidemarkError ? error.details : {}
  const isRefused = error instanceof TidemarkError && error.code === 'database_refused'
  const password =
    'Check user and password; a password that is not in the address comes from PGPASSWORD or ~/.pgpass.'
  const certificate =
    'Name in the address the certificate of who signed it, sslrootcert=FILE, and the host as it is called there.'
  const fixes: { readonly [state: string]: string } = {
    '28P01': password,
    '28000': 'Check the user, and that pg_hba.conf lets it in from this machine.',
    '3D000': `Make it: CREATE DATABASE name OWNER user ENCODING 'UTF8' TEMPLATE template0.`,
    '42501': 'GRANT CONNECT ON DATABASE … TO the user.',
    '53300': 'Raise max_connections, or let the nodes use fewer: --database-connections.',
  }
  const fix =
    fixes[String(state)] ??
    (isRefused ? (reason === '' ? password : certificate) : undefined) ??
    'Check host, port and network, and that the server runs and listens there.'
  return fail('connection', `${address}: ${sentenceOf(error)}`, fix)
}

function sentenceOf(error: unknown): string {
  if (!(error instanceof TidemarkError)) return 'an unforeseen failure'
  const { cause } = error
  // Of several addresses of one host, each with a reason: the first.
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause
  return first instanceof Error && first.message !== ''
    ? `${error.message} (${first.message})`
    : error.message
}

const hintOf = (error: unknown): string =>
  error instanceof TidemarkError ? error.hint : 'Look at the log of the server.'

async function checkTables(database: Database, isStandby: boolean): Promise<readonly Finding[]> {
  const level = await readLevel(database).catch((error: unknown) => {
    if (error instanceof TidemarkError && error.code === 'database_refused') return null
    throw error
  })
  if (level === null)
    return [
      fail('rights', 'the tables are there, and may not be read', `${GRANTS} Or make this user their owner.`),
    ]
  const newest = MIGRATIONS.at(-1)?.number ?? 0
  const found = describeLevel(level, newest)
  // A standby has the rights of its primary, and takes no test of them.
  return isStandby || found.state === 'fail'
    ? [found]
    : [found, await checkRights(database, level.number > 0)]
}

function describeLevel(
  level: { readonly number: number; readonly readableFrom: number },
  newest: number,
): Finding {
  const { number, readableFrom } = level
  if (readableFrom > newest)
    return fail(
      'tables',
      `level ${number}: a newer program made them, and this one (level ${newest}) may not use them`,
      'Install the version of Tidemark that the other nodes have.',
    )
  if (number === 0) return ok('tables', 'none yet; the first start of a node makes them')
  if (number < newest)
    return ok('tables', `level ${number}; the next start of a node brings them to ${newest}`)
  if (number > newest) return ok('tables', `level ${number}, newer than this program, which may use them`)
  return ok('tables', `level ${number}`)
}

const GRANTS = 'GRANT ALL ON SCHEMA tidemark, on all its tables and functions, TO the user.'

async function checkRights(database: Database, isThere: boolean): Promise<Finding> {
  const refused = await tryToMake(database)
  if (refused !== null) {
    const fix = 'CREATE SCHEMA tidemark AUTHORIZATION the user, or GRANT CREATE ON DATABASE … TO it.'
    return refused.code === 'database_refused'
      ? fail('rights', `this user may not make tables: ${sentenceOf(refused)}`, fix)
      : warn('rights', `whether tables can be made is not known: ${sentenceOf(refused)}`, 'Check again.')
  }
  if (!isThere) return ok('rights', 'tables can be made')
  const [found] = await database.query<{
    readonly tables: number
    readonly functions: number
    readonly foreign: number
  }>(RIGHTS)
  if (found === undefined || found.tables > 0 || found.functions > 0)
    return fail(
      'rights',
      `${found?.tables ?? 'some'} tables and ${found?.functions ?? 'some'} functions of the schema may not be used by this user`,
      GRANTS,
    )
  if (found.foreign > 0)
    return warn(
      'rights',
      'the tables can be used, but belong to another user',
      'Upgrades need their owner: let every node be the same user.',
    )
  return ok('rights', 'all tables and functions can be used, and new ones made')
}

/** Each space has a schema of its own for them; without that right a cloud works, and plain SQL finds nothing. */
async function checkViews(database: Database): Promise<readonly Finding[]> {
  const [found] = await database.query<{ readonly may: boolean }>(
    `SELECT has_database_privilege(current_database(), 'CREATE') AS may`,
  )
  if (found?.may !== false) return []
  const fix = 'GRANT CREATE ON DATABASE … TO it, or say --no-views, here and at each node.'
  return [warn('views', 'this user may make no schemas, so there are no views for plain SQL', fix)]
}

/** In a transaction that is undone. Null when nothing was refused. */
async function tryToMake(database: Database): Promise<TidemarkError | null> {
  const undo = new TidemarkError('aborted')
  try {
    await database.transaction(async (connection) => {
      const found = await connection.query(`SELECT FROM pg_namespace WHERE nspname = 'tidemark'`)
      if (found.length === 0) await connection.query('CREATE SCHEMA tidemark')
      await connection.query('CREATE TABLE tidemark.check_of_rights (n int)')
      await connection.query(
        'CREATE FUNCTION tidemark.check_of_rights() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$',
      )
      throw undo
    })
  } catch (error) {
    if (error === undo) return null
    if (error instanceof TidemarkError) return error
    throw error
  }
  return null
}

const RIGHTS = `
SELECT
  (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r' AND NOT (
     has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
     AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))) AS tables,
  (SELECT count(*) FROM pg_proc p WHERE p.pronamespace = n.oid AND NOT has_function_privilege(p.oid, 'EXECUTE')) AS functions,
  (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r'
     AND NOT pg_has_role(c.relowner, 'USAGE')) AS foreign
FROM pg_namespace n WHERE n.nspname = 'tidemark'`

/** Of some looks the one with the shortest way there and back says most. */
async function checkClock(database: Database, clock: Clock): Promise<Finding> {
  let way = Infinity
  let difference = 0
  for (let look = 0; look < CLOCK_LOOKS; look++) {
    const before = clock.now()
    const [row] = await database.query<{ readonly now: number }>(
      'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now',
    )
    const after = clock.now()
    if (row === undefined || after - before >= way) continue
    way = after - before
    difference = Math.round((before + after) / 2 - row.now)
  }
  const what = `this machine's is ${Math.abs(difference)} ms ${difference < 0 ? 'behind' : 'ahead of'} the database's, ${way} ms there and back`
  if (Math.abs(difference) > CLOCK_MS + way / 2)
    return warn('clock', what, 'Let both follow the same time: NTP.')
  return ok('clock', what)
}
