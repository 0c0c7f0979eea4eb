import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { createGzip, createZstdCompress, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { pushBody, put } from '../../../test/cloud/requests.ts'
import { serveTestCloud, type Answer, type ServedCloud } from '../../../test/cloud/test-cloud.ts'
import { MAX_BODY_BYTES } from '../../protocol/limits.ts'
import { API_ROUTES, CONTRACT, type RouteContract } from '../handler/contract.ts'
import { ROUTES } from '../../protocol/routes.ts'

const MIB = 1024 * 1024
const BODY_ROUTES = API_ROUTES.filter((route) => (CONTRACT[route] as RouteContract).body !== undefined)

describe('hostile bodies', () => {
  let cloud: ServedCloud
  beforeAll(async () => {
    cloud = await serveTestCloud({ serverLimits: { bodyIdleMs: 300, bodyTotalMs: 2_000 } })
  })
  afterAll(async () => {
    expect(cloud.logged.filter((line) => line.startsWith('error'))).toEqual([])
    await cloud[Symbol.asyncDispose]()
  })

  const send = (
    body: unknown,
    headers: { readonly [name: string]: string } = {},
    route: (typeof API_ROUTES)[number] = 'push',
  ): Promise<Answer> =>
    cloud.ask(ROUTES[route].method, ROUTES[route].path.replace(':id', 'laptop'), { body, headers })

  /** What a refusal looks like whatever it refuses. */
  const expectRefusal = (answer: Answer, status: number, code: string): void => {
    expect([answer.status, answer.code]).toEqual([status, code])
    expect(answer.json).toEqual({
      error: {
        code,
        message: expect.any(String) as string,
        details: expect.any(Object) as object,
        retry: expect.any(Boolean) as boolean,
      },
    })
  }

  test('larger than the limit: by its length, and by its bytes when it says none', async () => {
    const large = Buffer.alloc(MAX_BODY_BYTES + 1, 0x20)
    expectRefusal(await send(large), 413, 'payload_too_large')
    expectRefusal(
      await sendChunked(cloud, (write) => {
        for (let sent = 0; sent <= MAX_BODY_BYTES; sent += MIB) write(Buffer.alloc(MIB, 0x20))
      }),
      413,
      'payload_too_large',
    )
  })

  test('at the limit it is read', async () => {
    const body = JSON.stringify(pushBody(1, [put('limit')], { replica: 'limit' }))
    const answer = await send(body + ' '.repeat(MAX_BODY_BYTES - body.length))
    expect(answer.status).toBe(200)
  })

  test.each([
    ['gzip', () => createGzip()],
    ['zstd', () => createZstdCompress()],
  ])('a bomb of 1 GiB in %s: memory stays bounded', async (encoding, create) => {
    const bomb = await compressZeros(create, 1_024)
    expect(bomb.length).toBeLessThan(8 * MIB)
    const before = process.memoryUsage.rss()
    let peak = before
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 2)
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => send(bomb, { 'content-encoding': encoding })),
    )
    clearInterval(watch)
    for (const answer of answers) expectRefusal(answer, 413, 'payload_too_large')
    // Two bodies at a time, each with what came out up to the limit, twice while it is joined; and what is not collected yet.
    expect(peak - before).toBeLessThan(4 * 3 * MAX_BODY_BYTES)
  })

  test.each([
    ['cut gzip', 'gzip', () => gzipSync('{"a":1}'.repeat(100)).subarray(0, 20)],
    ['cut zstd', 'zstd', () => zstdCompressSync('{"a":1}'.repeat(100)).subarray(0, 12)],
    ['no gzip', 'gzip', () => Buffer.from('{"space":"main"}')],
    ['no zstd', 'zstd', () => Buffer.from('{"space":"main"}')],
    ['zstd called gzip', 'gzip', () => zstdCompressSync('{}')],
    ['empty gzip', 'gzip', () => Buffer.alloc(0)],
    ['empty zstd', 'zstd', () => Buffer.alloc(0)],
    ['damaged gzip', 'gzip', () => gzipSync('{"a":1}'.repeat(100)).fill(0xaa, 12, 20)],
  ])('%s', async (_what, encoding, body) => {
    expectRefusal(await send(body(), { 'content-encoding': encoding }), 400, 'bad_request')
  })

  test('a compressed body of the largest size is read, in both encodings and upper case', async () => {
    for (const [at, [encoding, compress]] of (
      [
        ['GZIP', gzipSync],
        ['zstd', zstdCompressSync],
      ] as const
    ).entries()) {
      const body = JSON.stringify(pushBody(1, [put(`c${at}`)], { replica: `c${at}` }))
      const answer = await send(compress(body + ' '.repeat(MAX_BODY_BYTES - body.length)), {
        'content-encoding': encoding,
      })
      expect(answer.status).toBe(200)
    }
  })

  test.each(['br', 'deflate', 'gzip, gzip', 'zstd, gzip', 'x', ','])(
    'content-encoding %s is not read',
    async (encoding) => {
      expectRefusal(await send('{}', { 'content-encoding': encoding }), 415, 'unsupported_encoding')
    },
  )

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/jsonx',
    'application/json; charset=utf-16',
    'multipart/form-data',
    'x',
  ])('content-type %s is not read', async (type) => {
    expectRefusal(await send('{}', { 'content-type': type }), 415, 'unsupported_encoding')
  })

  test.each([
    'application/json',
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
    'Application/JSON',
  ])('content-type %s is', async (type) => {
    expectRefusal(await send('{}', { 'content-type': type }), 400, 'bad_request')
  })

  describe.each(BODY_ROUTES)('%s', (route) => {
    test.each([
      ['empty', ''],
      ['no JSON', '{'],
      ['text after JSON', '{} x'],
      ['NUL', '{"a":\u0000}'],
      ['a byte order mark', '\ufeff{}'],
      ['NaN', '{"mutation":NaN}'],
      ['depth of 100,000', '['.repeat(100_000)],
      ['balanced depth of 100,000', '['.repeat(100_000) + ']'.repeat(100_000)],
      ['objects 100,000 deep', '{"changes":'.repeat(100_000)],
      ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
      ['a number', '1'],
      ['null', 'null'],
      ['a list', '[]'],
      ['a text', '"x"'],
      ['true', 'true'],
      ['a huge number', '1e999'],
      ['a list for a text', '{"space":["main"],"name":["x"],"a":5}'],
      ['__proto__ only', '{"__proto__":{"space":"main","name":"x","replica":"r","id":"x"}}'],
      ['constructor', '{"constructor":{"prototype":{"space":"main"}},"name":{}}'],
    ])('%s is a 400', async (_what, body) => {
      const answer = await send(body, {}, route)
      expectRefusal(answer, 400, 'bad_request')
    })
  })

  test('__proto__ keys change nothing but the row that has them', async () => {
    const fields = '{"id":1,"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}'
    const body = JSON.stringify(pushBody(1, [put(1)], { replica: 'proto' })).replace(
      /"fields":\{[^}]*\}/,
      `"fields":${fields}`,
    )
    expect((await send(body)).status).toBe(200)
    expect(({} as { polluted?: boolean }).polluted).toBe(undefined)
    const read = await send({ space: 'main', records: [{ table: 'city', key: '[1]' }] }, {}, 'read')
    expect(read.text).toContain(`"fields":${fields}`)
  })

  test('I10: NUL, lone surrogates and numbers out of range refuse the row, and nothing else', async () => {
    const values = [
      '"\\u0000"',
      '"\\ud800"',
      '1e400',
      '9007199254740993',
      '{"$int":"1"}',
      '{"$x":1}',
      `${'['.repeat(40)}${']'.repeat(40)}`,
    ]
    const changes = values.map((value, at) =>
      JSON.stringify(put(`v${at}`, { v: 0 })).replace('"v":0', `"v":${value}`),
    )
    const body = JSON.stringify(pushBody(1, [], { replica: 'values' })).replace(
      '"changes":[]',
      `"changes":[${changes.join(',')},${JSON.stringify(put('fine'))}]`,
    )
    const answer = await send(body)
    expect(answer.status).toBe(200)
    const { results } = answer.json as { readonly results: readonly { readonly status: string }[] }
    expect(results.map((result) => result.status)).toEqual([...values.map(() => 'rejected'), 'ok'])
  })

  const deepRows = (depth: number): string => {
    const rows = ['['.repeat(depth) + ']'.repeat(depth), `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`].map(
      (value, at) => JSON.stringify(put(`d${depth}-${at}`, { v: 0 })).replace('"v":0', `"v":${value}`),
    )
    return JSON.stringify(pushBody(1, [put(`fine-${depth}`)], { replica: `deep-${depth}` })).replace(
      '"changes":[',
      `"changes":[${rows.join(',')},`,
    )
  }

  test('I9: a value that is too deep refuses its row, and nothing else', async () => {
    const answer = await send(deepRows(100))
    expect(answer.status).toBe(200)
    const { results } = answer.json as { readonly results: readonly { readonly status: string }[] }
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected', 'ok'])
  })

  test.each([10_000, 1_000_000])('values %i deep are no rows of anybody', async (depth) => {
    expectRefusal(await send(deepRows(depth)), 400, 'bad_request')
  })

  test('what is deep outside of a row is a 400', async () => {
    const deep = '['.repeat(10_000) + ']'.repeat(10_000)
    for (const route of BODY_ROUTES) {
      for (const name of ['space', 'replica', 'changes', 'cursor', 'records', 'tables', 'name', 'sessions'])
        expectRefusal(await send(`{"${name}":${deep}}`, {}, route), 400, 'bad_request')
    }
  })

  test('a body that stops arriving is given up, and so is one that drips', async () => {
    const stalled = await rawAnswer(cloud, 'content-length: 100', async (write) => write('{"a'))
    expect(stalled).toMatch(/^HTTP\/1.1 503 [^]*retry-after: 1[^]*"unavailable"/)
    const dripping = await rawAnswer(cloud, 'content-length: 100000', async (write, isOver) => {
      for (let drop = 0; drop < 200 && !isOver(); drop++) {
        write(' ')
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    })
    expect(dripping).toMatch(/^HTTP\/1.1 503 /)
  })

  test('a body that breaks off leaves the server as it was', async () => {
    await new Promise<void>((resolve) => {
      const socket = connect(Number(new URL(cloud.url).port), '127.0.0.1', () => {
        socket.write(
          `POST /sync/push HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${cloud.token}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"a`,
        )
        setTimeout(() => socket.destroy(), 50)
      })
      socket.on('close', () => resolve())
    })
    expect((await cloud.ask('GET', '/sync/devices')).status).toBe(200)
  })

  test.each([
    ['no HTTP', 'hello\r\n\r\n', /^HTTP\/1.1 400 [^]*"bad_request"/],
    [
      'headers too large',
      `GET / HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`,
      /^HTTP\/1.1 431 [^]*"bad_request"/,
    ],
    [
      'two lengths',
      'POST /sync/push HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n',
      /^HTTP\/1.1 400 /,
    ],
    [
      'length and chunks',
      'POST /sync/push HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n',
      /^HTTP\/1.1 400 /,
    ],
    [
      'an address that is none',
      'GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
      /^HTTP\/1.1 400 [^]*"bad_request"/,
    ],
  ])('%s', async (_what, bytes, answer) => {
    expect(await rawBytes(cloud, bytes)).toMatch(answer)
  })

  test('large bodies together are bounded too', async () => {
    await using small = await serveTestCloud({ serverLimits: { bodiesBytes: MIB } })
    const slow = Array.from({ length: 4 }, (_, at) =>
      small.ask('POST', '/sync/push', {
        body: pushBody(1, [put(1, { x: 'x'.repeat(400_000) })], { replica: `r${at}` }),
      }),
    )
    const statuses = (await Promise.all(slow)).map((answer) => answer.status)
    for (const status of statuses) expect([200, 503]).toContain(status)
    const single = await small.ask('POST', '/sync/push', {
      body: pushBody(1, [put(2, { x: 'x'.repeat(900_000) })], { replica: 'single' }),
    })
    expect(single.status).toBe(200)
    const tooMuch = await small.ask('POST', '/sync/push', {
      body: pushBody(1, [put(3, { x: 'x'.repeat(2 * MIB) })], { replica: 'much' }),
    })
    expect([tooMuch.status, tooMuch.code, tooMuch.headers.get('retry-after')]).toEqual([
      503,
      'unavailable',
      '1',
    ])
  })
})

