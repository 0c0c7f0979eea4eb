import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { systemClock } from '../../kernel/clock.ts'
import type { TidemarkError } from '../../kernel/errors.ts'
import { SAMPLE_PULL, SAMPLE_PULL_REQUEST, SAMPLE_PUSH, SAMPLE_RECORD } from '../../testing/cloud-answers.ts'
import * as failures from '../../testing/failures.ts'
import { jsonAnswer, startFaultyServer, type FaultyServer } from '../../testing/faulty-server.ts'
import { createManualClock } from '../../testing/manual-clock.ts'
import { STALL_MS } from './body.ts'
import type { CloudOptions } from './line.ts'
import { createCloudProvider } from './provider.ts'
import { ANSWER_MS, POLL_GRACE_MS } from './request.ts'

const never = new AbortController().signal
const TOKEN = 'tm_S3CR3T'

let server: FaultyServer
beforeEach(async () => {
  server = await startFaultyServer(jsonAnswer(SAMPLE_PUSH))
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
})

const connect = (options: Partial<CloudOptions> = {}) =>
  createCloudProvider({ endpoint: server.url, token: TOKEN, clock: systemClock, ...options })

/** What a promise rejects with; it tells no secret. */
async function failureOf(work: Promise<unknown>): Promise<TidemarkError> {
  const error = await failures.failureOf(work)
  expect(`${error.message} ${JSON.stringify(error)}`).not.toContain('S3CR3T')
  return error
}

describe('a connection', () => {
  test('that is refused is a network failure, and says which host and why', async () => {
    const { url } = server
    await server[Symbol.asyncDispose]()
    const error = await failureOf(connect({ endpoint: url }).push('{}', never))
    expect(error.code).toBe('network')
    expect(error.details).toEqual({ host: new URL(url).host, reason: 'ECONNREFUSED' })
    server = await startFaultyServer(jsonAnswer(SAMPLE_PUSH))
  })

  test.each<[string, number]>([
    ['before the answer', 0],
    ['in its headers', 20],
    ['in its body', 400],
  ])('that is cut %s is a network failure', async (_, bytes) => {
    const body = JSON.stringify({ ...SAMPLE_PULL, records: Array.from({ length: 50 }, () => SAMPLE_RECORD) })
    const text = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
    server.answerWith((_, response) => {
      response.socket?.write(text.slice(0, bytes))
      response.socket?.end()
    })
    expect((await failureOf(connect().pull(SAMPLE_PULL_REQUEST, never))).code).toBe('network')
  })

  test('I8: that is silent before the answer is given up', async () => {
    const clock = createManualClock()
    server.answerWith(() => {})
    const pull = connect({ clock }).pull(SAMPLE_PULL_REQUEST, never)
    await failures.waitUntil(() => server.requests.length === 1)
    clock.elapse(ANSWER_MS - 1)
    expect(clock.pending).toHaveLength(1)
    clock.elapse(100)
    const error = await failureOf(pull)
    expect([error.code, error.details['reason']]).toEqual(['network', 'timeout'])
    expect(clock.pending).toEqual([])
    await failures.waitUntil(() => server.open === 0)
  })

  test('I8: that falls silent within the answer is given up', async () => {
    const clock = createManualClock()
    server.answerWith((_, response) => {
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-length': '5000' })
        .write('{"epoch"')
    })
    const pull = connect({ clock }).pull(SAMPLE_PULL_REQUEST, never)
    await failures.waitUntil(() => clock.pending[0] === STALL_MS)
    clock.elapse(STALL_MS)
    expect((await failureOf(pull)).code).toBe('network')
    await failures.waitUntil(() => server.open === 0)
  })

  test('that is slow but alive is waited for', async () => {
    const clock = createManualClock()
    const body = Buffer.from(JSON.stringify(SAMPLE_PULL))
    const send: (() => void)[] = []
    server.answerWith((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
      const third = Math.ceil(body.length / 3)
      for (let at = 0; at < body.length; at += third)
        send.push(() => void response.write(body.subarray(at, at + third)))
    })
    const pull = connect({ clock }).pull(SAMPLE_PULL_REQUEST, never)
    await failures.waitUntil(() => send.length === 3)
    for (const write of send) {
      write()
      await failures.waitUntil(() => clock.pending.every((ms) => ms === STALL_MS))
      if (write !== send.at(-1)) clock.elapse(STALL_MS - 1)
    }
    expect(await pull).toEqual(SAMPLE_PULL)
    expect(clock.pending).toEqual([])
  })

  test('may be silent for as long as a long poll was asked to wait', async () => {
    const clock = createManualClock()
    let answer = () => {}
    server.answerWith((request, response) => {
      answer = () => void jsonAnswer(SAMPLE_PULL)(request, response)
    })
    const pull = connect({ clock }).pull({ ...SAMPLE_PULL_REQUEST, wait: 55 }, never)
    await failures.waitUntil(() => server.requests.length === 1)
    expect(clock.pending[0]).toBeGreaterThan(55_000 + POLL_GRACE_MS - 1)
    expect(clock.pending[0]).toBeLessThan(55_000 + POLL_GRACE_MS + 1_000)
    clock.elapse(55_000)
    answer()
    expect(await pull).toEqual(SAMPLE_PULL)
  })

  test('is given time for a large upload', async () => {
    const clock = createManualClock()
    server.answerWith(() => {})
    const stop = new AbortController()
    const push = connect({ clock }).push('x'.repeat(1_250_000), stop.signal)
    await failures.waitUntil(() => server.requests.length === 1)
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
      const pull = connect({ clock }).pull({ ...SAMPLE_PULL_REQUEST, wait: 55 }, stop.signal)
      const phase = when === 'within the answer' ? STALL_MS : 55_000 + POLL_GRACE_MS
      await failures.waitUntil(
        () => server.requests.length === 1 && Math.floor(clock.pending[0] ?? 0) - phase < 1_000,
      )
      await failures.waitUntil(() => when === 'before the answer' || clock.pending[0] === STALL_MS)
      stop.abort(new Error('S3CR3T reason'))
      expect((await failureOf(pull)).code).toBe('aborted')
      expect(clock.pending).toEqual([])
      await failures.waitUntil(() => server.open === 0)
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
    await failures.waitUntil(() => asked)
    stop.abort()
    expect((await failureOf(push)).code).toBe('aborted')
  })

  test('with a fetch that throws before it answers, or answers with no promise, is a failure like any other', async () => {
    const throwing = () => {
      throw new TypeError('broken')
    }
    const plain = () => new Response('no') as unknown as Promise<Response>
    expect((await failureOf(connect({ fetch: throwing }).push('{}', never))).code).toBe('network')
    expect((await failureOf(connect({ fetch: plain }).push('{}', never))).code).toBe('bad_answer')
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
