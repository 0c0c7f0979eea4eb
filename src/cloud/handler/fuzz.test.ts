import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import fc, { type Arbitrary } from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { beside, fitting, oddity } from '../../../test/cloud/arbitrary-request.ts'
import { pushBody, put } from '../../../test/cloud/requests.ts'
import { openTestCloud, valueOf, type TestCloud } from '../../../test/cloud/test-cloud.ts'
import { systemClock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { PushAnswer } from '../../protocol/push.ts'
import { openStorage } from '../server/storage.ts'
import { API_ROUTES, CONTRACT, type ApiRoute, type RouteContract } from './contract.ts'
import type { CloudRequest } from './handler.ts'

/** The same requests each time, or a chance of nothing but refusals would fail the last lines; any other by hand. */
const SEED = Number(process.env['TIDEMARK_FUZZ_SEED'] ?? 1)
/** A run on the disk may wait for the disk. */
const RUNS: { readonly [storage: string]: number } = { memory: 400, sqlite: 100 }

/** `value` in one of six cases, else `usual`. */
const rarely = <T>(value: Arbitrary<T>, usual: T): Arbitrary<T> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: value })

/**
 * Requests from each route's schema and from beside it. Whatever comes in, the answer is one, or an error that
 * blames the request: never `internal`, never nothing.
 */
describe.each(['memory', 'sqlite'])('no request makes the cloud fail: %s', (storage) => {
  let cloud: TestCloud
  let folder: string
  let history: PushAnswer
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tidemark-fuzz-'))
    cloud = await openTestCloud(
      storage === 'memory' ? {} : { storage: await openStorage({ data: folder }, { clock: systemClock }) },
    )
    const body = JSON.stringify(pushBody(1, [put(1), put(2), put(1, {}, { table: 'other' })]))
    history = valueOf<PushAnswer>(await cloud.handler.handle({ route: 'push', token: cloud.token, body }))
  })
  afterAll(async () => {
    await cloud[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })

  async function outcome(request: CloudRequest): Promise<string> {
    try {
      const answer = await cloud.handler.handle(request)
      if (answer.kind === 'json') JSON.stringify(answer.value)
      else for await (const lines of answer.lines) lines.split('\n')
      return 'answered'
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error
      return error.status >= 400 && error.status < 500 ? 'refused' : error.code
    }
  }

  const bodyOf = (contract: RouteContract): Arbitrary<string | undefined> => {
    if (contract.body === undefined) return fc.constant(undefined)
    const fits = fitting(contract.body)
    const values = fc.oneof(
      { weight: 3, arbitrary: fits },
      { weight: 3, arbitrary: beside(fits) },
      { weight: 1, arbitrary: oddity },
    )
    // Waiting is tested elsewhere.
    const text = values.map((value) => (JSON.stringify(value) ?? '').replace(/"wait":\d+/g, '"wait":0'))
    return fc.oneof(
      { weight: 9, arbitrary: text },
      {
        weight: 1,
        arbitrary: fc.tuple(text, fc.nat()).map(([whole, at]) => whole.slice(0, at % (whole.length + 1))),
      },
    )
  }

  const queryOf = (contract: RouteContract): Arbitrary<CloudRequest['query']> => {
    const text = fc.oneof(
      { weight: 5, arbitrary: fc.constant('main') },
      { weight: 1, arbitrary: fc.constantFrom('other', 'city', '') },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
    )
    const value = fc.oneof(
      { weight: 5, arbitrary: text },
      { weight: 1, arbitrary: fc.array(text, { maxLength: 3 }) },
    )
    const { properties = {} } = (contract.query ?? {}) as { readonly properties?: object }
    const names = Object.keys(properties)
    const known = fc.record(Object.fromEntries(names.map((name) => [name, value])), { requiredKeys: [] })
    return fc
      .tuple(known, rarely<object>(fc.dictionary(fc.string(), value, { maxKeys: 1 }), {}))
      .map(([one, other]) => ({ ...other, ...one }))
  }

  const requestOf = (route: ApiRoute): Arbitrary<CloudRequest> =>
    fc.record({
      route: fc.constant(route),
      token: fc.constant(cloud.token),
      id: fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom('phone', 'laptop', '__proto__') },
        { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
      ),
      device: rarely(fc.constantFrom('phone', 'laptop', '', 'a b'), undefined),
      protocol: rarely(fc.constantFrom('1', '2', '', 'x'), undefined),
      resume: rarely(
        fc.oneof(
          fc.base64String(),
          fc
            .constantFrom({ head: 1, table: 'city', key: '[1]' }, { head: 0, table: '', key: '' })
            .map((place) => Buffer.from(JSON.stringify(place)).toString('base64url')),
        ),
        undefined,
      ),
      query: queryOf(CONTRACT[route]),
      body: bodyOf(CONTRACT[route]),
    })

  /** A chance text is no history of this cloud, and a chance number no next mutation: without this none would get far. */
  function aim(request: CloudRequest, run: number): CloudRequest {
    if (typeof request.body !== 'string') return request
    const body = request.body
      .replace(
        /"epoch":"[^"]*","generation":"[^"]*"/,
        `"epoch":"${history.epoch}","generation":"${history.generation.id}"`,
      )
      .replace(/"(version|high)":\d+/g, '"$1":0')
      .replace(/"replica":"[^"]*","mutation":\d+/, `"replica":"run-${run}","mutation":1`)
    return { ...request, body }
  }

  test.each(API_ROUTES)('%s', async (route) => {
    const seen = new Map<string, number>()
    let run = 0
    await fc.assert(
      fc.asyncProperty(requestOf(route), async (request) => {
        // Some requests take it away.
        await cloud.directory.registerDevice('ours', { id: 'phone', name: 'Phone', platform: 'ios' })
        const result = await outcome(run++ % 4 === 0 ? request : aim(request, run))
        seen.set(result, (seen.get(result) ?? 0) + 1)
        expect(['answered', 'refused']).toContain(result)
      }),
      { numRuns: RUNS[storage] ?? 0, seed: SEED },
    )
    // A fuzzer whose requests are all refused would see nothing.
    expect([...seen.keys()].toSorted()).toEqual(['answered', 'refused'])
    expect(cloud.logged).toEqual([])
  })
})