/** A compressed stream of so many MiB of zeros. */
async function compressZeros(
  create: () => ReturnType<typeof createGzip> | ReturnType<typeof createZstdCompress>,
  mib: number,
): Promise<Buffer> {
  const stream = create()
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  const ended = new Promise((resolve) => stream.on('end', resolve))
  const zeros = Buffer.alloc(4 * MIB)
  for (let written = 0; written < mib; written += 4) {
    if (!stream.write(zeros)) await new Promise((resolve) => stream.once('drain', resolve))
  }
  stream.end()
  await ended
  return Buffer.concat(chunks)
}

function sendChunked(cloud: ServedCloud, fill: (write: (bytes: Buffer) => void) => void): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${cloud.token}`, 'content-type': 'application/json' }
    const request = httpRequest(`${cloud.url}/sync/push`, { method: 'POST', headers }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (text += chunk))
      response.on('end', () => {
        const json = JSON.parse(text) as { readonly error: { readonly code: string } }
        resolve({
          status: response.statusCode ?? 0,
          headers: new Headers(),
          text,
          json,
          code: json.error.code,
        })
      })
    })
    request.on('error', reject)
    fill((bytes) => request.write(bytes))
    request.end()
  })
}

function rawAnswer(
  cloud: ServedCloud,
  header: string,
  body: (write: (text: string) => void, isOver: () => boolean) => Promise<void> | void,
): Promise<string> {
  const head = `POST /sync/push HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${cloud.token}\r\ncontent-type: application/json\r\n${header}\r\n\r\n`
  return rawBytes(cloud, head, body)
}

function rawBytes(
  cloud: ServedCloud,
  bytes: string,
  more?: (write: (text: string) => void, isOver: () => boolean) => Promise<void> | void,
): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    let over = false
    const socket = connect(Number(new URL(cloud.url).port), '127.0.0.1', () => {
      socket.write(bytes)
      void more?.(
        (part) => {
          if (!over) socket.write(part)
        },
        () => over,
      )
    })
    socket.setEncoding('latin1')
    const finish = (): void => {
      over = true
      resolve(text)
      socket.destroy()
    }
    socket.on('data', (chunk) => {
      text += chunk
      if (/\r\n\r\n[^]*\}$/.test(text)) finish()
    })
    socket.on('close', finish)
    socket.on('error', finish)
  })
}
