import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { API_ROUTES, type ApiRoute } from '../../../src/cloud/handler/contract.ts'
import { HEADERS, ROUTES, SCOPES } from '../../../src/protocol/routes.ts'
import { PROTOCOL_VERSION } from '../../../src/protocol/version.ts'
import type { OpenStorage } from '../storages.ts'
import { validRequests, type ValidRequest } from '../valid-requests.ts'
import type { RawAnswer } from './http1-client.ts'
import { LEAK, OURS } from './leak.ts'
import { portray, portrayOwners } from './portrait.ts'
import { openWorld, type AttackWorld } from './world.ts'

type Headers = readonly (readonly [name: string, value: string])[]
type Front = keyof AttackWorld['fronts']
const FRONTS: readonly Front[] = ['http1', 'http2']
const PUBLIC = Object.values(ROUTES).filter(({ scope }) => scope === 'public')

/** What is shown with a request, and how it is then refused. */
interface Refusal {
  readonly name: string
  readonly show: (world: AttackWorld) => Headers | Promise<Headers>
  readonly status: number
  readonly code: string
  /** Absent: every route refuses it. */
  readonly at?: (route: ApiRoute, request: ValidRequest) => boolean
}

const bearer = (token: string): Headers => [['authorization', `Bearer ${token}`]]
const make = async (world: AttackWorld, input: Parameters<AttackWorld['cloud']['makeToken']>[0]) =>
  bearer((await world.cloud.makeToken(input)).token)
const unauthorized = { status: 401, code: 'unauthorized' }
const revoked = { status: 401, code: 'token_revoked' }
const forbidden = { status: 403, code: 'forbidden' }

const REFUSALS: readonly Refusal[] = [
  { name: 'no token', show: () => [], ...unauthorized },
  ...[
    'Bearer',
    'Bearer ',
    'Basic dTpw',
    'Bearer a b',
    `Bearer ${'x'.repeat(5_000)}`,
    'Bearer \u00ff',
    "Bearer ' OR 1=1 --",
    'Bearer __proto__',
  ].map((text): Refusal => ({
    name: `malformed: ${text.slice(0, 20)}`,
    show: () => [['authorization', text]],
    ...unauthorized,
  })),
  {
    name: 'the right token in the wrong place',
    show: ({ cloud }) => [
      ['authorization', cloud.token],
      ['token', cloud.token],
      ['cookie', `token=${cloud.token}`],
    ],
    ...unauthorized,
  },
  ...[
    (token: string) => `${token}x`,
    (token: string) => token.slice(0, -1),
    (token: string) => `${token.startsWith('a') ? 'b' : 'a'}${token.slice(1)}`,
    (token: string) => token.toUpperCase(),
  ].map((change, at): Refusal => ({
    name: `a wrong token (${at})`,
    show: ({ cloud }) => bearer(change(cloud.token)),
    ...unauthorized,
  })),
  { name: 'a revoked token', show: (world) => world.credentials('revoked'), ...revoked },
  { name: 'an expired token', show: (world) => make(world, { expiresAt: Date.now() - 1 }), ...revoked },
  ...SCOPES.map((scope): Refusal => ({
    name: `the scope ${scope} alone`,
    show: (world) => make(world, { scopes: [scope] }),
    at: (route) => ROUTES[route].scope !== scope,
    ...forbidden,
  })),
  ...SCOPES.map((scope): Refusal => ({
    name: `every scope but ${scope}`,
    show: (world) => make(world, { scopes: SCOPES.filter((other) => other !== scope) }),
    at: (route) => ROUTES[route].scope === scope,
    ...forbidden,
  })),
  { name: 'no scope', show: (world) => make(world, { scopes: [] }), ...forbidden },
  {
    name: 'another space',
    show: (world) => make(world, { spaces: ['elsewhere'], defaultSpace: 'main' }),
    at: (_route, { names }) => names !== 'account',
    ...forbidden,
  },
  {
    name: 'no space',
    show: (world) => make(world, { spaces: [] }),
    at: (_route, { names }) => names !== 'account',
    ...forbidden,
  },
  {
    name: 'a device that was deregistered',
    show: ({ cloud }) => [...bearer(cloud.token), [HEADERS.device, 'gone']],
    // With a token that is not bound this is the way back.
    at: (route) => route !== 'registerDevice',
    status: 403,
    code: 'device_deregistered',
  },
  {
    name: 'the token of a device that was deregistered',
    async show(world) {
      const id = 'short-lived'
      await world.cloud.directory.registerDevice('ours', { id, name: 'x', platform: 'ios' })
      const headers = await make(world, { device: id })
      await world.cloud.directory.deregisterDevice('ours', id)
      return headers
    },
    ...revoked,
  },
  {
    name: 'a token made for a device that was deregistered before',
    show: (world) => make(world, { device: 'gone' }),
    status: 403,
    code: 'device_deregistered',
  },
  {
    name: 'the token of another device',
    show: (world) => [...world.credentials('bound'), [HEADERS.device, 'laptop']],
    ...forbidden,
  },
  {
    name: 'the token of another device, to register this one',
    show: (world) => world.credentials('bound'),
    at: (route) => route === 'registerDevice',
    ...forbidden,
  },
  ...['', 'a b', '../x', 'x'.repeat(65), '\u00e9'].map((device): Refusal => ({
    name: `a device header that is none: "${device.slice(0, 9)}"`,
    show: ({ cloud }) => [...bearer(cloud.token), [HEADERS.device, device]],
    status: 400,
    code: 'bad_request',
  })),
  ...['', '0', String(PROTOCOL_VERSION + 1), LEAK].map((version): Refusal => ({
    name: `another protocol version: "${version}"`,
    show: ({ cloud }) => [...bearer(cloud.token), [HEADERS.protocol, version]],
    status: 426,
    code: 'needs_upgrade',
  })),
]

