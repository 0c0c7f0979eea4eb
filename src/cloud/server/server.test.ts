import { request as httpRequest } from 'node:http'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { pushBody, put } from '../../../test/cloud/requests.ts'
import { ask, openTestCloud, serveTestCloud, type ServedCloud } from '../../../test/cloud/test-cloud.ts'
import { systemClock } from '../../kernel/clock.ts'
import { ROUTES } from '../../protocol/routes.ts'
import type { Grant } from '../directory.ts'
import { chooseEncoding } from './compress.ts'
import { isLoopback } from '../../http/addresses.ts'
import type { OpenApi } from '../../http/openapi.ts'
import { startServer } from './server.ts'

let cloud: ServedCloud
beforeAll(async () => {
  cloud = await serveTestCloud()
  const rows = Array.from({ length: 200 }, (_, at) => put(at, { name: `City ${at}` }))
  await cloud.ask('POST', '/sync/push', { body: pushBody(1, rows) })
})
afterAll(() => cloud[Symbol.asyncDispose]())

/** The bytes as sent, not decompressed by anybody. */
const raw = (
  path: string,
  headers: { readonly [name: string]: string },
  body?: string,
): Promise<{ encoding: string | undefined; bytes: Buffer }> =>
  new Promise((resolve, reject) => {
    const request = httpRequest(
      cloud.url + path,
      {
        method: body === undefined ? 'GET' : 'POST',
        headers: { authorization: `Bearer ${cloud.token}`, 'content-type': 'application/json', ...headers },
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () =>
          resolve({ encoding: response.headers['content-encoding'], bytes: Buffer.concat(chunks) }),
        )
      },
    )
    request.on('error', reject)
    request.end(body)
  })

describe('compressed answers', () => {
  const records = JSON.stringify({
    space: 'main',
    records: Array.from({ length: 200 }, (_, at) => ({ table: 'city', key: `[${at}]` })),
  })

  test.each([
    ['/sync/hydrate?space=main&replica=b', undefined],
    ['/sync/read', records],
  ])('%s in zstd, gzip and plain are the same', async (path, body) => {
    const plain = await raw(path, {}, body)
    const zstd = await raw(path, { 'accept-encoding': 'gzip, zstd' }, body)
    const gzip = await raw(path, { 'accept-encoding': 'gzip;q=0.5, br' }, body)
    expect([plain.encoding, zstd.encoding, gzip.encoding]).toEqual([undefined, 'zstd', 'gzip'])
    expect(plain.bytes.length).toBeGreaterThan(5_000)
    expect(zstd.bytes.length).toBeLessThan(plain.bytes.length / 3)
    expect(zstdDecompressSync(zstd.bytes).equals(plain.bytes)).toBe(true)
    expect(gunzipSync(gzip.bytes).equals(plain.bytes)).toBe(true)
  })

  test('a short answer is not worth it', async () => {
    expect((await raw('/sync/status?space=main', { 'accept-encoding': 'zstd' })).encoding).toBe(undefined)
  })

  test.each([
    [undefined, null],
    ['', null],
    ['br, deflate', null],
    ['identity', null],
    ['gzip', 'gzip'],
    ['GZIP, Zstd', 'zstd'],
    ['zstd;q=0, gzip', 'gzip'],
    ['zstd;q=0.0, gzip;q=0', null],
    ['zstd; q=0.1', 'zstd'],
    [',;,=,q', null],
  ])('accept-encoding %s chooses %s', (header, encoding) => {
    expect(chooseEncoding(header)).toBe(encoding)
  })
})

