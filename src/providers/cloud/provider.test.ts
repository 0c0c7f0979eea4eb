import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { systemClock } from '../../kernel/clock.ts'
import { SAMPLE_PULL, SAMPLE_PULL_REQUEST, SAMPLE_PUSH } from '../../testing/cloud-answers.ts'
import { failureOf } from '../../testing/failures.ts'
import { jsonAnswer, startFaultyServer, type FaultyServer } from '../../testing/faulty-server.ts'
import { webCodec } from './codec.ts'
import { nodeCodec } from './node-codec.ts'
import type { CloudOptions } from './line.ts'
import { createCloudProvider } from './provider.ts'
import { PROTOCOL_VERSION } from '../../protocol/version.ts'

const never = new AbortController().signal
const TOKEN = 'tm_S3CR3T'
const LONG_BODY = JSON.stringify({
  rows: Array.from({ length: 200 }, (_, at) => ({ id: at, name: 'Zürich 東京' })),
})

let server: FaultyServer
beforeEach(async () => {
  server = await startFaultyServer(jsonAnswer(SAMPLE_PUSH))
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
})

const connect = (options: Partial<CloudOptions> = {}) =>
  createCloudProvider({
    endpoint: server.url,
    token: TOKEN,
    clock: systemClock,
    codec: nodeCodec,
    ...options,
  })

describe('a request', () => {
  test('carries token, protocol and device, to the route under the endpoint’s path', async () => {
    await connect({ endpoint: `${server.url}/at/home/`, device: 'laptop-1' }).push('{"a":1}', never)
    const [request] = server.requests
    expect([request?.method, request?.url]).toEqual(['POST', '/at/home/sync/push'])
    expect(request?.headers).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      'tidemark-protocol': String(PROTOCOL_VERSION),
      'tidemark-device': 'laptop-1',
      'content-type': 'application/json',
    })
  })

  test('has no authorization without a token', async () => {
    await connect({ token: null }).push('{}', never)
    expect(server.requests[0]?.headers.authorization).toBeUndefined()
  })

  test('I3: a push leaves as the exact text it was given', async () => {
    const body = '{ "b":1,\n"a":"\\u00e9é😀" }'
    await connect().push(body, never)
    await connect().push(body, never)
    expect(server.requests.map((request) => request.body.toString())).toEqual([body, body])
  })

  test('for a status or a schema names its space in the address', async () => {
    server.answerWith(jsonAnswer({ schema: 0, tables: [] }))
    await connect().readSchema('user:42', never)
    expect(server.requests[0]?.url).toBe('/sync/schema?space=user%3A42')
    expect(server.requests[0]?.method).toBe('GET')
  })

  test('is not repeated when it fails', async () => {
    server.answerWith(jsonAnswer({}, 500))
    await failureOf(connect().push('{}', never))
    expect(server.requests).toHaveLength(1)
  })

  test('reuses the connection, whatever the answers before were', async () => {
    const provider = connect()
    for (let round = 0; round < 10; round++) {
      server.answerWith(jsonAnswer(SAMPLE_PUSH))
      await provider.push(LONG_BODY, never)
      server.answerWith(
        jsonAnswer({ error: { code: 'conflict', message: 'x', details: {}, retry: true } }, 503),
      )
      await failureOf(provider.push('{}', never))
      server.answerWith((_, response) =>
        response.writeHead(502, { 'content-type': 'text/html' }).end('<p>'.repeat(5_000)),
      )
      await failureOf(provider.push('{}', never))
    }
    expect(server.requests).toHaveLength(30)
    expect(server.connections).toBeLessThanOrEqual(2)
  })
})

