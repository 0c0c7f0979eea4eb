import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import type { Provider } from '../../engine/provider.ts'
import { systemClock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { PullAnswer, PullRequest } from '../../protocol/pull.ts'
import type { PushAnswer } from '../../protocol/push.ts'
import { jsonAnswer, startFaultyServer, type FaultyServer } from '../../testing/faulty-server.ts'
import { createManualClock } from '../../testing/manual-clock.ts'
import { STALL_MS } from './body.ts'
import { webCodec } from './codec.ts'
import { nodeCodec } from './node-codec.ts'
import { createCloudProvider, type CloudProviderOptions } from './provider.ts'
import { ANSWER_MS, POLL_GRACE_MS } from './request.ts'

const generation = { id: 'g', start: 0 }
const pushed: PushAnswer = { epoch: 'e', generation, head: 1, results: [{ status: 'ok', version: 1 }] }
const record = { table: 't', key: '[1]', version: 1, hlc: 1, by: 'r', fields: { name: 'Zürich 東京' } }
const pulled: PullAnswer = {
  epoch: 'e',
  generation,
  head: 1,
  floor: 0,
  schema: 0,
  records: [record],
  next: 1,
  has_more: false,
}
const pullRequest: PullRequest = {
  space: 'main',
  replica: 'r',
  cursor: { epoch: 'e', generation: 'g', version: 0, high: 0 },
}
const never = new AbortController().signal
const TOKEN = 'tm_S3CR3T'
const LONG_BODY = JSON.stringify({
  rows: Array.from({ length: 200 }, (_, at) => ({ id: at, name: 'Zürich 東京' })),
})

let server: FaultyServer
beforeEach(async () => {
  server = await startFaultyServer(jsonAnswer(pushed))
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
})

function connect(options: Partial<CloudProviderOptions> = {}): Provider {
  return createCloudProvider({
    endpoint: server.url,
    token: TOKEN,
    clock: systemClock,
    codec: nodeCodec,
    ...options,
  })
}

/** What a promise rejects with; it must be one of ours, and tell no secret. */
async function failureOf(work: Promise<unknown>): Promise<TidemarkError> {
  const thrown: unknown = await work.then(
    () => null,
    (reason: unknown) => reason,
  )
  expect(thrown).toBeInstanceOf(TidemarkError)
  const error = thrown as TidemarkError
  expect(`${error.message} ${JSON.stringify(error)}`).not.toContain('S3CR3T')
  return error
}

async function waitUntil(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1_000 && !holds(); tries++)
    await new Promise((resolve) => setTimeout(resolve, 5))
  expect(holds()).toBe(true)
}

