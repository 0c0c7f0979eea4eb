import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { openMachine, type Machine } from '../../../test/command-line.ts'
import { openTestDatabase } from '../../../test/postgres/database.ts'
import { describeOwnPostgres } from '../../../test/postgres/own.ts'
import { startPostgres, type OwnPostgres } from '../../../test/postgres/server.ts'
import { systemClock } from '../../kernel/clock.ts'
import { openDatabase } from '../postgres/pool.ts'
import { openStorage } from '../server/storage.ts'
import { checkCloud } from './check.ts'
import type { Finding } from './finding.ts'
import { describeServer, type Server } from './postgres-server.ts'

const check = (url: string, nodes = 1, clock = systemClock): Promise<readonly Finding[]> =>
  checkCloud({ database: { url } }, { clock, nodes })

const migrateAt = async (url: string): Promise<void> =>
  (await openStorage({ database: { url } }, { clock: systemClock }))[Symbol.asyncDispose]()

const find = (findings: readonly Finding[], about: string): Finding | undefined =>
  findings.find((finding) => finding.about === about)
const failed = (findings: readonly Finding[]): readonly string[] =>
  findings.filter(({ state }) => state === 'fail').map(({ about }) => about)

describe('a check of a PostgreSQL database', () => {
  test('finds it good before and after its first use, and makes nothing in it', async () => {
    await using database = await openTestDatabase()
    const before = await check(database.url)
    expect(failed(before)).toEqual([])
    expect(find(before, 'tables')?.what).toContain('none yet')
    expect(find(before, 'rights')).toMatchObject({ state: 'ok' })
    {
      await using admin = openDatabase({ url: database.url })
      expect(await admin.query(`SELECT FROM pg_namespace WHERE nspname = 'tidemark'`)).toEqual([])
    }
    await migrateAt(database.url)
    const after = await check(database.url)
    expect(failed(after)).toEqual([])
    expect(find(after, 'tables')?.what).toMatch(/^level \d+$/)
    expect(find(after, 'rights')?.what).toContain('can be used')
    expect(find(after, 'encryption')).toBeDefined()
  })

  test('sees a newer program, too few connections, and a clock that is wrong', async () => {
    await using database = await openTestDatabase()
    await migrateAt(database.url)
    await using admin = openDatabase({ url: database.url })
    const rank = { ...systemClock, now: () => systemClock.now() + 10_000 }
    const many = await check(database.url, 1_000, rank)
    expect(find(many, 'connections')).toMatchObject({
      state: 'warn',
      what: expect.stringContaining('1000 nodes take up to 12000'),
    })
    expect(find(many, 'clock')).toMatchObject({ state: 'warn', what: expect.stringContaining('ahead of') })
    await admin.query('UPDATE tidemark.level SET number = 98, readable_from = 1')
    expect(find(await check(database.url), 'tables')).toMatchObject({ state: 'ok' })
    await admin.query('UPDATE tidemark.level SET readable_from = 98')
    expect(failed(await check(database.url))).toEqual(['tables'])
  })
})

describe('what is said of a server', () => {
  const good: Server = {
    user: 'tidemark',
    version: '18.1',
    versionNumber: 180_001,
    encoding: 'UTF8',
    isStandby: false,
    synchronousCommit: 'on',
    fsync: 'on',
    fullPageWrites: 'on',
    autovacuum: 'on',
    maxConnections: 97,
    ownLimit: null,
    others: 3,
    isolation: 'read committed',
    idleInTransactionMs: 10_000,
    forgotten: 0,
    isEncrypted: true,
    host: '10.0.0.1',
    bytes: 7_000_000,
  }
  const notOk = (change: Partial<Server>, nodes = 1, isTrusting = false): readonly string[] =>
    describeServer({ ...good, ...change }, { nodes, connections: nodes * 12, address: 'a', isTrusting })
      .filter(({ state }) => state !== 'ok')
      .map(({ state, about }) => `${state} ${about}`)

  test('a good one has no warning, and each fault has its own', () => {
    expect(notOk({})).toEqual([])
    expect(notOk({}, 7)).toEqual([])
    expect(notOk({ versionNumber: 140_012 })).toEqual(['warn version'])
    expect(notOk({ versionNumber: 150_000 })).toEqual([])
    expect(notOk({ encoding: 'SQL_ASCII' })).toEqual(['fail encoding'])
    expect(notOk({ isStandby: true })).toEqual(['fail role'])
    expect(notOk({ synchronousCommit: 'off' })).toEqual(['warn durability'])
    expect(notOk({ synchronousCommit: 'local' })).toEqual([])
    expect(notOk({ fsync: 'off', fullPageWrites: 'off' })).toEqual(['warn durability', 'warn durability'])
    expect(notOk({ autovacuum: 'off' })).toEqual(['warn cleaning'])
    expect(notOk({}, 8)).toEqual(['warn connections'])
    expect(notOk({ ownLimit: 11 })).toEqual(['warn connections'])
    expect(notOk({ others: 90 })).toEqual(['warn connections'])
    expect(notOk({ isolation: 'repeatable read' })).toEqual(['fail session'])
    expect(notOk({ idleInTransactionMs: 0 })).toEqual(['fail session'])
    expect(notOk({ forgotten: 2 })).toEqual(['warn transactions'])
    expect(notOk({ isEncrypted: false })).toEqual(['warn encryption'])
    expect(notOk({}, 1, true)).toEqual(['warn encryption'])
    expect(notOk({ isEncrypted: false, host: null }, 1, true)).toEqual([])
    for (const host of [null, '127.0.0.1', '::1']) expect(notOk({ isEncrypted: false, host })).toEqual([])
  })
})

