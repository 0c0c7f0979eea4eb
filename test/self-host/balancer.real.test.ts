import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type ClientHttp2Session } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { freePort } from '../free-port.ts'
import { openDirectory } from '../../src/cloud/server/storage.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { MAX_WAIT_S } from '../../src/protocol/limits.ts'
import type { PullAnswer } from '../../src/protocol/pull.ts'
import type { PushAnswer } from '../../src/protocol/push.ts'
import { SCOPES } from '../../src/protocol/routes.ts'
import { startCloudProcess, type CloudProcess } from '../cloud/cloud-process.ts'
import { pushBody, put } from '../cloud/requests.ts'
import { createSelfSigned } from '../cloud/self-signed.ts'
import { openTestDatabase, type TestDatabase } from '../postgres/database.ts'
import { hasProgram, readExample } from './example.ts'

/** As the nodes of compose.yaml are set up. */
const NODE = ['--trust-proxy', '1', '--drain', '5', '--metrics-address', '127.0.0.1:0']
const POLLS = 20

interface Answer {
  readonly status: number
  readonly headers: { readonly [name: string]: unknown }
  readonly json: unknown
}

/** The example's balancer before nodes of this machine; only addresses and the certificate's place are others. */
async function startBalancer(nodes: readonly CloudProcess[]) {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-balancer-'))
  const { key, cert } = createSelfSigned()
  writeFileSync(join(folder, 'tls.pem'), cert + key)
  const [port, healthPort] = await Promise.all([freePort(), freePort()])
  const changes: readonly (readonly [from: string, to: string])[] = [
    ['/run/secrets/tls.pem', join(folder, 'tls.pem')],
    ['bind :8443', `bind 127.0.0.1:${port}`],
    ['127.0.0.1:8404', `127.0.0.1:${healthPort}`],
    ...nodes.map(({ url }, at) => [`node-${at + 1}:7600`, new URL(url).host] as const),
  ]
  let config = readExample('haproxy.cfg')
  for (const [from, to] of changes) {
    expect(config.split(from).length, from).toBe(2)
    config = config.replace(from, to)
  }
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(file, config)
  const child = spawn('haproxy', ['-db', '-f', file], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text: Buffer) => (said += String(text)))
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const health = async (): Promise<number> => (await fetch(`http://127.0.0.1:${healthPort}/healthz`)).status
  await expect.poll(() => health().catch(() => said), { timeout: 20_000 }).toBe(200)
  const origin = `https://localhost:${port}`
  const sessions: ClientHttp2Session[] = []
  const open = (): ClientHttp2Session => {
    const session = connect(origin, { ca: cert }).on('error', () => {})
    sessions.push(session)
    return session
  }
  return {
    open,
    said: () => said,
    /** Of its own state, for who watches it. */
    health,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy()
      child.kill('SIGKILL')
      await gone
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function ask(
  session: ClientHttp2Session,
  path: string,
  { body, headers = {} }: { readonly body?: object; readonly headers?: { readonly [name: string]: string } },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':path': path,
      ':method': body === undefined ? 'GET' : 'POST',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    })
    let [text, status, told] = ['', 0, {}]
    stream.on('response', (answered) => {
      status = Number(answered[':status'])
      told = answered
    })
    stream.on('data', (part: Buffer) => (text += String(part)))
    stream.once('error', reject)
    stream.once('end', () => resolve({ status, headers: told, json: text === '' ? null : readJson(text) }))
    stream.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

const readJson = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

