import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'

import pg from 'pg'
import { inject } from 'vitest'

/** A database of a test's own, empty, on a real PostgreSQL; dropped with whatever is connected to it. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string
}

/**
 * On the server that `TIDEMARK_TEST_DATABASE_URL` names (which must be allowed to create databases), else on the
 * one that all test files of a run share. For tests that stop or kill their server: `startPostgres`.
 */
export async function openTestDatabase(): Promise<TestDatabase> {
  // template0 takes any encoding; the locale stays the server's, whatever it is.
  return makeDatabase(
    process.env['TIDEMARK_TEST_DATABASE_URL'] || (await askForShared()),
    `TEMPLATE template0 ENCODING 'UTF8'`,
  )
}

/** A copy of it as it is now. Whoever is connected is thrown out first: else there can be none. */
export async function copyTestDatabase({ url }: TestDatabase): Promise<TestDatabase> {
  const name = new URL(url).pathname.slice(1)
  const server = maintenanceUrl(url)
  await runOn(
    server,
    `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${name}'`,
  )
  return makeDatabase(server, `TEMPLATE ${name}`)
}

/** Of the same server, where a database is copied from outside. */
function maintenanceUrl(url: string): string {
  const other = new URL(url)
  other.pathname = '/postgres'
  return other.href
}

async function makeDatabase(server: string, how: string): Promise<TestDatabase> {
  const name = `tidemark_test_${randomBytes(8).toString('hex')}`
  await runOn(server, `CREATE DATABASE ${name} ${how}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return {
    url: url.href,
    [Symbol.asyncDispose]: () => runOn(server, `DROP DATABASE ${name} WITH (FORCE)`),
  }
}

async function runOn(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

async function askForShared(): Promise<string> {
  let text = ''
  for await (const part of connect(inject('sharedPostgres'), '127.0.0.1')) text += String(part)
  const answer = JSON.parse(text) as { readonly url?: string; readonly failure?: string }
  if (answer.url === undefined) throw new Error(`no PostgreSQL for the tests: ${answer.failure}`)
  return answer.url
}
