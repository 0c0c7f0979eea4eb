import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { serveTestCloud, type ServedCloud } from '../../../test/cloud/test-cloud.ts'
import { systemClock } from '../../kernel/clock.ts'
import { failureOf } from '../../testing/failures.ts'
import { jsonAnswer, startFaultyServer } from '../../testing/faulty-server.ts'
import { createDeviceClient } from './devices.ts'

const never = new AbortController().signal
const laptop = { id: 'laptop', name: 'Büro 東京', platform: 'linux' }

let cloud: ServedCloud
beforeEach(async () => {
  cloud = await serveTestCloud()
})
afterEach(() => cloud[Symbol.asyncDispose]())

const connect = (token: string | null = cloud.token, endpoint = cloud.url) =>
  createDeviceClient({ endpoint, token, clock: systemClock })

describe('devices of an account', () => {
  test('are registered, listed, renamed and deregistered', async () => {
    const client = connect()
    const { device, token } = await client.register(laptop, never)
    expect(device).toMatchObject(laptop)
    expect(await client.list(never)).toEqual([device])
    expect(await client.rename('laptop', 'Küche', never)).toMatchObject({ id: 'laptop', name: 'Küche' })
    expect(await connect(token).list(never)).toMatchObject([{ name: 'Küche' }])
    expect((await client.deregister('laptop', never)).deregistered_at).toEqual(expect.any(Number))
    expect((await failureOf(connect(token).list(never))).code).toBe('token_revoked')
  })

  test('a bound token registers its own device, and gets no other token', async () => {
    const { token } = await connect().register(laptop, never)
    expect(await connect(token).register({ ...laptop, name: 'new' }, never)).toEqual({
      device: expect.objectContaining({ name: 'new' }) as unknown,
    })
    const other = await failureOf(connect(token).register({ ...laptop, id: 'phone' }, never))
    expect(other.code).toBe('forbidden')
  })

  test('what the cloud refuses has its code', async () => {
    const { token } = await cloud.makeToken({ scopes: ['read', 'write'] })
    expect((await failureOf(connect(token).list(never))).code).toBe('forbidden')
    expect((await failureOf(connect('nobody').list(never))).code).toBe('unauthorized')
    expect((await failureOf(connect().deregister('nobody', never))).code).toBe('not_found')
    expect((await failureOf(connect().rename('laptop', '', never))).code).toBe('bad_request')
  })

  test.each(['', '.', '..', '../spaces', 'a/b', '\ud800', 'x'.repeat(65)])(
    'the id %j leads nowhere and is not sent',
    async (id) => {
      await using server = await startFaultyServer(jsonAnswer({}))
      const client = connect('t', server.url)
      expect((await failureOf(client.deregister(id, never))).code).toBe('not_found')
      expect((await failureOf(client.rename(id, 'name', never))).code).toBe('not_found')
      expect(server.requests).toEqual([])
    },
  )

  test('an answer that does not fit is none', async () => {
    await using server = await startFaultyServer(jsonAnswer({ devices: [{ id: 'laptop' }] }))
    const client = connect('t', server.url)
    expect((await failureOf(client.list(never))).code).toBe('bad_answer')
    expect((await failureOf(client.register(laptop, never))).code).toBe('bad_answer')
    expect(server.requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'GET /sync/devices',
      'POST /sync/devices',
    ])
  })

  test('a wait ends with its signal', async () => {
    await using server = await startFaultyServer(() => {})
    const stopping = new AbortController()
    const failure = failureOf(connect('t', server.url).list(stopping.signal))
    stopping.abort()
    expect((await failure).code).toBe('aborted')
  })
})
