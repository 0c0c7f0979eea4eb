import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { startEmbeddedCloud, type EmbeddedCloud } from '../../test/cloud/embedded.ts'
import type { HydrateChunk, Provider } from '../engine/provider.ts'
import type { ErrorCode } from '../kernel/errors.ts'
import type { Machine } from '../machine/machine.ts'
import { SAMPLE_PULL } from '../testing/cloud-answers.ts'
import { failureOf, waitUntil } from '../testing/failures.ts'
import { jsonAnswer, startFaultyServer, type Answerer } from '../testing/faulty-server.ts'
import { createManualClock } from '../testing/manual-clock.ts'
import { createCloudSyncProvider, getLocalDevice, type CloudSyncOptions } from './provider.ts'

const never = new AbortController().signal
const cursor = { epoch: 'e', generation: 'g', version: 5, high: 5 }

let cloud: EmbeddedCloud
let token: string
let machine: Machine
beforeEach(async () => {
  cloud = await startEmbeddedCloud()
  token = (await cloud.makeToken()).token
  machine = cloud.makeMachine()
})
afterEach(() => cloud[Symbol.asyncDispose]())

const connect = (options: Partial<CloudSyncOptions> = {}) =>
  createCloudSyncProvider({ ...machine, endpoint: cloud.url, token, space: 'main', ...options })
const sendSchema = (engine: Provider) => engine.putSchema({ space: 'main', replica: 'r', tables: [] }, never)
const refusal = (code: ErrorCode, status: number): Answerer =>
  jsonAnswer({ error: { code, message: 'no', details: {}, retry: false } }, status)

async function drain(chunks: AsyncIterable<HydrateChunk>): Promise<number> {
  let count = 0
  for await (const _ of chunks) count++
  return count
}

describe('a provider', () => {
  test('touches no network until it is asked', async () => {
    await using server = await startFaultyServer(() => {})
    const { face } = connect({ endpoint: server.url })
    expect([face.name, face.isConnected, face.lastFailure]).toEqual([
      `cloud ${new URL(server.url).host}`,
      false,
      null,
    ])
    expect(server.connections).toBe(0)
  })

  test.each([{ endpoint: 'sync.example' }, { token: 'two words' }])(
    'is refused at once with %j',
    (options) => {
      expect(() => connect(options)).toThrow(expect.objectContaining({ code: 'config_invalid' }) as Error)
    },
  )

  test('asks with the device’s own token, got once for all who ask first', async () => {
    const { engine, face } = connect()
    await Promise.all([
      face.validateConnection(),
      sendSchema(engine),
      sendSchema(engine),
      face.getRegisteredDevices(),
    ])
    const { deviceId } = getLocalDevice(machine)
    const tokens = await cloud.directory.listTokens('ours')
    expect(tokens.map(({ device }) => device)).toEqual([undefined, deviceId])
    expect(tokens[1]?.lastUsedAt).toEqual(expect.any(Number))
  })

  test('registers with a later call what the first one could not', async () => {
    const { engine, face } = connect()
    await cloud.stop()
    expect((await failureOf(sendSchema(engine))).code).toBe('network')
    await cloud.start()
    await sendSchema(engine)
    expect(await face.getRegisteredDevices()).toMatchObject([{ isThisDevice: true }])
  })

  test('who stops waiting for the first call leaves nothing open', async () => {
    await using server = await startFaultyServer(() => {})
    const { engine } = connect({ endpoint: server.url })
    const stops = [new AbortController(), new AbortController()]
    const calls = stops.map(({ signal }) => failureOf(engine.status('main', signal)))
    await waitUntil(() => server.requests.length === 1)
    stops[0]?.abort()
    expect((await calls[0])?.code).toBe('aborted')
    expect(server.open).toBe(1)
    stops[1]?.abort()
    expect((await calls[1])?.code).toBe('aborted')
    await waitUntil(() => server.open === 0)
    expect(server.requests.map(({ url }) => url)).toEqual(['/sync/devices'])
  })

  test('of a machine whose files cannot be used says so, and works when they can', async () => {
    const { engine, face } = connect()
    mkdirSync(machine.folders.data, { recursive: true })
    const path = join(machine.folders.data, 'device.json')
    writeFileSync(path, '{"tokens":"tm_S3CR3T')
    expect((await failureOf(sendSchema(engine))).code).toBe('config_invalid')
    expect(await face.validateConnection()).toBe(false)
    expect(face.lastFailure?.code).toBe('config_invalid')
    expect((await failureOf(face.registerDevice('a'))).code).toBe('config_invalid')
    writeFileSync(path, JSON.stringify({ id: 'laptop', name: 'Laptop', tokens: {} }))
    expect(await face.validateConnection()).toBe(true)
    expect(await face.getRegisteredDevices()).toMatchObject([{ deviceId: 'laptop', isThisDevice: true }])
  })
})