describe('compression', () => {
  const large = JSON.stringify('x'.repeat(70_000))
  /** Nobody else makes such a frame: another level. */
  const packed = Uint8Array.from(
    zstdCompressSync(large, { params: { [constants.ZSTD_c_compressionLevel]: 9 } }),
  )

  test('that the store has done is not done again, not even on this machine', async () => {
    await connect().push(large, never, packed)
    await connect({ compressLoopback: true }).push(large, never, packed)
    for (const { headers, body } of server.requests) {
      expect(headers['content-encoding']).toBe('zstd')
      expect(Buffer.compare(body, packed)).toBe(0)
    }
    expect(server.requests).toHaveLength(2)
  })

  test('that the store has done is left where it does not pay, or the platform knows no zstd', async () => {
    await connect().push('{"a":1}', never, Uint8Array.from(zstdCompressSync('{"a":1}')))
    await connect({ codec: webCodec }).push(large, never, packed)
    expect(
      server.requests.map(({ headers, body }) => [headers['content-encoding'], body.toString()]),
    ).toEqual([
      [undefined, '{"a":1}'],
      [undefined, large],
    ])
  })

  test.each([
    ['zstd', nodeCodec, (bytes: Buffer) => zstdDecompressSync(bytes)],
    ['gzip', webCodec, (bytes: Buffer) => gunzipSync(bytes)],
  ])('sends long bodies as %s', async (encoding, codec, decompress) => {
    await connect({ codec, compressLoopback: true }).push(LONG_BODY, never)
    const [request] = server.requests
    expect(request?.headers['content-encoding']).toBe(encoding)
    expect(request?.body.length).toBeLessThan(LONG_BODY.length / 4)
    expect(decompress(request?.body ?? Buffer.of()).toString()).toBe(LONG_BODY)
  })

  test('leaves short bodies, and this machine’s own cloud, alone', async () => {
    await connect({ compressLoopback: true }).push('{"a":1}', never)
    await connect().push(LONG_BODY, never)
    expect(server.requests.map((request) => request.headers['content-encoding'])).toEqual([
      undefined,
      undefined,
    ])
    expect(server.requests[1]?.body.toString()).toBe(LONG_BODY)
    expect(server.requests.map((request) => request.headers['accept-encoding'])).toEqual([
      'zstd, gzip',
      'identity',
    ])
  })

  test('of a body past the thread pool’s threshold comes out the same', async () => {
    const body = LONG_BODY.repeat(20)
    await connect({ compressLoopback: true }).push(body, never)
    expect(zstdDecompressSync(server.requests[0]?.body ?? Buffer.of()).toString()).toBe(body)
  })

  const text = JSON.stringify(SAMPLE_PULL)
  test.each([
    ['zstd', zstdCompressSync(text)],
    ['gzip', gzipSync(text)],
  ])('of answers as %s is undone', async (encoding, bytes) => {
    server.answerWith((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': encoding }).end(bytes)
    })
    expect(await connect({ compressLoopback: true }).pull(SAMPLE_PULL_REQUEST, never)).toEqual(SAMPLE_PULL)
  })

  /** A fetch that does not know zstd hands it on. */
  const handsOn = (bytes: Buffer): typeof fetch => {
    return async () => {
      const chunks = [bytes.subarray(0, 2), bytes.subarray(2, 7), bytes.subarray(7)].filter(
        (chunk) => chunk.length > 0,
      )
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          for (const chunk of chunks) controller.enqueue(new Uint8Array(chunk))
          controller.close()
        },
      })
      return new Response(body, {
        headers: { 'content-type': 'application/json', 'content-encoding': 'zstd' },
      })
    }
  }

  test('of answers as zstd is undone where fetch does not', async () => {
    const provider = connect({ compressLoopback: true, fetch: handsOn(zstdCompressSync(text)) })
    expect(await provider.pull(SAMPLE_PULL_REQUEST, never)).toEqual(SAMPLE_PULL)
    const decoded = connect({ compressLoopback: true, fetch: handsOn(Buffer.from(text)) })
    expect(await decoded.pull(SAMPLE_PULL_REQUEST, never)).toEqual(SAMPLE_PULL)
  })

  test('that breaks off is a network failure', async () => {
    const cut = zstdCompressSync(text).subarray(0, 40)
    const provider = connect({ compressLoopback: true, fetch: handsOn(cut) })
    expect((await failureOf(provider.pull(SAMPLE_PULL_REQUEST, never))).code).toBe('network')
  })
})
