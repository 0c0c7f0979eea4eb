import { inspect } from 'node:util'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { pushBody, put } from '../../test/cloud/requests.ts'
import { ask, type Answer } from '../../test/cloud/test-cloud.ts'
import { openMachine, type Machine } from '../../test/command-line.ts'
import { openTestDatabase, type TestDatabase } from '../../test/postgres/database.ts'
import { describeOwnPostgres } from '../../test/postgres/own.ts'
import { startPostgres } from '../../test/postgres/server.ts'
import type { PullAnswer } from '../protocol/pull.ts'
import type { PushAnswer } from '../protocol/push.ts'
import { SCOPES } from '../protocol/routes.ts'
import type { Directory } from './directory.ts'
import { startCloud, type Cloud } from './index.ts'
import { openDatabase } from './postgres/pool.ts'

const START = { port: 0, limits: { loopDelayMs: 0 } } as const

const makeToken = async (directory: Directory) =>
  directory.createToken({ account: 'ours', name: 'test', scopes: SCOPES, spaces: null, defaultSpace: 'main' })

const post = (cloud: Cloud, token: string, path: string, body: unknown): Promise<Answer> =>
  ask(cloud.url, 'POST', path, { body, headers: { authorization: `Bearer ${token}` } })

describe('a cloud in PostgreSQL', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await openTestDatabase()
  })
  afterAll(async () => {
    await database[Symbol.asyncDispose]()
  })

  test('has several nodes: what one takes the others give, and what one forbids they refuse', async () => {
    // Both find the database empty.
    const nodes = await Promise.all([
      startCloud({ ...START, database: database.url, metrics: { host: '127.0.0.1', port: 0 } }),
      startCloud({ ...START, database: { url: database.url, limits: { connections: 2 } } }),
    ])
    const [one, other] = nodes
    try {
      const { token, info } = await makeToken(one.directory)
      const pushed = (await post(other, token, '/sync/push', pushBody(1, [put(1)]))).json as PushAnswer
      const repeat = await post(one, token, '/sync/push', pushBody(1, [put(1)]))
      expect(repeat.json).toMatchObject({ results: pushed.results })
      const cursor = { epoch: pushed.epoch, generation: pushed.generation.id, version: 0, high: 0 }
      const read = await post(one, token, '/sync/pull', { space: 'main', replica: 'b', cursor })
      expect((read.json as PullAnswer).records.length).toBe(1)

      // A pull that waits at one node is woken by a push into the other.
      const at = { ...cursor, version: 1, high: 1 }
      const waiting = post(one, token, '/sync/pull', { space: 'main', replica: 'b', cursor: at, wait: 55 })
      let numbers = ''
      for (let looks = 0; looks < 500 && !numbers.includes('tidemark_waiting_polls 1'); looks++)
        numbers = await (await fetch(one.metricsUrl ?? '')).text()
      expect(numbers).toContain('tidemark_waiting_polls 1')
      expect(numbers).toMatch(/tidemark_database_connections\{state="total"\} [1-9]/)
      const later = await post(other, token, '/sync/push', pushBody(2, [put(2)], { cursor: at }))
      expect(later.status).toBe(200)
      expect(((await waiting).json as PullAnswer).records.length).toBe(1)

      for (const { url } of nodes) expect((await ask(url, 'GET', '/readyz')).status).toBe(200)
      expect(await other.directory.revokeToken(info.id)).toBe(true)
      expect((await post(one, token, '/sync/pull', {})).code).toBe('token_revoked')
    } finally {
      for (const node of nodes) await node.close()
    }
    // Without the hint the pull would wait for longer.
  }, 40_000)

  test('is not ready, and does not start, once a newer program has changed the database', async () => {
    await using admin = openDatabase({ url: database.url })
    const node = await startCloud({ ...START, database: database.url })
    try {
      await admin.query('UPDATE tidemark.level SET readable_from = 99')
      expect((await ask(node.url, 'GET', '/readyz')).status).toBe(503)
      await expect(startCloud({ ...START, database: database.url })).rejects.toMatchObject({
        code: 'needs_upgrade',
      })
      await admin.query('UPDATE tidemark.level SET readable_from = 1')
      expect((await ask(node.url, 'GET', '/readyz')).status).toBe(200)
    } finally {
      await node.close()
    }
  })

  test('is in one place: a folder or a database', async () => {
    for (const place of [{}, { data: '/nowhere', database: database.url }])
      await expect(startCloud({ ...START, ...place })).rejects.toMatchObject({ code: 'bad_usage' })
  })
})