describe('isConnected', () => {
  test('follows the calls of the engine', async () => {
    const { engine, face } = connect()
    await sendSchema(engine)
    expect(face.isConnected).toBe(true)
    await cloud.stop()
    expect((await failureOf(engine.status('main', never))).message).not.toContain('Not connected')
    expect(face.isConnected).toBe(false)
    expect(face.lastFailure?.message).toMatch(/^Not connected: .* cannot be reached/)
    await cloud.start()
    expect((await engine.readSchema('main', never)).tables).toEqual([])
    expect([face.isConnected, face.lastFailure]).toEqual([true, null])
  })

  test('is true after a refusal that is an answer', async () => {
    const { engine, face } = connect()
    await sendSchema(engine)
    await cloud.stop()
    await failureOf(engine.status('main', never))
    await cloud.start()
    const failure = await failureOf(engine.pull({ space: 'main', replica: 'r', cursor }, never))
    expect(failure.code).toBe('lost_history')
    expect(face.isConnected).toBe(true)
  })

  test('follows a hydrate, chunk by chunk', async () => {
    const { engine, face } = connect()
    await sendSchema(engine)
    await cloud.stop()
    await failureOf(engine.status('main', never))
    const request = { space: 'main', replica: 'r' }
    expect((await failureOf(drain(engine.hydrate(request, never)))).code).toBe('network')
    await cloud.start()
    expect(face.isConnected).toBe(false)
    expect(await drain(engine.hydrate(request, never))).toBeGreaterThan(0)
    expect(face.isConnected).toBe(true)
  })

  test('is left as it is by who stops waiting', async () => {
    const { engine, face } = connect()
    await sendSchema(engine)
    const { epoch, generation, head } = await engine.status('main', never)
    const stopping = new AbortController()
    const now = { epoch, generation: generation.id, version: head, high: head }
    const poll = failureOf(
      engine.pull({ space: 'main', replica: 'r', cursor: now, wait: 20 }, stopping.signal),
    )
    stopping.abort()
    expect((await poll).code).toBe('aborted')
    expect([face.isConnected, face.lastFailure]).toEqual([true, null])
  })

  test.each<[ErrorCode, number, boolean]>([
    ['unavailable', 503, false],
    ['needs_upgrade', 426, false],
    ['forbidden', 403, false],
    ['unauthorized', 401, false],
    ['device_deregistered', 403, false],
    ['not_found', 404, false],
    ['space_not_found', 404, true],
    ['rate_limited', 429, true],
    ['internal', 500, true],
    ['replica_forked', 409, true],
  ])('after %s (%i) is %j', async (code, status, isConnected) => {
    await using server = await startFaultyServer(jsonAnswer(SAMPLE_PULL))
    const { engine, face } = connect({ endpoint: server.url })
    await engine.pull({ space: 'main', replica: 'r', cursor }, never)
    expect(face.isConnected).toBe(true)
    server.answerWith(refusal(code, status))
    expect((await failureOf(sendSchema(engine))).code).toBe(code)
    expect([face.isConnected, face.lastFailure?.code]).toEqual([isConnected, isConnected ? undefined : code])
  })

  test('is false where something else answers', async () => {
    await using server = await startFaultyServer((_, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Welcome to our hotel</h1>'),
    )
    const { face } = connect({ endpoint: server.url })
    expect(await face.validateConnection()).toBe(false)
    expect([face.isConnected, face.lastFailure?.code]).toEqual([false, 'bad_answer'])
  })
})

describe('validateConnection', () => {
  test('says yes for a space that is there, and for one that is not there yet', async () => {
    const { engine, face } = connect()
    expect(await face.validateConnection()).toBe(true)
    expect(await cloud.directory.listSpaces('ours')).toEqual([])
    expect([face.isConnected, face.lastFailure]).toEqual([true, null])
    await sendSchema(engine)
    expect(await face.validateConnection()).toBe(true)
  })

  test('says no to a token that is not known, was revoked, has expired, or does not reach the space', async () => {
    const revoked = await cloud.makeToken({ scopes: ['read'] })
    await cloud.directory.revokeToken(revoked.id)
    const expired = await cloud.makeToken({ expiresAt: 1 })
    const elsewhere = await cloud.makeToken({ spaces: ['other'] })
    for (const [given, code] of [
      ['nobody', 'unauthorized'],
      [revoked.token, 'token_revoked'],
      [expired.token, 'token_revoked'],
      [elsewhere.token, 'forbidden'],
      [null, 'unauthorized'],
    ] as const) {
      const { face } = connect({ token: given })
      expect(await face.validateConnection()).toBe(false)
      expect([face.isConnected, face.lastFailure?.code]).toEqual([false, code])
      expect(face.lastFailure?.message).toMatch(/^Authentication failed: /)
    }
  })

  test('says no while the cloud is away, and yes when it is back', async () => {
    const { face } = connect()
    expect(await face.validateConnection()).toBe(true)
    await cloud.stop()
    expect(await face.validateConnection()).toBe(false)
    expect([face.isConnected, face.lastFailure?.code]).toEqual([false, 'network'])
    await cloud.start()
    expect(await face.validateConnection()).toBe(true)
    expect(face.isConnected).toBe(true)
  })

  test('waits for fifteen seconds at the most', async () => {
    await using server = await startFaultyServer((request, response) =>
      request.url === '/sync/devices' ? refusal('forbidden', 403)(request, response) : undefined,
    )
    const clock = createManualClock(1_000)
    const { face } = connect({ endpoint: server.url, clock })
    const asked = face.validateConnection()
    await waitUntil(() => server.requests.length === 2)
    expect(clock.pending[0]).toBe(15_000)
    clock.elapse(15_000)
    expect(await asked).toBe(false)
    expect(face.lastFailure).toMatchObject({ code: 'network', details: { reason: 'timeout' } })
    expect(clock.pending).toEqual([])
  })

  test('rejects for a signal that aborts, and says nothing of the cloud then', async () => {
    const { face } = connect()
    const stopped = failureOf(face.validateConnection({ signal: AbortSignal.abort() }))
    expect((await stopped).code).toBe('aborted')
    await using server = await startFaultyServer(() => {})
    const silent = connect({ endpoint: server.url }).face
    const stopping = new AbortController()
    const asked = failureOf(silent.validateConnection({ signal: stopping.signal }))
    await waitUntil(() => server.requests.length === 1)
    stopping.abort()
    expect((await asked).code).toBe('aborted')
    expect([silent.isConnected, silent.lastFailure]).toEqual([false, null])
    await waitUntil(() => server.open === 0)
  })
})