describe('what everybody may ask', () => {
  test('healthz and readyz', async () => {
    expect((await ask(cloud.url, 'GET', '/healthz')).json).toEqual({ status: 'ok' })
    expect((await ask(cloud.url, 'GET', '/readyz')).json).toEqual({ status: 'ready' })
    await using sick = await serveTestCloud({
      server: { checkStorage: () => Promise.reject(new Error('the disk is gone')) },
    })
    const answer = await ask(sick.url, 'GET', '/readyz')
    expect([answer.status, answer.code, answer.headers.get('retry-after')]).toEqual([503, 'unavailable', '1'])
    expect((await ask(sick.url, 'GET', '/healthz')).status).toBe(200)
  })

  test('every answer has the headers that keep browsers from harm, and none that lets a page read', async () => {
    for (const path of ['/', '/healthz', '/openapi.json', '/nothing', '/sync/status', '/%zz']) {
      const { headers } = await ask(cloud.url, 'GET', path, {
        headers: { origin: 'https://elsewhere.example' },
      })
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('content-security-policy')).toContain("default-src 'none'")
      expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
    }
    expect((await ask(cloud.url, 'OPTIONS', '/sync/push')).status).toBe(405)
  })

  test('OpenAPI 3.1: every route with its method, every reference points somewhere', async () => {
    const document = (await ask(cloud.url, 'GET', '/openapi.json')).json as OpenApi
    expect(document.openapi).toMatch(/^3\.1\./)
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    const served = Object.values(ROUTES).map(({ method, path }) => `${method} ${path.replace(':id', '{id}')}`)
    expect(described.toSorted()).toEqual(served.toSorted())
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(
      ([, reference = '']) => reference,
    )
    expect(references.length).toBeGreaterThan(20)
    for (const reference of references) {
      const target = reference
        .slice(2)
        .split('/')
        .reduce<unknown>((node, name) => (node as { [name: string]: unknown })[name], document)
      expect([reference, typeof target]).toEqual([reference, 'object'])
    }
    const ids = Object.values(document.paths).flatMap((methods) =>
      Object.values(methods).map((operation) => operation.operationId),
    )
    expect(new Set(ids).size).toBe(ids.length)
    for (const methods of Object.values(document.paths)) {
      for (const { parameters = [], responses } of Object.values(methods)) {
        expect(responses['200']).toBeDefined()
        for (const parameter of parameters) expect(parameter.schema).toBeDefined()
      }
    }
    const push = document.paths['/sync/push']?.['post']
    expect(push?.security).toEqual([{ token: [] }])
    expect(Object.keys(push?.responses ?? {})).toEqual(
      expect.arrayContaining(['200', '400', '401', '403', '404', '409', '413', '422', '429', '507']),
    )
  })

  test('the page loads nothing and runs nothing', async () => {
    const page = await ask(cloud.url, 'GET', '/')
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(page.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]+='/,
    )
    expect(page.text).not.toMatch(/<script|<img|<link|src=|style=|\son\w+=|https?:\/\//i)
    for (const { path } of Object.values(ROUTES)) expect(page.text).toContain(path.replace(':id', '{id}'))
    for (const [, anchor = ''] of page.text.matchAll(/href="#(\w+)"/g))
      expect(page.text).toContain(`id="${anchor}"`)
  })
})

describe('addresses that are none', () => {
  test.each([
    ['GET', '/nothing', 404, 'not_found', null],
    ['GET', '/sync/push/', 404, 'not_found', null],
    ['GET', '/SYNC/push', 404, 'not_found', null],
    ['GET', '/sync/devices/a/b', 404, 'not_found', null],
    ['GET', '/sync/push', 405, 'method_not_allowed', 'POST'],
    ['DELETE', '/sync/schema?space=main', 405, 'method_not_allowed', 'GET, PUT'],
    ['GET', '/sync/devices/x', 405, 'method_not_allowed', 'PATCH, DELETE'],
    ['POST', '/', 405, 'method_not_allowed', 'GET'],
    ['POST', '/healthz', 405, 'method_not_allowed', 'GET'],
  ])('%s %s', async (method, path, status, code, allow) => {
    const answer = await ask(cloud.url, method, path, method === 'POST' ? { body: '{}' } : {})
    expect([answer.status, answer.code, answer.headers.get('allow')]).toEqual([status, code, allow])
  })

  test('HEAD runs nothing', async () => {
    expect(
      (
        await ask(cloud.url, 'HEAD', '/sync/hydrate?space=main&replica=b', {
          headers: { authorization: `Bearer ${cloud.token}` },
        })
      ).status,
    ).toBe(405)
  })

  test.each([
    '/sync/status',
    '/sync/status?space=',
    '/sync/status?space=main&space=main',
    '/sync/status?space=main&more=1',
    '/sync/status?space=a%00b',
    '/sync/hydrate?space=main',
    '/sync/hydrate?space=main&replica=b&tables=%00',
    '/sync/status?__proto__=1&space=main',
  ])('a query that does not fit: %s', async (path) => {
    const answer = await cloud.ask('GET', path)
    expect([answer.status, answer.code]).toEqual([400, 'bad_request'])
  })
})

