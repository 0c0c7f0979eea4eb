import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'

import { startTestApi, TOKEN, type TestApi } from '../../../test/daemon/api-world.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { createManualClock } from '../../testing/manual-clock.ts'
import type { ServerSentEvent, Streams } from './handlers.ts'

const EVENTS = '/api/v1/stream/events'
let world: TestApi | null = null
afterEach(async () => {
  await world?.[Symbol.asyncDispose]()
  world = null
})

const start = async (
  streamEvents: Streams['streamEvents'],
  options: Parameters<typeof startTestApi>[0] = {},
): Promise<TestApi> => (world = await startTestApi({ ...options, streams: { streamEvents } }))

/** Events that a test gives, one by one. */
function given() {
  const waiting: ServerSentEvent[] = []
  const state = { asked: 0, returned: false, wake: (): void => {} }
  async function* events(signal: AbortSignal): AsyncGenerator<ServerSentEvent> {
    try {
      for (;;) {
        state.asked++
        const event = waiting.shift()
        if (event !== undefined) yield event
        else if (signal.aborted) return
        else
          await new Promise<void>((resolve) => {
            state.wake = resolve
            signal.addEventListener('abort', () => resolve(), { once: true })
          })
      }
    } finally {
      state.returned = true
    }
  }
  return {
    state,
    events,
    give: (event: ServerSentEvent): void => {
      waiting.push(event)
      state.wake()
    },
  }
}

/** Reads a stream as text, as far as a test wants. */
async function open(
  api: TestApi,
  headers: { readonly [name: string]: string } = {},
  signal: AbortSignal | null = null,
) {
  const answer = await fetch(api.api.url + EVENTS, {
    headers: { authorization: `Bearer ${TOKEN}`, ...headers },
    signal,
  })
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
  const decoder = new TextDecoder()
  let text = ''
  return {
    answer,
    reader,
    async until(part: string): Promise<string> {
      while (!text.includes(part)) {
        const { done, value } = await reader.read()
        if (done) throw new Error(`ended: ${text}`)
        text += decoder.decode(value, { stream: true })
      }
      return text
    },
    async rest(): Promise<string> {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return text
        text += decoder.decode(value, { stream: true })
      }
    },
  }
}

const until = async (holds: () => boolean): Promise<void> => {
  for (let turn = 0; !holds(); turn++) {
    if (turn > 2_000) throw new Error('it does not come to that')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe('a stream of events', () => {
  test('has its headers before it has events, then each with its id, type and data', async () => {
    const source = given()
    const api = await start(({ signal, lastEventId }) => {
      expect(lastEventId).toBe('41')
      return source.events(signal)
    })
    const stream = await open(api, { 'last-event-id': '41' })
    expect(stream.answer.status).toBe(200)
    expect(stream.answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(stream.answer.headers.get('cache-control')).toBe('no-store')
    expect(stream.answer.headers.get('x-content-type-options')).toBe('nosniff')
    source.give({ event: 'session_created', id: 42, data: { text: 'a\nb\r\u2028' } })
    source.give({ event: 'reset', data: undefined })
    expect(await stream.until('event: reset\ndata: null\n\n')).toBe(
      'retry: 1000\n\nid: 42\nevent: session_created\ndata: {"text":"a\\nb\\r\u2028"}\n\nevent: reset\ndata: null\n\n',
    )
    await stream.reader.cancel()
    await until(() => source.state.returned)
  })

  test('what fails at once has its status; what fails later is the last event', async () => {
    const fault = { now: true }
    const api = await start(async function* () {
      if (fault.now) throw new TidemarkError('not_found', 'none')
      yield { event: 'one', data: 1 }
      throw new Error('hunter2')
    })
    const answer = await api.ask('GET', EVENTS)
    expect([answer.status, answer.code]).toEqual([404, 'not_found'])
    fault.now = false
    const whole = await (await open(api)).rest()
    expect(whole).toContain('event: one\ndata: 1\n\nevent: error\ndata: {"error":{"code":"internal"')
    expect(whole + String(api.logged)).not.toContain('hunter2')
  })

  test('says something every 15 seconds', async () => {
    const clock = createManualClock()
    const source = given()
    const api = await start(({ signal }) => source.events(signal), { clock })
    const opening = open(api)
    await until(() => clock.pending.includes(100))
    clock.elapse(100)
    const stream = await opening
    await until(() => clock.pending.includes(15_000))
    clock.elapse(15_000)
    await stream.until(': keep-alive\n\n')
    await stream.reader.cancel()
    await until(() => clock.pending.length === 0)
    // The stop waits by this clock too.
    const stopped = api[Symbol.asyncDispose]()
    await until(() => clock.pending.length > 0)
    clock.elapse(10_000)
    await stopped
    expect(clock.pending).toEqual([])
  })

  test('asks for the next event when the one before is on its way, and gives up a reader that stalls', async () => {
    let made = 0
    let returned = false
    const api = await start(
      async function* () {
        try {
          for (;;) {
            made++
            yield { event: 'flood', data: 'x'.repeat(100_000) }
          }
        } finally {
          returned = true
        }
      },
      { limits: { stallMs: 300 } },
    )
    const socket = connect(api.api.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.pause()
    socket.write(
      `GET ${EVENTS} HTTP/1.1\r\nhost: 127.0.0.1:${api.api.port}\r\nauthorization: Bearer ${TOKEN}\r\n\r\n`,
    )
    await until(() => returned)
    // What the kernel holds for both ends, and no more.
    expect(made).toBeLessThan(200)
    socket.destroy()
  })

  test('a reader that goes away ends what makes its events', async () => {
    const source = given()
    const api = await start(({ signal }) => source.events(signal))
    const away = new AbortController()
    const stream = await open(api, {}, away.signal)
    source.give({ event: 'one', data: 1 })
    await stream.until('event: one')
    away.abort()
    await until(() => source.state.returned)
  })
})

describe('a stop', () => {
  test('ends streams, has waiters answered, and refuses what comes after', async () => {
    const source = given()
    const waiting: string[] = []
    const own = await startTestApi({
      streams: { streamEvents: ({ signal }) => source.events(signal) },
      handlers: {
        getApproval: ({ signal }) =>
          new Promise((_resolve, reject) => {
            waiting.push('one')
            signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
          }),
      },
    })
    const stream = await open(own)
    const waiter = own.ask('GET', '/api/v1/approvals/a?wait=60')
    await until(() => waiting.length === 1)
    const stopped = own.api.close()
    expect(await stream.rest()).toBe('retry: 1000\n\n')
    const answer = await waiter
    expect([answer.status, answer.code, answer.headers.get('connection')]).toEqual([503, 'aborted', 'close'])
    await stopped
    expect(source.state.returned).toBe(true)
    await expect(fetch(own.api.url)).rejects.toThrow()
    await own.api.close()
  })

  test('cuts what does not end', async () => {
    let asked = false
    const own = await startTestApi({
      handlers: {
        listRules: () => {
          asked = true
          return new Promise(() => {})
        },
      },
      limits: { stopMs: 50 },
    })
    const hanging = own.ask('GET', '/api/v1/rules').then(
      () => 'answered',
      () => 'cut',
    )
    const silent = connect(own.api.port, '127.0.0.1').on('error', () => {})
    const cut = new Promise((resolve) => silent.on('close', resolve))
    await until(() => asked)
    await own.api.close()
    expect(await hanging).toBe('cut')
    await cut
  })
})
