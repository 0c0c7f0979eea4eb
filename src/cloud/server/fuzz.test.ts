import fc from 'fast-check'
import { request as httpRequest } from 'node:http'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { beside, fitting } from '../../../test/cloud/arbitrary-request.ts'
import { serveTestCloud, type ServedCloud } from '../../../test/cloud/test-cloud.ts'
import { ERRORS } from '../../kernel/errors.ts'
import { HEADERS, ROUTES } from '../../protocol/routes.ts'
import { CONTRACT, type RouteContract } from '../handler/contract.ts'

/** The same requests each time: each of the statuses below has to come up. Any other by hand. */
const SEED = Number(process.env['TIDEMARK_FUZZ_SEED'] ?? 1)
const RUNS = 500
/** Silence that counts as a hang: far more than a busy machine needs. */
const HANG_MS = 10_000
const ROUTE_NAMES = Object.keys(ROUTES) as (keyof typeof ROUTES)[]

/** Methods, addresses, headers and bodies mixed: every one gets an answer in the one form, none of them a 5xx. */
describe('HTTP that nobody meant', () => {
  let cloud: ServedCloud
  beforeAll(async () => {
    cloud = await serveTestCloud()
  })
  afterAll(() => cloud[Symbol.asyncDispose]())

  const headerText = fc.string({
    unit: fc
      .integer({ min: 0x20, max: 0xff })
      .filter((code) => code !== 0x7f)
      .map((code) => String.fromCharCode(code)),
    maxLength: 20,
  })
  const wildHeaders = fc.dictionary(
    fc.constantFrom(
      ...Object.values(HEADERS),
      'accept-encoding',
      'accept',
      'content-encoding',
      'content-type',
      'cookie',
      'expect',
      'origin',
      'range',
      'x-forwarded-for',
      'if-none-match',
    ),
    fc.oneof(
      headerText,
      fc.constantFrom(
        '1',
        'gzip',
        'zstd',
        'application/json',
        'text/plain',
        'phone',
        '100-continue',
        'bytes=0-1',
      ),
    ),
    { maxKeys: 3, noNullPrototype: true },
  )
  const segment = fc.oneof(
    fc.constantFrom('phone', '.', '..', '%00', '%2e%2e', '%ff', '*', ':id'),
    fc.webSegment(),
  )
  const query = fc.oneof(
    fc.constantFrom('', '?space=main', '?space=main&replica=r', '?', '?&&==', '?space[]=1', '?space=main#x'),
    fc.webQueryParameters().map((text) => `?${text}`),
  )
  const requests = fc.constantFrom(...ROUTE_NAMES).chain((route) => {
    const contract: RouteContract | undefined =
      route in CONTRACT ? CONTRACT[route as keyof typeof CONTRACT] : undefined
    const fits = contract?.body === undefined ? fc.constant(undefined) : fitting(contract.body)
    const text = fc
      .oneof(fits, beside(fits))
      .map((value) => (JSON.stringify(value) ?? '').replace(/"wait":\d+/g, '"wait":0'))
    const body = fc
      .tuple(
        text,
        fc.constantFrom<(text: string) => Uint8Array>(
          (text) => Buffer.from(text),
          gzipSync,
          zstdCompressSync,
        ),
      )
      .map(([text, pack]) => pack(text))
    return fc.record({
      method: fc.oneof(
        { weight: 4, arbitrary: fc.constant(ROUTES[route].method) },
        {
          weight: 1,
          arbitrary: fc.constantFrom(
            'GET',
            'POST',
            'PUT',
            'PATCH',
            'DELETE',
            'HEAD',
            'OPTIONS',
            'TRACE',
            'PROPFIND',
          ),
        },
      ),
      path: fc.tuple(segment, query).map(([id, search]) => ROUTES[route].path.replace(':id', id) + search),
      headers: wildHeaders,
      body: fc.oneof(body, fc.uint8Array({ maxLength: 50 })),
    })
  })

  test('is answered', async () => {
    const statuses = new Map<number, number>()
    await fc.assert(
      fc.asyncProperty(requests, async ({ method, path, headers, body }) => {
        const answer = await send(cloud, method, path, headers, body)
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
        expect(answer.status).toBeLessThan(500)
        if (answer.status < 400 || method === 'HEAD') return
        const { error } = JSON.parse(answer.text) as {
          readonly error: { readonly code: string; readonly retry: boolean }
        }
        expect(Object.keys(ERRORS)).toContain(error.code)
      }),
      { numRuns: RUNS, seed: SEED },
    )
    for (const status of [200, 400, 404, 405, 415]) expect([...statuses.keys()]).toContain(status)
    expect(cloud.logged).toEqual([])
  })
})

function send(
  cloud: ServedCloud,
  method: string,
  path: string,
  headers: { readonly [name: string]: string },
  body: Uint8Array,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const bodied = method !== 'GET' && method !== 'HEAD'
    const url = new URL(cloud.url)
    const request = httpRequest(
      {
        host: url.hostname,
        port: url.port,
        method,
        path,
        headers: {
          authorization: `Bearer ${cloud.token}`,
          ...(bodied ? { 'content-type': 'application/json', 'content-length': body.length } : {}),
          ...headers,
        },
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        )
        response.on('error', reject)
      },
    )
    request.on('error', reject)
    request.setTimeout(HANG_MS, () => request.destroy(new Error('no answer')))
    request.end(bodied ? body : undefined)
  })
}