describeOwnPostgres('a check of a server', () => {
  const PASSWORD = 'hunter-2-secret'
  let server: OwnPostgres
  let machine: Machine

  beforeAll(async () => {
    const flags = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'autovacuum=off']
    ;[server, machine] = await Promise.all([startPostgres({ flags }), openMachine()])
    writeFileSync(
      join(server.folder, 'data/pg_hba.conf'),
      'host all plain 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n',
    )
    await using admin = openDatabase({ url: server.url })
    await admin.query(`CREATE ROLE plain LOGIN PASSWORD '${PASSWORD}'; SELECT pg_reload_conf()`)
    await admin.query(`CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`)
  })
  afterAll(async () => {
    await machine[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })

  const at = (change: (url: URL) => void): string => {
    const url = new URL(server.url)
    change(url)
    return url.href
  }
  const asPlain = () => at((url) => Object.assign(url, { username: 'plain', password: PASSWORD }))

  test('warns of all that could lose what was acknowledged', async () => {
    const found = (await check(server.url)).filter(({ state }) => state === 'warn')
    expect(found.map(({ what }) => what.split(' ')[0])).toEqual([
      'synchronous_commit',
      'fsync',
      'full_page_writes',
      'autovacuum',
    ])
  })

  test('finds what rights are missing, one after the other', async () => {
    await using admin = openDatabase({ url: server.url })
    const rights = async () => find(await check(asPlain()), 'rights')
    expect(await rights()).toMatchObject({
      state: 'fail',
      what: expect.stringContaining('may not make tables'),
    })
    await admin.query('CREATE SCHEMA tidemark AUTHORIZATION plain')
    expect(await rights()).toMatchObject({ state: 'ok' })
    // It may keep its tables there, and make no schemas for views: that is a warning, unless nobody wants them.
    const words = async (views: boolean) =>
      find(
        await checkCloud({ database: { url: asPlain(), views } }, { clock: systemClock, nodes: 1 }),
        'views',
      )
    expect(await words(true)).toMatchObject({ state: 'warn', fix: expect.stringContaining('--no-views') })
    expect(await words(false)).toBeUndefined()
    // Made by another user: first out of reach, then to be used, but not to be upgraded.
    await migrateAt(server.url)
    expect(await rights()).toMatchObject({ state: 'fail', what: expect.stringContaining('may not be read') })
    await admin.query('GRANT SELECT ON ALL TABLES IN SCHEMA tidemark TO plain')
    expect(await rights()).toMatchObject({ state: 'fail', what: expect.stringContaining('tables') })
    await admin.query('GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tidemark TO plain')
    expect(await rights()).toMatchObject({ state: 'warn', what: expect.stringContaining('another user') })
    await admin.query('REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA tidemark FROM PUBLIC')
    expect(await rights()).toMatchObject({ state: 'fail', what: expect.stringContaining('functions') })
    await admin.query('DROP SCHEMA tidemark CASCADE')
  })

  test('refuses an encoding that cannot hold every text, and so does a start', async () => {
    const latin = at((url) => (url.pathname = '/latin'))
    expect(failed(await check(latin))).toEqual(['encoding'])
    await expect(migrateAt(latin)).rejects.toMatchObject({ code: 'database_refused' })
  })

  test('the command prints lines or one value, fails with 1, and never says the password', async () => {
    const run = async (url: string, ...args: string[]) => {
      machine.env['TIDEMARK_CLOUD_DATABASE_URL'] = url
      const told = await machine.tidemark('cloud', 'check', ...args)
      expect(told.out + told.err).not.toContain('hunter-2')
      return told
    }
    const good = await run(server.url, '--nodes', '2')
    expect([good.code, good.err]).toEqual([0, ''])
    expect(good.out).toMatch(/^ok {4}connection: .*\nok {4}version: PostgreSQL \d+/)
    expect(good.out).toContain('2 nodes take up to 24 of')
    expect(good.out).toContain('see the warnings')

    const wrong: readonly (readonly [url: string, words: RegExp])[] = [
      [
        at((url) => Object.assign(url, { username: 'plain', password: `no-${PASSWORD}` })),
        /password authentication failed/,
      ],
      [
        at((url) => Object.assign(url, { username: 'nobody', password: PASSWORD })),
        /role "nobody" does not exist/,
      ],
      [at((url) => Object.assign(url, { pathname: '/gone', password: PASSWORD })), /CREATE DATABASE/],
      [`postgres://u:${PASSWORD}@127.0.0.1:1/d`, /ECONNREFUSED/],
    ]
    for (const [url, words] of wrong) {
      const lines = await run(url)
      expect([lines.code, lines.out]).toEqual([1, expect.stringMatching(words)])
      const { code, out } = await run(url, '--json')
      expect([code, JSON.parse(out)]).toMatchObject([
        1,
        { ok: false, findings: [{ state: 'fail', about: 'connection' }] },
      ])
    }
    expect((await run(PASSWORD)).code).toBe(2)
  })

  test('knows a standby', async () => {
    await migrateAt(server.url)
    const copy = await server.copyFiles()
    await server.kill()
    await server.restoreFiles(copy)
    writeFileSync(join(server.folder, 'data/standby.signal'), '')
    await server.start()
    expect(failed(await check(server.url))).toEqual(['role'])
    await using storage = await openStorage({ database: { url: server.url } }, { clock: systemClock })
    await expect(storage.check()).rejects.toMatchObject({ code: 'unavailable' })
  })
})