describe('a request', () => {
  test('carries token, protocol and device, to the route under the endpoint’s path', async () => {
    await connect({ endpoint: `${server.url}/at/home/`, device: 'laptop-1' }).push('{"a":1}', never)
    const [request] = server.requests
    expect([request?.method, request?.url]).toEqual(['POST', '/at/home/sync/push'])
    expect(request?.headers).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      'tidemark-protocol': '1',
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
      server.answerWith(jsonAnswer(pushed))
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

  const text = JSON.stringify(pulled)
  test.each([
    ['zstd', zstdCompressSync(text)],
    ['gzip', gzipSync(text)],
  ])('of answers as %s is undone', async (encoding, bytes) => {
    server.answerWith((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': encoding }).end(bytes)
    })
    expect(await connect({ compressLoopback: true }).pull(pullRequest, never)).toEqual(pulled)
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
    expect(await provider.pull(pullRequest, never)).toEqual(pulled)
    const decoded = connect({ compressLoopback: true, fetch: handsOn(Buffer.from(text)) })
    expect(await decoded.pull(pullRequest, never)).toEqual(pulled)
  })

  test('that breaks off is a network failure', async () => {
    const cut = zstdCompressSync(text).subarray(0, 40)
    const provider = connect({ compressLoopback: true, fetch: handsOn(cut) })
    expect((await failureOf(provider.pull(pullRequest, never))).code).toBe('network')
  })
})

describe('I9: an answer that is not one is a bad answer', () => {
  test.each<[string, number, string, string | Buffer]>([
    ['no JSON', 200, 'application/json', '{"epoch":'],
    ['nothing', 200, 'application/json', ''],
    ['another message', 200, 'application/json', '{"ok":true}'],
    [
      'an error with a success status',
      200,
      'application/json',
      '{"error":{"code":"x","message":"","details":{},"retry":true}}',
    ],
    ['a page', 200, 'text/html', '<p>Sign in to use this network</p>'],
    ['another type', 200, 'text/plain', JSON.stringify(pulled)],
    [
      'broken UTF-8',
      200,
      'application/json',
      Buffer.from(JSON.stringify(pulled).replace('Zürich', '\u00ff'), 'latin1'),
    ],
    ['a mark of byte order', 200, 'application/json', `\ufeff${JSON.stringify(pulled)}`],
  ])('%s', async (_, status, type, body) => {
    server.answerWith((_, response) => response.writeHead(status, { 'content-type': type }).end(body))
    const error = await failureOf(connect().pull(pullRequest, never))
    expect(error.code).toBe('bad_answer')
    expect(error.message).not.toContain('Sign in')
  })

  test('a redirect, which is not followed: the token goes nowhere else', async () => {
    await using other = await startFaultyServer(jsonAnswer(pushed))
    server.answerWith((_, response) => response.writeHead(307, { location: `${other.url}/sync/push` }).end())
    const error = await failureOf(connect().push('{}', never))
    expect([error.code, error.details['location']]).toEqual(['bad_answer', other.url])
    expect(other.requests).toHaveLength(0)
  })
})

describe('a refusal', () => {
  const envelope = (code: string, details = {}) => ({
    error: { code, message: 'said so', details, retry: false },
  })

  test.each<[number, string, string]>([
    [409, 'replica_forked', 'replica_forked'],
    [410, 'cursor_expired', 'cursor_expired'],
    [500, 'internal', 'internal'],
    [500, 'invariant', 'invariant'],
    [507, 'disk_full', 'disk_full'],
    [422, 'unprocessable', 'unprocessable'],
    [400, 'a_later_code', 'bad_request'],
    [422, 'a_later_code', 'unprocessable'],
    [409, 'a_later_code', 'bad_answer'],
    [503, 'a_later_code', 'unavailable'],
    [599, 'a_later_code', 'internal'],
    [503, 'network', 'unavailable'],
    [403, 'toString', 'forbidden'],
  ])('of status %i with code %s is %s', async (status, code, expected) => {
    server.answerWith(jsonAnswer(envelope(code), status))
    const error = await failureOf(connect().push('{}', never))
    expect([error.code, error.message]).toEqual([expected, 'said so'])
  })

  test('brings its details', async () => {
    const details = { epoch: 'e2', generations: [{ id: 'g9', start: 4 }] }
    server.answerWith(jsonAnswer(envelope('lost_history', details), 409))
    expect((await failureOf(connect().push('{}', never))).details).toEqual(details)
  })

  /** I9: a row must not go to the quarantine because of a proxy. */
  test.each<[number, string]>([
    [400, 'bad_answer'],
    [422, 'bad_answer'],
    [409, 'bad_answer'],
    [410, 'bad_answer'],
    [418, 'bad_answer'],
    [426, 'bad_answer'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'not_found'],
    [413, 'payload_too_large'],
    [429, 'rate_limited'],
    [500, 'internal'],
    [502, 'unavailable'],
    [503, 'unavailable'],
    [504, 'unavailable'],
    [520, 'internal'],
  ])('I9: of status %i by something in between is %s', async (status, code) => {
    for (const [type, body] of [
      ['text/html', '<p>no</p>'],
      ['application/json', '{"message":"no"}'],
      ['application/json', '<'],
    ]) {
      server.answerWith((_, response) => response.writeHead(status, { 'content-type': type ?? '' }).end(body))
      expect((await failureOf(connect().push('{}', never))).code).toBe(code)
    }
  })

  test.each([
    ['7', 7_000],
    ['0', 0],
    ['Thu, 01 Jan 1970 00:01:40 GMT', 40_000],
    ['Thu, 01 Jan 1970 00:00:10 GMT', 0],
    ['999999999', 3_600_000],
    ['soon', undefined],
    ['-5', undefined],
    ['', undefined],
  ])('asks to wait %j: %s ms', async (header, ms) => {
    server.answerWith(
      jsonAnswer(envelope('rate_limited'), 429, header === '' ? {} : { 'retry-after': header }),
    )
    const error = await failureOf(connect({ clock: createManualClock(60_000) }).push('{}', never))
    expect([error.code, error.retryAfterMs]).toEqual(['rate_limited', ms])
  })

  test('whose body is cut off still has its status', async () => {
    server.answerWith((_, response) => {
      response.writeHead(503, { 'content-type': 'application/json', 'content-length': '500' })
      response.write('{"error":', () => response.destroy())
    })
    expect((await failureOf(connect().push('{}', never))).code).toBe('unavailable')
  })
})

describe('a connection', () => {
  test('that is refused is a network failure, and says which host and why', async () => {
    const { url } = server
    await server[Symbol.asyncDispose]()
    const error = await failureOf(connect({ endpoint: url }).push('{}', never))
    expect(error.code).toBe('network')
    expect(error.details).toEqual({ host: new URL(url).host, reason: 'ECONNREFUSED' })
    server = await startFaultyServer(jsonAnswer(pushed))
  })

  test.each<[string, number]>([
    ['before the answer', 0],
    ['in its headers', 20],
    ['in its body', 400],
  ])('that is cut %s is a network failure', async (_, bytes) => {
    const body = JSON.stringify({ ...pulled, records: Array.from({ length: 50 }, () => record) })
    const text = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
    server.answerWith((_, response) => {
      response.socket?.write(text.slice(0, bytes))
      response.socket?.end()
    })
    expect((await failureOf(connect().pull(pullRequest, never))).code).toBe('network')
  })

  test('I8: that is silent before the answer is given up', async () => {
    const clock = createManualClock()
    server.answerWith(() => {})
    const pull = connect({ clock }).pull(pullRequest, never)
    await waitUntil(() => server.requests.length === 1)
    clock.elapse(ANSWER_MS - 1)
    expect(clock.pending).toHaveLength(1)
    clock.elapse(100)
    const error = await failureOf(pull)
    expect([error.code, error.details['reason']]).toEqual(['network', 'timeout'])
    expect(clock.pending).toEqual([])
    await waitUntil(() => server.open === 0)
  })

  test('I8: that falls silent within the answer is given up', async () => {
    const clock = createManualClock()
    server.answerWith((_, response) => {
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-length': '5000' })
        .write('{"epoch"')
    })
    const pull = connect({ clock }).pull(pullRequest, never)
    await waitUntil(() => clock.pending[0] === STALL_MS)
    clock.elapse(STALL_MS)
    expect((await failureOf(pull)).code).toBe('network')
    await waitUntil(() => server.open === 0)
  })

  test('that is slow but alive is waited for', async () => {
    const clock = createManualClock()
    const body = Buffer.from(JSON.stringify(pulled))
    const send: (() => void)[] = []
    server.answerWith((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
      const third = Math.ceil(body.length / 3)
      for (let at = 0; at < body.length; at += third)
        send.push(() => void response.write(body.subarray(at, at + third)))
    })
    const pull = connect({ clock }).pull(pullRequest, never)
    await waitUntil(() => send.length === 3)
    for (const write of send) {
      write()
      await waitUntil(() => clock.pending.every((ms) => ms === STALL_MS))
      if (write !== send.at(-1)) clock.elapse(STALL_MS - 1)
    }
    expect(await pull).toEqual(pulled)
    expect(clock.pending).toEqual([])
  })

  test('may be silent for as long as a long poll was asked to wait', async () => {
    const clock = createManualClock()
    let answer = () => {}
    server.answerWith((request, response) => {
      answer = () => void jsonAnswer(pulled)(request, response)
    })
    const pull = connect({ clock }).pull({ ...pullRequest, wait: 55 }, never)
    await waitUntil(() => server.requests.length === 1)
    expect(clock.pending[0]).toBeGreaterThan(55_000 + POLL_GRACE_MS - 1)
    expect(clock.pending[0]).toBeLessThan(55_000 + POLL_GRACE_MS + 1_000)
    clock.elapse(55_000)
    answer()
    expect(await pull).toEqual(pulled)
  })

  test('is given time for a large upload', async () => {
    const clock = createManualClock()
    server.answerWith(() => {})
    const stop = new AbortController()
    const push = connect({ clock }).push('x'.repeat(1_250_000), stop.signal)
    await waitUntil(() => server.requests.length === 1)
    expect(clock.pending).toEqual([ANSWER_MS + 100_000])
    stop.abort()
    expect((await failureOf(push)).code).toBe('aborted')
  })
})

describe('stopping', () => {
  test('before the start sends nothing', async () => {
    expect((await failureOf(connect().push('{}', AbortSignal.abort()))).code).toBe('aborted')
    expect(server.requests).toHaveLength(0)
  })

  test.each(['before the answer', 'within the answer'])(
    '%s is prompt and cuts the connection',
    async (when) => {
      const clock = createManualClock()
      server.answerWith((_, response) => {
        if (when === 'within the answer')
          response.writeHead(200, { 'content-type': 'application/json' }).write('{')
      })
      const stop = new AbortController()
      const pull = connect({ clock }).pull({ ...pullRequest, wait: 55 }, stop.signal)
      const phase = when === 'within the answer' ? STALL_MS : 55_000 + POLL_GRACE_MS
      await waitUntil(() => server.requests.length === 1 && Math.floor(clock.pending[0] ?? 0) - phase < 1_000)
      await waitUntil(() => when === 'before the answer' || clock.pending[0] === STALL_MS)
      stop.abort(new Error('S3CR3T reason'))
      expect((await failureOf(pull)).code).toBe('aborted')
      expect(clock.pending).toEqual([])
      await waitUntil(() => server.open === 0)
    },
  )

  test('works where fetch does not heed its signal', async () => {
    const stop = new AbortController()
    let asked = false
    const deaf = (): Promise<Response> => {
      asked = true
      return new Promise(() => {})
    }
    const push = connect({ fetch: deaf }).push('{}', stop.signal)
    await waitUntil(() => asked)
    stop.abort()
    expect((await failureOf(push)).code).toBe('aborted')
  })

  test('after the end changes nothing, and a signal of many requests gathers no listeners', async () => {
    const stop = new AbortController()
    const listeners = new Set<unknown>()
    const counted = new Proxy(stop.signal, {
      get(signal, name) {
        const value: unknown = Reflect.get(signal, name, signal)
        if (typeof value !== 'function') return value
        return (...args: readonly unknown[]) => {
          if (name === 'addEventListener') listeners.add(args[1])
          if (name === 'removeEventListener') listeners.delete(args[1])
          return value.apply(signal, args)
        }
      },
    })
    const provider = connect()
    for (let round = 0; round < 5; round++) await provider.push('{}', counted)
    server.answerWith(jsonAnswer({}, 503))
    await failureOf(provider.push('{}', counted))
    expect(listeners.size).toBe(0)
    stop.abort()
    expect(server.requests).toHaveLength(6)
  })
})