describe('the commands of a cloud in PostgreSQL', () => {
  let database: TestDatabase
  let machine: Machine
  beforeAll(async () => {
    database = await openTestDatabase()
    machine = await openMachine()
  })
  afterAll(async () => {
    await machine[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
  })

  const withPassword = (password: string): string => {
    const url = new URL(database.url)
    url.password = password
    return url.href
  }

  test('look without making anything, make, serve and revoke; the password is never printed', async () => {
    const url = withPassword('hunter-2-secret')
    const said: string[] = []
    const run = async (...args: string[]): Promise<string> => {
      const { code, out, err } = await machine.tidemark(...args)
      said.push(out, err)
      expect([code, err]).toEqual([0, expect.any(String)])
      return out
    }
    machine.env['TIDEMARK_CLOUD_DATABASE_URL'] = url
    expect(await run('cloud', 'token', 'list')).toContain('There is no cloud in postgres://')
    expect(await run('cloud', 'audit')).toContain('There is no cloud in postgres://')
    const token = (await run('cloud', 'token', 'create', '--name', 'laptop')).trim()
    const server = machine.start('cloud', '--port', '0', '--database-connections', '3')
    for (let looks = 0; looks < 500 && !server.said().includes('http'); looks++)
      await new Promise((resolve) => setTimeout(resolve, 20))
    const at = /http:\/\/\S+?(?=[ /]*\(| )/.exec(server.said())?.[0] ?? ''
    const list = () => ask(at, 'GET', '/sync/devices', { headers: { authorization: `Bearer ${token}` } })
    expect((await list()).status).toBe(200)
    const [id] = (await run('cloud', 'token', 'list')).split(' ') as [string]
    await run('cloud', 'token', 'revoke', id)
    expect((await list()).code).toBe('token_revoked')
    expect(await run('cloud', 'audit')).toMatch(/token revoked.*command line/)
    const stopped = await server.stop()
    expect(stopped.code).toBe(0)
    expect([...said, stopped.out, stopped.err].join('')).not.toContain('hunter-2')
    expect(stopped.out).toContain('tidemark cloud token create\n')
    expect((await machine.tidemark('config', 'list')).out).not.toContain('hunter-2')
  })

  test('take the address on the command line too, and warn when a password stands in it', async () => {
    delete machine.env['TIDEMARK_CLOUD_DATABASE_URL']
    const plain = await machine.tidemark('cloud', 'token', 'list', '--database', database.url)
    expect([plain.code, plain.err]).toEqual([0, ''])
    const warned = await machine.tidemark(
      'cloud',
      '--database',
      withPassword('hunter-2-secret'),
      'token',
      'list',
    )
    expect(warned.err).toContain('TIDEMARK_CLOUD_DATABASE_URL')
    expect(warned.out + warned.err).not.toContain('hunter-2')
    // A folder that is named is meant, whatever the environment says.
    machine.env['TIDEMARK_CLOUD_DATABASE_URL'] = withPassword('hunter-2-secret')
    expect((await machine.tidemark('cloud', 'token', 'list', '--data', machine.folder)).out).toContain(
      machine.folder,
    )
    const both = await machine.tidemark('cloud', 'audit', '--data', 'x', '--database', database.url)
    expect(both.code).toBe(2)
  })

  test('tell a database that cannot be reached, is not there, or is none, without the password', async () => {
    const gone = 'postgres://u:hunter-2-secret@127.0.0.1:1/d'
    const missing = new URL(withPassword('hunter-2-secret'))
    missing.pathname = '/no_such_database'
    const wanted: readonly (readonly [url: string, code: number, words: string])[] = [
      [gone, 3, 'cannot be reached'],
      [missing.href, 1, 'tidemark cloud check'],
      ['mysql://u:hunter-2-secret@h/d', 2, 'postgres://user@host:port/name'],
      ['hunter-2-secret', 2, 'postgres://user@host:port/name'],
    ]
    for (const [url, code, words] of wanted) {
      machine.env['TIDEMARK_CLOUD_DATABASE_URL'] = url
      for (const args of [['token', 'create'], ['audit'], ['--json']]) {
        const told = await machine.tidemark('cloud', ...args)
        expect([url, told.code]).toEqual([url, code])
        expect(told.out + told.err).not.toContain('hunter-2')
        if (args[0] !== '--json') expect(told.err).toContain(words)
      }
    }
  })
})

describeOwnPostgres('a cloud whose PostgreSQL goes away', () => {
  test('is not ready while it is gone, refuses so that clients try again, and goes on by itself', async () => {
    await using server = await startPostgres({ flags: ['fsync=off'] })
    const node = await startCloud({ ...START, database: server.url, logLevel: 'silent' })
    try {
      const { token } = await makeToken(node.directory)
      const push = (mutation: number) => post(node, token, '/sync/push', pushBody(mutation, [put(mutation)]))
      expect((await push(1)).status).toBe(200)
      await server.kill()
      const ready = await ask(node.url, 'GET', '/readyz')
      expect([ready.status, ready.code]).toEqual([503, 'unavailable'])
      expect((await ask(node.url, 'GET', '/healthz')).status).toBe(200)
      const refused = await push(2)
      expect([refused.status, refused.code]).toEqual([503, 'unavailable'])
      expect(inspect(refused)).not.toContain('127.0.0.1:')
      await server.start()
      expect((await ask(node.url, 'GET', '/readyz')).status).toBe(200)
      expect((await push(2)).status).toBe(200)
    } finally {
      await node.close()
    }
  })
})