describe('rates', () => {
  test('of a token, and of an address', async () => {
    await using few = await serveTestCloud({ serverLimits: { tokenPerMinute: 3, addressPerMinute: 8 } })
    const codes: (string | undefined)[] = []
    for (let at = 0; at < 5; at++) codes.push((await few.ask('GET', '/sync/devices')).code)
    expect(codes).toEqual([undefined, undefined, undefined, 'rate_limited', 'rate_limited'])
    const other = await few.makeToken()
    const headers = { authorization: `Bearer ${other.token}` }
    expect((await few.ask('GET', '/sync/devices', { headers })).status).toBe(200)
    const answers = []
    for (let at = 0; at < 4; at++) answers.push(await ask(few.url, 'GET', '/sync/devices'))
    expect(answers.map((answer) => answer.status)).toEqual([401, 401, 429, 429])
    const wait = Number(answers.at(-1)?.headers.get('retry-after'))
    expect(wait).toBeGreaterThan(0)
    expect(wait).toBeLessThanOrEqual(60)
    expect((await ask(few.url, 'GET', '/healthz')).status).toBe(200)
  })

  test('under pressure requests are turned away, probes are not', async () => {
    await using busy = await serveTestCloud({ serverLimits: { loopDelayMs: 0.000_001 } })
    let answer = await busy.ask('GET', '/sync/devices')
    for (let turn = 0; turn < 100 && answer.status !== 503; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      answer = await busy.ask('GET', '/sync/devices')
    }
    expect([
      answer.code,
      answer.headers.get('retry-after'),
      answer.headers.get('x-content-type-options'),
    ]).toEqual(['unavailable', '2', 'nosniff'])
    expect((await ask(busy.url, 'GET', '/healthz')).status).toBe(200)
  })
})

describe('without tokens', () => {
  const grant: Grant = {
    tokenId: 'loopback',
    account: 'local',
    scopes: ['read', 'write', 'devices'],
    spaces: null,
    defaultSpace: 'default',
    device: null,
  }

  test.each([
    '0.0.0.0',
    '::',
    '192.168.0.1',
    'example.org',
    '',
    '127.0.0.1.example.org',
    'localhost.example.org',
  ])('I12: %s is refused', async (host) => {
    await using closed = await openTestCloud()
    const starting = startServer({
      handler: closed.handler,
      clock: systemClock,
      host,
      port: 0,
      version: '0',
      insecureLoopback: true,
      checkStorage: async () => {},
    })
    await expect(starting).rejects.toMatchObject({ code: 'insecure_address' })
  })

  test('I12: without `insecureLoopback` a loopback address is served with tokens', async () => {
    expect((await ask(cloud.url, 'GET', '/sync/devices')).status).toBe(401)
  })

  test('a request without a token is served; one from another name, or with a wrong token, is not', async () => {
    await using open = await serveTestCloud({ server: { insecureLoopback: true }, open: grant })
    const body = { logs: [{ id: 1, text: 'x' }] }
    expect((await ask(open.url, 'POST', '/sync/batch', { body })).json).toMatchObject({ logs_synced: 1 })
    expect((await ask(open.url, 'GET', '/sync/status?space=default')).status).toBe(200)
    expect(
      (await ask(open.url, 'GET', '/sync/devices', { headers: { authorization: 'Bearer nonsense' } })).status,
    ).toBe(401)
    for (const origin of ['https://evil.example', 'null', 'http://localhost.evil.example']) {
      expect((await ask(open.url, 'GET', '/sync/devices', { headers: { origin } })).code).toBe('forbidden')
    }
    expect((await ask(open.url, 'GET', '/sync/devices', { headers: { origin: open.url } })).status).toBe(200)
    const rebound = await new Promise<number>((resolve, reject) => {
      const request = httpRequest(
        `${open.url}/sync/devices`,
        { headers: { host: 'evil.example:80' } },
        (response) => {
          response.resume()
          resolve(response.statusCode ?? 0)
        },
      )
      request.on('error', reject)
      request.end()
    })
    expect(rebound).toBe(403)
  })

  test.each([
    ['127.0.0.1', true],
    ['127.255.0.3', true],
    ['::1', true],
    ['[::1]', true],
    ['LOCALHOST', true],
    ['::ffff:127.0.0.1', true],
    ['128.0.0.1', false],
    ['1.127.0.0', false],
    ['::2', false],
    ['127.1', false],
    ['localhost.', false],
  ])('%s is loopback: %s', (host, loopback) => {
    expect(isLoopback(host)).toBe(loopback)
  })
})
