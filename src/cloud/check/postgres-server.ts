import type { Database } from '../postgres/pool.ts'
import { fail, formatBytes, ok, warn, type Finding } from './finding.ts'

/** The oldest that is tested. */
const OLDEST_MAJOR = 15

/** What a server says of itself, and of this session. */
export interface Server {
  readonly user: string
  readonly version: string
  readonly versionNumber: number
  readonly encoding: string
  readonly isStandby: boolean
  readonly synchronousCommit: string
  readonly fsync: string
  readonly fullPageWrites: string
  readonly autovacuum: string
  /** Connections that somebody who is no superuser can have, of all programs. */
  readonly maxConnections: number
  /** Least of the limits of role and database; null: none. */
  readonly ownLimit: number | null
  /** Connections of other programs. */
  readonly others: number
  readonly isolation: string
  readonly idleInTransactionMs: number
  /** Transactions that have said nothing for long; their age holds up the cleaning of every table. */
  readonly forgotten: number
  readonly isEncrypted: boolean
  /** Null: over a socket of this machine. */
  readonly host: string | null
  readonly bytes: number
}

const READ = `
SELECT current_user AS "user", current_setting('server_version') AS version,
  current_setting('server_version_num')::int AS "versionNumber", current_setting('server_encoding') AS encoding,
  pg_is_in_recovery() AS "isStandby", current_setting('synchronous_commit') AS "synchronousCommit",
  current_setting('fsync') AS fsync, current_setting('full_page_writes') AS "fullPageWrites",
  current_setting('autovacuum') AS autovacuum,
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true)::int, 0) AS "maxConnections",
  (SELECT min(l) FROM (
     SELECT rolconnlimit AS l FROM pg_roles WHERE rolname = current_user AND NOT rolsuper
     UNION ALL SELECT datconnlimit FROM pg_database WHERE datname = current_database()) limits
   WHERE l >= 0) AS "ownLimit",
  (SELECT count(*) FROM pg_stat_activity
   -- Of what other users have open, only its database may be seen.
   WHERE coalesce(backend_type = 'client backend', datid IS NOT NULL)
     AND application_name NOT LIKE 'tidemark%') AS others,
  current_setting('transaction_isolation') AS isolation,
  (SELECT setting::int FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout') AS "idleInTransactionMs",
  (SELECT count(*) FROM pg_stat_activity
   WHERE state LIKE 'idle in transaction%' AND state_change < now() - interval '5 minutes') AS forgotten,
  coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS "isEncrypted",
  host(inet_server_addr()) AS host, pg_database_size(current_database()) AS bytes`

export async function readServer(database: Database): Promise<Server> {
  // A statement of its own: what the session was set to, a pooler between may have forgotten.
  const [server] = await database.query<Server>(READ)
  if (server === undefined) throw new Error('a SELECT without FROM has one row')
  return server
}

export function describeServer(
  server: Server,
  plan: {
    readonly nodes: number
    readonly connections: number
    readonly address: string
    /** Whether the address takes any certificate. */
    readonly isTrusting: boolean
  },
): readonly Finding[] {
  return [
    describeVersion(server),
    server.encoding === 'UTF8'
      ? ok('encoding', 'UTF8')
      : fail(
          'encoding',
          `${server.encoding} cannot hold every text`,
          `Make another database: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0.`,
        ),
    server.isStandby
      ? fail('role', 'a standby, which takes no writes', 'Name the primary, or an address that follows it.')
      : ok('role', 'takes writes'),
    ...describeDurability(server),
    describeConnections(server, plan),
    describeSession(server),
    server.forgotten === 0
      ? ok('transactions', 'none stands open')
      : warn(
          'transactions',
          `${server.forgotten} have stood open and idle for over 5 minutes: what is deleted meanwhile keeps its room`,
          'Find them in pg_stat_activity; idle_in_transaction_session_timeout ends such ones.',
        ),
    describeWay(server, plan.isTrusting),
    ok('size', `the database holds ${formatBytes(server.bytes)}`),
  ]
}

function describeVersion({ version, versionNumber }: Server): Finding {
  const what = `PostgreSQL ${version}`
  return Math.floor(versionNumber / 10_000) >= OLDEST_MAJOR
    ? ok('version', what)
    : warn('version', `${what}: older than ${OLDEST_MAJOR}, the oldest that is tested`, 'Use a newer one.')
}

/** What is acknowledged must be on the disk, and stay readable there. */
function describeDurability({
  synchronousCommit,
  fsync,
  fullPageWrites,
  autovacuum,
}: Server): readonly Finding[] {
  const findings: Finding[] = []
  if (synchronousCommit === 'off')
    findings.push(
      warn(
        'durability',
        'synchronous_commit is off: a crash of the server takes pushes that were acknowledged',
        'Turn it on.',
      ),
    )
  if (fsync === 'off')
    findings.push(
      warn('durability', 'fsync is off: a crash of the machine destroys the database', 'Turn it on.'),
    )
  if (fullPageWrites === 'off')
    findings.push(
      warn(
        'durability',
        'full_page_writes is off: a crash can destroy pages',
        'Turn it on, unless the file system never tears a page.',
      ),
    )
  if (findings.length === 0)
    findings.push(
      ok('durability', `what is acknowledged is on the disk (synchronous_commit ${synchronousCommit})`),
    )
  if (autovacuum === 'off')
    findings.push(
      warn('cleaning', 'autovacuum is off: tables grow, and stop working in the end', 'Turn it on.'),
    )
  return findings
}

function describeConnections(
  { maxConnections, ownLimit, others }: Server,
  { nodes, connections }: { readonly nodes: number; readonly connections: number },
): Finding {
  const room = Math.min(maxConnections - others, ownLimit ?? Infinity)
  const what = `${nodes} ${nodes === 1 ? 'node takes' : 'nodes take'} up to ${connections} of ${room} that are to be had`
  return connections <= room
    ? ok('connections', what)
    : warn(
        'connections',
        what,
        'Raise max_connections (or the limit of the role), or let nodes use fewer: --database-connections.',
      )
}

/** What each of our sessions sets when it begins. */
function describeSession({ isolation, idleInTransactionMs }: Server): Finding {
  return isolation === 'read committed' && idleInTransactionMs > 0
    ? ok('session', 'keeps its settings')
    : fail(
        'session',
        'forgets its settings between two statements: there is a pooler between that shares connections',
        'Connect to PostgreSQL itself, or let the pooler keep one connection for each session.',
      )
}

function describeWay({ isEncrypted, host }: Server, isTrusting: boolean): Finding {
  if (isEncrypted && isTrusting)
    return warn(
      'encryption',
      'the connection is encrypted, but any server could be at its other end: no certificate is looked at',
      'sslmode=verify-full, with sslrootcert=FILE for a certificate of your own.',
    )
  if (isEncrypted) return ok('encryption', 'the connection is encrypted')
  if (host === null || host.startsWith('127.') || host === '::1')
    return ok('encryption', 'none needed on this machine')
  return warn('encryption', 'the connection is not encrypted', 'Add ?sslmode=verify-full to the address.')
}