/** Every route against every kind of token, on one storage: a route that forgets one fails here by itself (I12). */
export function describeAuthority(name: string, open: OpenStorage): void {
  describe(`I12: authority: ${name}`, () => {
    let world: AttackWorld
    let requests: { readonly [R in ApiRoute]: ValidRequest }
    const asked: string[] = []

    beforeAll(async () => {
      world = await openWorld(await open(), (method) => asked.push(method))
      const { epoch, generation } = world.places()
      requests = validRequests({ epoch, generation, version: 0, high: 0 })
    })
    afterAll(() => world[Symbol.asyncDispose]())

    const send = async (
      front: Front,
      method: string,
      path: string,
      headers: Headers,
      body?: unknown,
    ): Promise<RawAnswer> => {
      const type: Headers = body === undefined ? [] : [['content-type', 'application/json']]
      const bytes = body === undefined ? null : Buffer.from(JSON.stringify(body))
      const answer = await world.fronts[front].send(
        { method, path, headers: [...headers, ...type], body: bytes, delivery: 'whole' },
        null,
      )
      if (answer === 'closed') throw new Error('the connection was closed without an answer')
      return answer
    }
    const sendTo = (front: Front, route: ApiRoute, headers: Headers): Promise<RawAnswer> =>
      send(front, ROUTES[route].method, requests[route].path, headers, requests[route].body)
    const codeOf = ({ text }: RawAnswer): unknown =>
      (JSON.parse(text) as { readonly error?: { readonly code: string } }).error?.code

    describe.each(API_ROUTES)('%s', (route) => {
      test.each(REFUSALS)('$name', async ({ show, status, code, at }) => {
        if (at !== undefined && !at(route, requests[route])) return
        const headers = await show(world)
        const before = await portrayDirectory()
        for (const front of FRONTS) {
          asked.length = 0
          const answer = await sendTo(front, route, headers)
          expect([answer.status, codeOf(answer)]).toEqual([status, code])
          expect(answer.text).not.toContain(OURS)
          expect(answer.text).not.toContain(LEAK)
          expect(answer.headers.get('www-authenticate')).toBe(status === 401 ? 'Bearer' : undefined)
          // Before any work: so there is nothing that it could have done to rows.
          expect(asked).toEqual([])
        }
        expect(await portrayDirectory()).toBe(before)
      })

      test('nobody without a token is waited for', async () => {
        const { method, path } = ROUTES[route]
        const answer = await world.fronts.http1.send(
          {
            method,
            path: path.replace(':id', 'laptop'),
            headers: [['content-type', 'application/json']],
            body: Buffer.from('{'),
            delivery: 'stalled',
          },
          null,
        )
        expect(answer === 'closed' ? answer : answer.status).toBe(401)
      })

      test('a token of another account reaches nothing of ours', async () => {
        const before = await portrayOurs()
        for (const scopes of [SCOPES, [ROUTES[route].scope]]) {
          for (const front of FRONTS) {
            const answer = await sendTo(
              front,
              route,
              await make(world, { account: `their-${route}`, scopes }),
            )
            expect(answer.status).toBeLessThan(500)
            expect(answer.text).not.toContain(OURS)
          }
        }
        expect(await portrayOurs()).toBe(before)
      })

      test('who may not reach a space is not told whether there is one', async () => {
        const { path, body, names } = requests[route]
        if (names === 'account') return
        const strangers = [{ spaces: ['elsewhere'] }, { account: 'strangers', scopes: ['read'] }] as const
        for (const stranger of strangers) {
          const answers: unknown[] = []
          for (const space of ['main', 'nowhere']) {
            const headers = await make(world, { ...stranger, defaultSpace: space })
            const named = names === 'space' && body !== undefined ? { ...body, space } : body
            const answer = await send(
              'http2',
              ROUTES[route].method,
              path.replace('main', space),
              headers,
              named,
            )
            expect(answer.status).toBeGreaterThanOrEqual(400)
            answers.push([answer.status, answer.text.replaceAll(space, '?')])
          }
          expect(answers[0]).toEqual(answers[1])
        }
        expect(await world.cloud.directory.listSpaces('strangers')).toEqual([])
      })

      test('its own scope alone is enough', async () => {
        const headers = await make(world, { scopes: [ROUTES[route].scope] })
        expect((await sendTo('http1', route, headers)).status).toBe(200)
        await world.restore()
      })
    })

    test('what is public shows and changes nothing, whatever token is shown', async () => {
      const before = await portray(world.cloud)
      asked.length = 0
      for (const { method, path } of PUBLIC) {
        for (const front of FRONTS) {
          const answers: RawAnswer[] = []
          for (const kind of ['none', 'wrong', 'revoked', 'all'] as const)
            answers.push(await send(front, method, path, world.credentials(kind)))
          expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
          expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
          expect(answers[0]?.text).not.toContain(OURS)
        }
      }
      expect(asked).toEqual([])
      expect(await portray(world.cloud)).toEqual(before)
    })

    const portrayDirectory = async (): Promise<string> => {
      const { directory } = world.cloud
      return (await portrayOwners(directory)) + JSON.stringify(await directory.listSpaces())
    }

    /** Others' spaces and tokens come and go. */
    async function portrayOurs(): Promise<string> {
      const { log, directory } = world.cloud
      const parts: unknown[] = []
      for (const { name, id } of await directory.listSpaces('ours'))
        parts.push(name, await log.status(id), (await log.hydratePage(id, null, 1_000)).lines)
      for (const { last_seen_at: _, ...device } of await directory.listDevices('ours')) parts.push(device)
      for (const { lastUsedAt: _, ...token } of await directory.listTokens('ours')) parts.push(token)
      return JSON.stringify(parts)
    }
  })
}
