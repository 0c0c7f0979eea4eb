import { connect as connectHttp2, constants } from 'node:http2'
import { connect } from 'node:net'
import { expect, test } from 'vitest'

import { pushBody, put } from '../../../test/cloud/requests.ts'
import { createSelfSigned } from '../../../test/cloud/self-signed.ts'
import { ask, serveTestCloud, valueOf, type ServedCloud } from '../../../test/cloud/test-cloud.ts'
import type { LogDetails, Logger } from '../../kernel/logger.ts'
import type { PushAnswer } from '../../protocol/push.ts'
import { createManualClock } from '../../testing/manual-clock.ts'
import type { Log } from '../log/log.ts'
import type { Metrics } from '../metrics.ts'

interface Line extends LogDetails {
  readonly level: string
  readonly message: string
}

function openLines(): { readonly lines: Line[]; readonly logger: Logger } {
  const lines: Line[] = []
  const write =
    (level: string) =>
    (message: string, details: LogDetails = {}) =>
      void lines.push({ level, message, ...details })
  return {
    lines,
    logger: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
  }
}

/** What was reported, as texts that can be compared. */
function openNumbers(): {
  readonly seen: string[]
  readonly levels: Map<string, () => number>
  readonly metrics: Metrics
} {
  const seen: string[] = []
  const levels = new Map<string, () => number>()
  const words = (labels: object) => Object.values(labels).join(' ')
  return {
    seen,
    levels,
    metrics: {
      count: (name, labels, by = 1) => void seen.push(`${name} ${words(labels)} +${by}`),
      observe: (name, labels, value) => void seen.push(`${name} ${words(labels)} =${value}`),
      time:
        (name, labels) =>
        (less = 0) =>
          void seen.push(`${name} ${words(labels)} less ${less}`),
      watch: (name, labels, read) => void levels.set(`${name} ${words(labels)}`.trim(), read),
    },
  }
}

/** The line of a request: it is written when the connection knows that the answer is out. */
const lineOf = async (lines: readonly Line[], request: string): Promise<Line> => {
  await expect.poll(() => lines.find((line) => line.request === request)).toBeDefined()
  return lines.find((line) => line.request === request) as Line
}

const waitFor = (cloud: ServedCloud, { epoch, generation, head }: PushAnswer, signal?: AbortSignal) =>
  cloud.ask('POST', '/sync/pull', {
    body: {
      space: 'main',
      replica: 'replica-b',
      cursor: { epoch, generation: generation.id, version: head, high: head },
      wait: 50,
    },
    headers: { 'x-request-id': 'waiting' },
    ...(signal === undefined ? {} : { signal }),
  })

test('each request has one line: what it was and what became of it, and nothing that it said', async () => {
  const { lines, logger } = openLines()
  await using cloud = await serveTestCloud({ server: { logger } })
  const { token, id } = await cloud.makeToken()
  const body = JSON.stringify(
    pushBody(1, [put('secret-key', { name: 'secret-value' })], { space: 'secret-space' }),
  )
  const asked = { authorization: `Bearer ${token}`, 'tidemark-device': 'secret-device' }
  await ask(cloud.url, 'POST', '/sync/push', { body, headers: { ...asked, 'x-request-id': 'one' } })
  const bad = await ask(cloud.url, 'GET', '/sync/status?space=secret-typo', {
    headers: { ...asked, 'x-request-id': 'two' },
  })
  await ask(cloud.url, 'GET', '/secret-path', { headers: { 'x-request-id': 'three' } })
  await ask(cloud.url, 'GET', '/healthz', { headers: { 'x-request-id': 'four' } })
  await ask(cloud.url, 'GET', '/%zz', { headers: { 'x-request-id': 'five' } })
  const push = await lineOf(lines, 'one')
  expect(push).toMatchObject({
    level: 'info',
    message: 'Request',
    route: 'push',
    status: 200,
    token: id,
    waited: 0,
  })
  expect(push).toMatchObject({ received: body.length, code: undefined })
  expect(push['sent']).toBeGreaterThan(50)
  expect(push['ms']).toBeGreaterThanOrEqual(0)
  expect(await lineOf(lines, 'two')).toMatchObject({
    route: 'status',
    status: bad.status,
    code: bad.code,
    token: id,
  })
  expect(await lineOf(lines, 'three')).toMatchObject({ route: 'none', status: 404, code: 'not_found' })
  expect(await lineOf(lines, 'four')).toMatchObject({ level: 'debug', route: 'healthz', status: 200 })
  expect(await lineOf(lines, 'five')).toMatchObject({ route: 'none', status: 400, code: 'bad_request' })
  expect(lines).toHaveLength(5)
  expect(JSON.stringify(lines)).not.toMatch(/secret|tm_/)
  expect(JSON.stringify(lines)).not.toContain(token)
})