describe.skipIf(!hasProgram('haproxy'))('the balancer of the example', () => {
  let database: TestDatabase
  let authorization = ''
  beforeAll(async () => {
    database = await openTestDatabase()
    const directory = await openDirectory({ database: { url: database.url } }, systemClock)
    const { token } = await directory.createToken({
      account: 'ours',
      name: 'test',
      scopes: SCOPES,
      spaces: null,
      defaultSpace: 'main',
    })
    await directory[Symbol.asyncDispose]()
    authorization = `Bearer ${token}`
  })
  afterAll(() => database[Symbol.asyncDispose]())

  const startNodes = (): Promise<readonly [CloudProcess, CloudProcess]> =>
    Promise.all([
      startCloudProcess({ database: database.url }, ...NODE),
      startCloudProcess({ database: database.url }, ...NODE),
    ])
  const waiting = async ({ metrics }: CloudProcess): Promise<number> =>
    Number(
      /^tidemark_waiting_polls (\d+)$/m.exec(await (await fetch(metrics ?? '')).text())?.[1] ?? Number.NaN,
    )
  const push = async (session: ClientHttp2Session, space: string, mutation: number): Promise<PushAnswer> => {
    const body = pushBody(mutation, [put(mutation)], { space })
    const answer = await ask(session, '/sync/push', { body, headers: { authorization } })
    expect(answer.status, JSON.stringify(answer.json)).toBe(200)
    return answer.json as PushAnswer
  }
  const pull = (
    session: ClientHttp2Session,
    space: string,
    from: PushAnswer,
    wait: number,
  ): Promise<Answer> => {
    const cursor = { epoch: from.epoch, generation: from.generation.id, version: from.head, high: from.head }
    const body = { space, replica: 'replica-b', cursor, ...(wait === 0 ? {} : { wait }) }
    return ask(session, '/sync/pull', { body, headers: { authorization } })
  }

  test('spreads polls of one connection over the nodes, which a push through either wakes', async () => {
    const nodes = await startNodes()
    await using one = nodes[0]
    await using other = nodes[1]
    await using balancer = await startBalancer(nodes)
    const client = balancer.open()
    const start = await push(client, 'spread', 1)
    const polls = Array.from({ length: POLLS }, () => pull(client, 'spread', start, MAX_WAIT_S))
    await expect
      .poll(async () => (await waiting(one)) + (await waiting(other)), { timeout: 20_000 })
      .toBe(POLLS)
    // The fewest first: half of them each, but for what else is under way.
    for (const node of nodes) expect(await waiting(node)).toBeGreaterThan(POLLS / 4)
    await push(balancer.open(), 'spread', 2)
    for (const answer of await Promise.all(polls)) {
      expect(answer.status).toBe(200)
      expect((answer.json as PullAnswer).records.map(({ key }) => key)).toEqual(['[2]'])
    }

    // What a client says of its own address is not believed: both come from one.
    const left = async (forged: string): Promise<number> => {
      const { headers } = await ask(client, '/openapi.json', { headers: { 'x-forwarded-for': forged } })
      return Number(/"address";r=(\d+)/.exec(String(headers['ratelimit']))?.[1])
    }
    const before = await left('192.0.2.1')
    // Each node counts for itself.
    const after = [await left('192.0.2.2'), await left('192.0.2.3')]
    expect(Math.min(...after)).toBeLessThan(before)
    expect((await ask(client, '/metrics', {})).status).toBe(404)
  }, 120_000)

  test('holds a poll that nothing wakes for as long as it may wait', async () => {
    const nodes = await startNodes()
    await using _one = nodes[0]
    await using _other = nodes[1]
    await using balancer = await startBalancer(nodes)
    const client = balancer.open()
    const start = await push(client, 'quiet', 1)
    const answer = await pull(client, 'quiet', start, MAX_WAIT_S)
    expect([answer.status, (answer.json as PullAnswer).records]).toEqual([200, []])
    // The connection goes on.
    expect((await pull(client, 'quiet', start, 0)).status).toBe(200)
  }, 150_000)

  test('no request fails while a node stops, and none that begins after one was killed', async () => {
    const nodes = await startNodes()
    await using one = nodes[0]
    await using other = nodes[1]
    await using balancer = await startBalancer(nodes)
    const client = balancer.open()
    const start = await push(client, 'stop', 1)
    expect(await balancer.health()).toBe(200)
    const polls = Array.from({ length: POLLS }, () => pull(client, 'stop', start, MAX_WAIT_S))
    await expect.poll(() => waiting(one), { timeout: 20_000 }).toBeGreaterThan(0)

    let stopped: number | null | undefined
    const stop = one.stop().then((code) => (stopped = code))
    const statuses: number[] = []
    while (stopped === undefined && statuses.length < 10_000) {
      statuses.push((await pull(client, 'stop', start, 0)).status)
      await pause(10)
    }
    await stop
    expect(stopped).toBe(0)
    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(balancer.said()).toContain('node-1 is DOWN')
    await push(client, 'stop', 2)
    for (const { status } of await Promise.all(polls)) expect(status).toBe(200)

    // A node of its address comes back, and the other one dies in the middle of polls.
    const { port } = new URL(one.url)
    await using again = await startCloudProcess({ database: database.url }, ...NODE, '--port', port)
    await expect.poll(() => balancer.said(), { timeout: 20_000 }).toContain('node-1 is UP')
    const head = await push(client, 'stop', 3)
    const broken = Array.from({ length: POLLS }, () =>
      pull(client, 'stop', head, MAX_WAIT_S).then(
        ({ status }) => status,
        () => 'broken',
      ),
    )
    await expect.poll(() => waiting(other), { timeout: 20_000 }).toBeGreaterThan(0)
    await other.kill()
    for (let turn = 0; turn < 20; turn++) expect((await pull(client, 'stop', start, 0)).status).toBe(200)
    await push(client, 'stop', 4)
    const ends = await Promise.all(broken)
    expect(ends).toContain(200)
    expect(ends).toContain('broken')
    expect(await balancer.health()).toBe(200)
    await again.kill()
    await expect.poll(() => balancer.health(), { timeout: 20_000 }).toBe(503)
  }, 120_000)
})
