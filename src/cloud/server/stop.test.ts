import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'

import { pushBody, put } from '../../../test/cloud/requests.ts'
import { serveTestCloud, type Answer, type ServedCloud } from '../../../test/cloud/test-cloud.ts'
import type { PullAnswer } from '../../protocol/pull.ts'
import type { PushAnswer } from '../../protocol/push.ts'

const pushRow = async (
  cloud: ServedCloud,
  mutation: number,
  id: number,
  replica = 'replica-a',
): Promise<PushAnswer> =>
  (await cloud.ask('POST', '/sync/push', { body: pushBody(mutation, [put(id)], { replica }) }))
    .json as PushAnswer

const pullFrom = (
  cloud: ServedCloud,
  { epoch, generation, head }: PushAnswer,
  wait: number,
  signal?: AbortSignal,
): Promise<Answer> => {
  const cursor = { epoch, generation: generation.id, version: head, high: head }
  return cloud.ask('POST', '/sync/pull', {
    body: { space: 'main', replica: 'replica-b', cursor, wait },
    ...(signal === undefined ? {} : { signal }),
  })
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe('long polls over HTTP', () => {
  test('wake on a commit', async () => {
    await using cloud = await serveTestCloud()
    const start = await pushRow(cloud, 1, 1)
    const waiting = Array.from({ length: 10 }, () => pullFrom(cloud, start, 50))
    await pause(100)
    await pushRow(cloud, 2, 2)
    for (const answer of await Promise.all(waiting)) {
      expect((answer.json as PullAnswer).records.map((record) => record.key)).toEqual(['[2]'])
    }
  })

  test('a client that goes away frees its place', async () => {
    await using cloud = await serveTestCloud({ limits: { pollsPerToken: 1 } })
    const start = await pushRow(cloud, 1, 1)
    const left = new AbortController()
    const waiting = pullFrom(cloud, start, 50, left.signal)
    await pause(100)
    const refused = await pullFrom(cloud, start, 50)
    expect([refused.status, refused.code]).toEqual([429, 'rate_limited'])
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    left.abort()
    await expect(waiting).rejects.toThrow()
    let answer = await pullFrom(cloud, start, 1)
    for (let turn = 0; turn < 100 && answer.status === 429; turn++) {
      await pause(20)
      answer = await pullFrom(cloud, start, 1)
    }
    expect(answer.status).toBe(200)
  })
})

describe('a stop', () => {
  test('answers waiting pulls, finishes requests under way, and refuses what comes later', async () => {
    const cloud = await serveTestCloud()
    const start = await pushRow(cloud, 1, 1)
    const waiting = [pullFrom(cloud, start, 50), pullFrom(cloud, start, 50)]
    const rows = Array.from({ length: 2_000 }, (_, at) => put(at + 10))
    const working = cloud.ask('POST', '/sync/push', { body: pushBody(2, rows) })
    await pause(100)
    await cloud.close()
    for (const answer of await Promise.all(waiting))
      expect([answer.status, (answer.json as PullAnswer).records.length <= 2_000]).toEqual([200, true])
    expect((await working).status).toBe(200)
    await expect(cloud.ask('GET', '/healthz')).rejects.toThrow()
    await cloud[Symbol.asyncDispose]()
  })

  test('a connection that was kept open is told so in the usual form', async () => {
    const cloud = await serveTestCloud({ serverLimits: { stopMs: 3_000 } })
    const start = await pushRow(cloud, 1, 1)
    // The first request keeps the connection busy through the stop; the second comes over the same one.
    const cursor = { epoch: start.epoch, generation: start.generation.id, version: 1, high: 1 }
    const body = JSON.stringify({ space: 'main', replica: 'b', cursor, wait: 50 })
    const head = `authorization: Bearer ${cloud.token}\r\nhost: x\r\n`
    const text = await new Promise<string>((resolve) => {
      let seen = ''
      const socket = connect(Number(new URL(cloud.url).port), '127.0.0.1', () => {
        socket.write(
          `POST /sync/pull HTTP/1.1\r\n${head}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
        )
        setTimeout(() => void cloud.close(), 100)
      })
      socket.setEncoding('latin1')
      socket.on('data', (chunk) => (seen += chunk))
      socket.on('close', () => resolve(seen))
    })
    expect(text).toMatch(/^HTTP\/1.1 200 [^]*connection: close[^]*"has_more":false/i)
    await cloud[Symbol.asyncDispose]()
  })

  test('does not wait for connections on which nothing is asked', async () => {
    const cloud = await serveTestCloud({ serverLimits: { stopMs: 60_000 } })
    const port = Number(new URL(cloud.url).port)
    const silent = connect(port, '127.0.0.1')
    const begun = connect(port, '127.0.0.1', () => begun.write('POST /sync/push HTTP/1.1\r\nhost:'))
    const closed = [silent, begun].map((socket) => new Promise((resolve) => socket.on('close', resolve)))
    for (const socket of [silent, begun]) socket.on('error', () => {}).resume()
    const start = await pushRow(cloud, 1, 1)
    const waiting = pullFrom(cloud, start, 50)
    await pause(100)
    await Promise.all([cloud.close(), ...closed])
    expect((await waiting).status).toBe(200)
    await cloud[Symbol.asyncDispose]()
  }, 20_000)

  test('is bounded: a request that never ends is cut', async () => {
    const cloud = await serveTestCloud({ serverLimits: { stopMs: 200 } })
    const socket = connect(Number(new URL(cloud.url).port), '127.0.0.1')
    const closed = new Promise((resolve) => socket.on('close', resolve))
    socket.on('error', () => {})
    socket.resume()
    socket.write(
      `POST /sync/push HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${cloud.token}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`,
    )
    await pause(100)
    await Promise.all([cloud.close(), closed])
    await cloud[Symbol.asyncDispose]()
  })

  test('cuts a hydrate short: what arrived has no end line', async () => {
    const cloud = await serveTestCloud({ limits: { hydratePage: 10 }, serverLimits: { stopMs: 5_000 } })
    const big = 'x'.repeat(20_000)
    await cloud.ask('POST', '/sync/push', {
      body: pushBody(
        1,
        Array.from({ length: 1_000 }, (_, at) => put(at, { big })),
      ),
    })
    const response = await fetch(`${cloud.url}/sync/hydrate?space=main&replica=b`, {
      headers: { authorization: `Bearer ${cloud.token}`, 'accept-encoding': 'identity' },
    })
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    await reader.read()
    const closing = cloud.close()
    // A stop goes on for a while before it ends anything; who read on meanwhile could be through.
    for (let asked = 0; asked < 10_000 && (await isServed(cloud)); asked++);
    let text = ''
    const reading = async (): Promise<void> => {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return
        text += Buffer.from(value).toString('latin1')
      }
    }
    await expect(reading()).rejects.toThrow()
    expect(text).not.toContain('"end":true')
    await closing
    await cloud[Symbol.asyncDispose]()
  })
})

const isServed = async (cloud: ServedCloud): Promise<boolean> =>
  cloud.ask('GET', '/healthz').then(
    ({ status }) => status === 200,
    () => false,
  )

describe('at the same time', () => {
  test('I3, I5: two connections push into one space; every change has its own version', async () => {
    await using cloud = await serveTestCloud()
    const runs = ['one', 'two', 'three'].map(async (replica, at) => {
      for (let mutation = 1; mutation <= 30; mutation++) {
        const body = pushBody(mutation, [put(at * 1_000 + mutation), put(`${replica}-${mutation}`)], {
          replica,
        })
        // Each twice at once, as a client that lost the answer would.
        const [first, second] = await Promise.all([
          cloud.ask('POST', '/sync/push', { body }),
          cloud.ask('POST', '/sync/push', { body }),
        ])
        const results = (first.json as PushAnswer).results
        expect(results.every((result) => result.status === 'ok')).toBe(true)
        expect((second.json as PushAnswer).results).toEqual(results)
      }
    })
    await Promise.all(runs)
    const status = (await cloud.ask('GET', '/sync/status?space=main')).json as {
      head: number
      records: number
    }
    expect(status).toMatchObject({ head: 180, records: 180 })
    const lines = (await cloud.ask('GET', '/sync/hydrate?space=main&replica=x')).text
      .trimEnd()
      .split('\n')
      .slice(1, -1)
    const versions = lines.map((line) => (JSON.parse(line) as { version: number }).version)
    expect(new Set(versions).size).toBe(180)
  })
})