test('a hydrate and a compressed answer tell their size before compression', async () => {
  const { lines, logger } = openLines()
  await using cloud = await serveTestCloud({ server: { logger } })
  const rows = Array.from({ length: 300 }, (_, at) => put(at, { name: `City ${at} é` }))
  await cloud.ask('POST', '/sync/push', { body: pushBody(1, rows) })
  const sizes: number[] = []
  for (const [at, encoding] of ['identity', 'zstd', 'gzip'].entries()) {
    const headers = { 'accept-encoding': encoding, 'x-request-id': `hydrate-${at}` }
    const { text } = await cloud.ask('GET', '/sync/hydrate?space=main&replica=b', { headers })
    const line = await lineOf(lines, `hydrate-${at}`)
    sizes.push(Number(line['sent']))
    if (encoding === 'identity') expect(line['sent']).toBe(Buffer.byteLength(text))
  }
  expect(new Set(sizes).size).toBe(1)
})

test('a request has a name: its own where that can stand in a log, else a new one', async () => {
  await using cloud = await serveTestCloud()
  const nameOf = async (path: string, name?: string): Promise<string> => {
    const headers = name === undefined ? {} : { 'x-request-id': name }
    return (await ask(cloud.url, 'GET', path, { headers })).headers.get('x-request-id') ?? ''
  }
  expect(await nameOf('/healthz', '00-4bf92f3577b34da6-01')).toBe('00-4bf92f3577b34da6-01')
  for (const path of ['/', '/healthz', '/nothing', '/sync/devices', '/%zz']) {
    expect(await nameOf(path, `mine${path.length}`)).toBe(`mine${path.length}`)
    const made = await nameOf(path)
    expect(made).toMatch(/^[\da-f-]{36}$/)
    for (const odd of ['', 'a b', 'x'.repeat(65), '{"a":1}', 'é'])
      expect(await nameOf(path, odd)).toMatch(/^[\da-f-]{36}$/)
  }
})

