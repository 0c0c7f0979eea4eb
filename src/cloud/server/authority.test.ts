import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { pushBody, put } from '../../../test/cloud/requests.ts'
import { ask, serveTestCloud, type Answer, type ServedCloud } from '../../../test/cloud/test-cloud.ts'
import { validRequests, type ValidRequest } from '../../../test/cloud/valid-requests.ts'
import type { PushAnswer } from '../../protocol/push.ts'
import { HEADERS, ROUTES, SCOPES } from '../../protocol/routes.ts'
import { PROTOCOL_VERSION } from '../../protocol/version.ts'
import { API_ROUTES, type ApiRoute } from '../handler/contract.ts'

/** Every route against every kind of token: a route that forgets one fails here by itself (I12). */
describe('I12: authority', () => {
  let cloud: ServedCloud
  let requests: { readonly [R in ApiRoute]: ValidRequest }

  beforeAll(async () => {
    cloud = await serveTestCloud()
    const body = pushBody(1, [put(1, { secret: 'ours-4711' })])
    const { epoch, generation } = (await cloud.ask('POST', '/sync/push', { body })).json as PushAnswer
    requests = validRequests({ epoch, generation: generation.id, version: 0, high: 0 })
    for (const id of ['laptop', 'gone']) {
      await cloud.ask('POST', '/sync/devices', { body: { id, name: 'name-4711', platform: 'linux' } })
    }
    await cloud.ask('DELETE', '/sync/devices/gone')
  })
  afterAll(() => cloud[Symbol.asyncDispose]())

  const send = (route: ApiRoute, headers: { readonly [name: string]: string }): Promise<Answer> => {
    const { path, body } = requests[route]
    return ask(cloud.url, ROUTES[route].method, path, { body, headers })
  }
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

  /** What nobody but us may have changed: rows, counts, devices. */
  const readOurs = async (): Promise<string> => {
    const [status, devices] = await Promise.all([
      cloud.ask('GET', '/sync/status?space=main'),
      cloud.ask('GET', '/sync/devices'),
    ])
    return status.text + devices.text.replace(/"last_seen_at":\d+/g, '')
  }

  async function expectRefused(
    route: ApiRoute,
    headers: { readonly [name: string]: string },
    status: number,
    code: string,
  ): Promise<void> {
    const before = await readOurs()
    const answer = await send(route, headers)
    expect([answer.status, answer.code]).toEqual([status, code])
    expect(answer.text).not.toContain('4711')
    expect(await readOurs()).toBe(before)
    expect(answer.headers.get('www-authenticate')).toBe(status === 401 ? 'Bearer' : null)
  }

  describe.each(API_ROUTES)('%s', (route) => {
    test('no token', () => expectRefused(route, {}, 401, 'unauthorized'))

    test.each([
      'Bearer',
      'Bearer ',
      'Basic dTpw',
      'Bearer a b',
      `Bearer ${'x'.repeat(5_000)}`,
      'Bearer \u00ff',
      "Bearer ' OR 1=1 --",
    ])('malformed: %s', (authorization) => expectRefused(route, { authorization }, 401, 'unauthorized'))

    test('the right token in the wrong place', () =>
      expectRefused(route, { authorization: cloud.token, token: cloud.token }, 401, 'unauthorized'))

    test('a wrong token', async () => {
      const [first = ''] = cloud.token
      await expectRefused(route, bearer(`${cloud.token}x`), 401, 'unauthorized')
      await expectRefused(route, bearer(cloud.token.slice(0, -1)), 401, 'unauthorized')
      await expectRefused(
        route,
        bearer(`${first === 'a' ? 'b' : 'a'}${cloud.token.slice(1)}`),
        401,
        'unauthorized',
      )
    })

    test('a revoked token', async () => {
      const { token, id } = await cloud.makeToken()
      await cloud.directory.revokeToken(id)
      await expectRefused(route, bearer(token), 401, 'token_revoked')
    })

    test('an expired token', async () => {
      const { token } = await cloud.makeToken({ expiresAt: Date.now() - 1 })
      await expectRefused(route, bearer(token), 401, 'token_revoked')
    })

    test('a token with every scope but the right one', async () => {
      const { token } = await cloud.makeToken({
        scopes: SCOPES.filter((scope) => scope !== ROUTES[route].scope),
      })
      await expectRefused(route, bearer(token), 403, 'forbidden')
    })

    test('a token of another space', async () => {
      const { token } = await cloud.makeToken({
        spaces: ['elsewhere'],
        defaultSpace: requests[route].names === 'default space' ? 'main' : 'elsewhere',
      })
      if (requests[route].names === 'account') return
      await expectRefused(route, bearer(token), 403, 'forbidden')
    })

    test('a token of another account reaches nothing of ours', async () => {
      const before = await readOurs()
      for (const scopes of [SCOPES, [ROUTES[route].scope]]) {
        const { token } = await cloud.makeToken({ account: `theirs-${route}`, scopes })
        const answer = await send(route, bearer(token))
        expect(answer.status).toBeLessThan(500)
        expect(answer.text).not.toContain('4711')
      }
      expect(await readOurs()).toBe(before)
    })

    test('a device that was deregistered', async () => {
      const headers = { ...bearer(cloud.token), [HEADERS.device]: 'gone' }
      if (route !== 'registerDevice') await expectRefused(route, headers, 403, 'device_deregistered')
    })

    test('the token of a device that was deregistered', async () => {
      const device = { id: `short-${route.toLowerCase()}`, name: 'x', platform: 'linux' }
      const registered = await cloud.ask('POST', '/sync/devices', { body: device })
      const { token } = registered.json as { readonly token: string }
      await cloud.ask('DELETE', `/sync/devices/${device.id}`)
      const before = await readOurs()
      const answer = await send(route, bearer(token))
      expect([401, 403]).toContain(answer.status)
      expect(answer.text).not.toContain('4711')
      expect(await readOurs()).toBe(before)
    })

    test.each(['', 'a b', '../x', 'x'.repeat(65)])('a device header that is none: "%s"', (device) =>
      expectRefused(route, { ...bearer(cloud.token), [HEADERS.device]: device }, 400, 'bad_request'),
    )

    test('another protocol version', () =>
      expectRefused(
        route,
        { ...bearer(cloud.token), [HEADERS.protocol]: String(PROTOCOL_VERSION + 1) },
        426,
        'needs_upgrade',
      ))

    test('no token is asked before the body: it is never waited for', async () => {
      const { method, path } = ROUTES[route]
      const head = `${method} ${path.replace(':id', 'laptop')} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n`
      expect(await firstLine(cloud.url, head)).toBe('HTTP/1.1 401 Unauthorized')
    })
  })

  test('the right token is served on every route', async () => {
    for (const route of API_ROUTES) {
      const answer = await send(route, bearer(cloud.token))
      expect([route, answer.status]).toEqual([route, 200])
    }
  })
})

/** The first line of what comes back for bytes sent as they are. */
function firstLine(url: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(bytes))
    let text = ''
    socket.setEncoding('latin1')
    socket.on('data', (chunk) => {
      text += chunk
      const end = text.indexOf('\r\n')
      if (end < 0) return
      socket.destroy()
      resolve(text.slice(0, end))
    })
    socket.on('error', reject)
  })
}
