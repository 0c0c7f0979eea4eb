import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { describeOwnPostgres } from '../../../test/postgres/own.ts'
import { startPostgres, type OwnPostgres } from '../../../test/postgres/server.ts'
import { systemClock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { describeFailure } from '../../http/failures.ts'
import { migrate } from '../postgres/migrate.ts'
import { MIGRATIONS } from '../postgres/migrations.ts'
import { openDatabase, type Database, type DatabaseLimits } from '../postgres/pool.ts'
import { openPostgresDirectory } from './postgres.ts'

const INPUT = { account: 'a', name: 'n', scopes: [], spaces: null, defaultSpace: 's' } as const
/** Stands in the URLs below, and nowhere else ever. */
const PASSWORD = 'hunter-2-secret'
/** As the server tells them apart: who has a password and who has not. */
const HBA = 'host all plain,limited 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n'

describeOwnPostgres('a directory whose database fails', () => {
  let server: OwnPostgres
  let admin: Database
  let secret: string

  beforeAll(async () => {
    server = await startPostgres({ flags: ['fsync=off'] })
    admin = openDatabase({ url: server.url })
    await migrate(admin, MIGRATIONS, systemClock)
    secret = (await openPostgresDirectory({ database: admin, clock: systemClock }).createToken(INPUT)).token
    await admin.query(
      `CREATE ROLE plain LOGIN PASSWORD '${PASSWORD}'; CREATE ROLE limited LOGIN PASSWORD '${PASSWORD}' CONNECTION LIMIT 1;
       GRANT USAGE ON SCHEMA tidemark TO limited; GRANT ALL ON ALL TABLES IN SCHEMA tidemark TO limited`,
    )
    writeFileSync(join(server.folder, 'data/pg_hba.conf'), HBA)
    await admin.query('SELECT pg_reload_conf()')
  })
  afterAll(async () => {
    await admin[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })

  function open(limits: Partial<DatabaseLimits> = {}, change: (url: URL) => void = () => {}) {
    const url = new URL(server.url)
    change(url)
    const database = openDatabase({ url: url.href, limits })
    const directory = openPostgresDirectory({ database, clock: systemClock })
    return {
      database,
      directory,
      async [Symbol.asyncDispose]() {
        await directory[Symbol.asyncDispose]()
        await database[Symbol.asyncDispose]()
      },
    }
  }

  const as =
    (user: string, password: string) =>
    (url: URL): void =>
      void Object.assign(url, { username: user, password })

  /** What `work` rejects with, in which no password may stand however deep one looks. */
  async function failureOf(work: Promise<unknown>): Promise<TidemarkError> {
    const thrown = await work.then(
      () => new Error('resolved'),
      (error: unknown) => error,
    )
    expect(thrown).toBeInstanceOf(TidemarkError)
    const error = thrown as TidemarkError
    const shown = inspect(error, { depth: Infinity, showHidden: true, getters: true })
    const logged = JSON.stringify([error, describeFailure(error), describeFailure(error.cause)])
    for (const text of [shown, logged, String(error.stack)]) expect(text).not.toContain(PASSWORD)
    return error
  }

  test('a database that went away is unavailable at once, and works again by itself', async () => {
    await using node = open()
    expect(await node.directory.authenticate(secret)).toMatchObject({ account: 'a' })
    await server.kill()
    const down = await Promise.all(
      Array.from({ length: 30 }, () => failureOf(node.directory.authenticate(secret))),
    )
    expect(new Set(down.map(({ code, retry }) => `${code} ${retry}`))).toEqual(new Set(['unavailable true']))
    expect(
      (await failureOf(node.directory.registerDevice('a', { id: 'd', name: 'n', platform: 'p' }))).code,
    ).toBe('unavailable')
    await server.start()
    expect(await node.directory.authenticate(secret)).toMatchObject({ account: 'a' })
    // A stop in good order breaks off connections as well.
    await server.stop()
    expect((await failureOf(node.directory.listTokens())).code).toBe('unavailable')
    await server.start()
    expect(await node.directory.listTokens()).toHaveLength(1)
  })

  test('a connection that is ended between two statements of a transaction fails it alone', async () => {
    await using node = open()
    const ended = node.database.transaction(async (connection) => {
      const [row] = await connection.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
      await admin.query('SELECT pg_terminate_backend($1, 5000)', [row?.pid ?? 0])
      await connection.query('SELECT 1')
    })
    expect((await failureOf(ended)).code).toBe('unavailable')
    expect(await node.directory.authenticate(secret)).toMatchObject({ account: 'a' })
  })

  test('a server that says nothing is given up when the time is over', async () => {
    await using node = open({ connectMs: 300 })
    await server.pause()
    try {
      expect((await failureOf(node.directory.authenticate(secret))).code).toBe('unavailable')
    } finally {
      server.resume()
    }
    expect(await node.directory.authenticate(secret)).toMatchObject({ account: 'a' })
  })

  test('a statement that takes too long, and one that waits too long for a lock', async () => {
    await using slow = open({ statementMs: 200, lockMs: 20_000 })
    await using busy = open({ statementMs: 20_000, lockMs: 200 })
    await admin.transaction(async (connection) => {
      await connection.query('LOCK TABLE tidemark.access_tokens')
      const failures = await Promise.all(
        [slow, busy].map(({ directory }) => failureOf(directory.authenticate(secret))),
      )
      expect(failures.map(({ code, details }) => [code, details['sqlstate']])).toEqual([
        ['unavailable', '57014'],
        ['unavailable', '55P03'],
      ])
    })
    for (const { directory } of [slow, busy])
      expect(await directory.authenticate(secret)).toMatchObject({ account: 'a' })
  })

  test('too many connections: unavailable, or a turn in the pool', async () => {
    await using first = open({ connections: 1 }, as('limited', PASSWORD))
    await using second = open({}, as('limited', PASSWORD))
    const many = Array.from({ length: 50 }, () => first.directory.authenticate(secret))
    for (const one of await Promise.all(many)) expect(one).toMatchObject({ account: 'a' })
    const refused = await failureOf(second.directory.authenticate(secret))
    expect([refused.code, refused.details['sqlstate']]).toEqual(['unavailable', '53300'])
    await first.database[Symbol.asyncDispose]()
    expect(await second.directory.authenticate(secret)).toMatchObject({ account: 'a' })
  })

  test('what the operator has to mend is told as a refusal, without the password', async () => {
    const wrong = [
      as('limited', `not-${PASSWORD}`),
      as('nobody-of-this-name', PASSWORD),
      as('plain', PASSWORD),
      (url: URL) => (url.pathname = '/no_such_database'),
    ]
    const states: unknown[] = []
    for (const change of wrong) {
      await using node = open({}, change)
      const { code, details } = await failureOf(node.directory.authenticate(secret))
      states.push([code, details['sqlstate']])
      const shown = inspect([node.database, node.directory], { depth: Infinity, showHidden: true })
      expect(shown).not.toContain(PASSWORD)
    }
    expect(states).toEqual([
      ['database_refused', '28P01'],
      ['database_refused', '28000'],
      ['database_refused', '42501'],
      ['database_refused', '3D000'],
    ])
  })

  test('an address that is none is refused without repeating it', async () => {
    for (const url of [`mysql://u:${PASSWORD}@h/d`, `postgres://u:${PASSWORD}@h:99999/d`, PASSWORD]) {
      const opening = (async () => openDatabase({ url }))()
      expect((await failureOf(opening)).code).toBe('bad_usage')
    }
  })
})