test('what failed for an unexpected reason is logged with the name of its request', async () => {
  const { lines, logger } = openLines()
  const broken = (log: Log): Log =>
    new Proxy(log, {
      get(target, name) {
        if (name === 'status') return () => Promise.reject(new TypeError('row 4711'))
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
  await using cloud = await serveTestCloud({ log: broken, server: { logger } })
  await cloud.ask('POST', '/sync/push', { body: pushBody(1, [put(1)]) })
  const answer = await cloud.ask('GET', '/sync/status?space=main', { headers: { 'x-request-id': 'mine' } })
  expect(answer.status).toBe(500)
  expect(await lineOf(lines, 'mine')).toMatchObject({ route: 'status', status: 500, code: 'internal' })
  // The handler of this cloud logs apart from its server.
  expect(cloud.logged.join()).toContain('"request":"mine"')
  expect(cloud.logged.join()).not.toContain('4711')
})

test('requests are counted by route, method and what became of them', async () => {
  const { seen, metrics } = openNumbers()
  await using cloud = await serveTestCloud({ metrics })
  const body = JSON.stringify(pushBody(1, [put(1), put(2)]))
  await cloud.ask('POST', '/sync/push', { body })
  await cloud.ask('POST', '/sync/push', { body: pushBody(2, [put(1)]) })
  await cloud.ask('DELETE', '/sync/devices/nobody')
  await ask(cloud.url, 'PUT', '/nothing')
  const raw = connect(Number(new URL(cloud.url).port), '127.0.0.1', () => raw.write('NONSENSE\r\n\r\n'))
  await new Promise((resolve) => raw.on('close', resolve).resume())
  const expected = [
    'requests push POST 2xx +1',
    `receivedBytes push +${body.length}`,
    'requestSeconds push less 0',
    'changes ok +2',
    'changes conflict +1',
    'commits  +1',
    'requests deregisterDevice DELETE 4xx +1',
    'errors not_found +1',
    'requests none PUT 4xx +1',
    'requests none other 4xx +1',
    'errors bad_request +1',
  ]
  await expect.poll(() => expected.filter((text) => !seen.includes(text))).toEqual([])
})

test('what a pull waits for a change is no latency, and is told apart', async () => {
  const { lines, logger } = openLines()
  const { seen, levels, metrics } = openNumbers()
  const clock = createManualClock(1_000_000)
  await using cloud = await serveTestCloud({ clock, metrics, server: { logger } })
  const start = (await cloud.ask('POST', '/sync/push', { body: pushBody(1, [put(1)]) })).json as PushAnswer
  expect(levels.get('waitingPolls')?.()).toBe(0)
  const waiting = waitFor(cloud, start)
  await expect.poll(() => levels.get('waitingPolls')?.()).toBe(1)
  expect(levels.get('requestsUnderWay')?.()).toBe(1)
  // Only a poll that sleeps has a timer.
  await expect.poll(() => clock.pending).toEqual([50_000])
  clock.elapse(50_000)
  expect((await waiting).status).toBe(200)
  expect(await lineOf(lines, 'waiting')).toMatchObject({ route: 'pull', status: 200, waited: 50_000 })
  expect(seen).toContain('requestSeconds pull less 50')
  expect(seen).toContain('waitSeconds  =50')
  expect(levels.get('waitingPolls')?.()).toBe(0)
  await expect.poll(() => levels.get('requestsUnderWay')?.()).toBe(0)
})

test('who goes away without the answer is counted as gone, and says nothing of how fast answers are', async () => {
  const { lines, logger } = openLines()
  const { seen, levels, metrics } = openNumbers()
  await using cloud = await serveTestCloud({ metrics, server: { logger } })
  const start = (await cloud.ask('POST', '/sync/push', { body: pushBody(1, [put(1)]) })).json as PushAnswer
  const left = new AbortController()
  const waiting = waitFor(cloud, start, left.signal)
  await expect.poll(() => levels.get('waitingPolls')?.()).toBe(1)
  left.abort()
  await expect(waiting).rejects.toThrow()
  expect(await lineOf(lines, 'waiting')).toMatchObject({ route: 'pull', status: null, code: undefined })
  expect(seen).toContain('requests pull POST gone +1')
  expect(seen.filter((text) => text.startsWith('requestSeconds pull') || text.startsWith('errors'))).toEqual(
    [],
  )
  await expect.poll(() => levels.get('waitingPolls')?.()).toBe(0)
})

test('over HTTP/2 likewise: answered is answered, and who resets a stream is gone', async () => {
  const tls = createSelfSigned()
  const { lines, logger } = openLines()
  const { levels, metrics } = openNumbers()
  await using cloud = await serveTestCloud({ metrics, server: { tls, logger } })
  const session = connectHttp2(cloud.url, { ca: tls.cert })
  const ask2 = (request: string, more: { readonly [name: string]: string }) =>
    session.request({ ...more, authorization: `Bearer ${cloud.token}`, 'x-request-id': request })
  const answered = ask2('answered', { ':path': '/sync/devices' }).resume()
  await new Promise((resolve) => answered.once('close', resolve))
  expect(await lineOf(lines, 'answered')).toMatchObject({ route: 'devices', status: 200 })
  expect(levels.get('requestsUnderWay')?.()).toBe(0)
  const pushed = valueOf<PushAnswer>(
    await cloud.handler.handle({
      route: 'push',
      token: cloud.token,
      body: JSON.stringify(pushBody(1, [put(1)])),
    }),
  )
  const cursor = { epoch: pushed.epoch, generation: pushed.generation.id, version: 1, high: 1 }
  const body = { space: 'main', replica: 'replica-b', cursor, wait: 50 }
  const headers = { ':path': '/sync/pull', ':method': 'POST', 'content-type': 'application/json' }
  const left = ask2('left', headers)
  left.on('error', () => {}).end(JSON.stringify(body))
  await expect.poll(() => levels.get('waitingPolls')?.()).toBe(1)
  left.close(constants.NGHTTP2_CANCEL)
  expect(await lineOf(lines, 'left')).toMatchObject({ route: 'pull', status: null })
  await expect.poll(() => levels.get('waitingPolls')?.()).toBe(0)
  session.destroy()
})
