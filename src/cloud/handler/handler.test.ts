import { describe, expect, test } from 'vitest'

import { openTestCloud, valueOf, type TestCloud } from '../../../test/cloud/test-cloud.ts'
import { pushBody, put } from '../../../test/cloud/requests.ts'
import { MAX_CLAIM_CHARS, MAX_NAME_CHARS } from '../../protocol/limits.ts'
import type { PushAnswer } from '../../protocol/push.ts'
import type { DeviceAnswer } from '../../protocol/status.ts'
import { PROTOCOL_VERSION } from '../../protocol/version.ts'
import type { Log } from '../log/log.ts'
import type { CloudRequest } from './handler.ts'

const ask = (
  cloud: TestCloud,
  request: Omit<CloudRequest, 'token' | 'body'> & { readonly token?: string; readonly body?: unknown },
) =>
  cloud.handler.handle({
    token: cloud.token,
    ...request,
    body: request.body === undefined ? undefined : JSON.stringify(request.body),
  })

const push = async (
  cloud: TestCloud,
  mutation: number,
  changes: ReturnType<typeof put>[],
  more: Parameters<typeof pushBody>[2] = {},
) => valueOf<PushAnswer>(await ask(cloud, { route: 'push', body: pushBody(mutation, changes, more) }))

const hydrate = async (cloud: TestCloud, more: Partial<CloudRequest> = {}): Promise<unknown[]> => {
  const answer = await cloud.handler.handle({
    route: 'hydrate',
    token: cloud.token,
    query: { space: 'main', replica: 'replica-b' },
    ...more,
  })
  if (answer.kind !== 'lines') throw new Error('no lines')
  let text = ''
  for await (const lines of answer.lines) text += lines
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
}

describe('spaces', () => {
  test('appear with the first push, schema or hydrate of a token that may write', async () => {
    await using cloud = await openTestCloud()
    await push(cloud, 1, [put(1)], { space: 'by-push' })
    await ask(cloud, { route: 'putSchema', body: { space: 'by-schema', replica: 'replica-a', tables: [] } })
    await ask(cloud, { route: 'hydrate', query: { space: 'by-hydrate', replica: 'replica-a' } })
    const names = (await cloud.directory.listSpaces('ours')).map((space) => space.name)
    expect(names.toSorted()).toEqual(['by-hydrate', 'by-push', 'by-schema'])
  })

  test('do not appear by reading', async () => {
    await using cloud = await openTestCloud()
    const reader = (await cloud.makeToken({ scopes: ['read'] })).token
    const missing = { code: 'space_not_found', details: { space: 'typo' } }
    const query = { space: 'typo', replica: 'replica-a' }
    await expect(ask(cloud, { route: 'hydrate', query, token: reader })).rejects.toMatchObject(missing)
    await expect(ask(cloud, { route: 'status', query: { space: 'typo' } })).rejects.toMatchObject(missing)
    await expect(ask(cloud, { route: 'schema', query: { space: 'typo' } })).rejects.toMatchObject(missing)
    await expect(ask(cloud, { route: 'read', body: { space: 'typo', records: [] } })).rejects.toMatchObject(
      missing,
    )
    expect(await cloud.directory.listSpaces()).toEqual([])
  })

  test('I11: a pull into a space that the cloud lost is told so', async () => {
    await using cloud = await openTestCloud()
    const cursor = { epoch: 'gone', generation: 'gone', version: 7, high: 9 }
    const body = { space: 'lost', replica: 'replica-a', cursor }
    await expect(ask(cloud, { route: 'pull', body })).rejects.toMatchObject({ code: 'lost_history' })
    const token = (await cloud.makeToken({ scopes: ['read'] })).token
    await expect(
      ask(cloud, { route: 'pull', body: { ...body, space: 'other' }, token }),
    ).rejects.toMatchObject({ code: 'space_not_found' })
  })

  test('I12: of one name in two accounts are two', async () => {
    await using cloud = await openTestCloud()
    const theirs = (await cloud.makeToken({ account: 'theirs' })).token
    await push(cloud, 1, [put(1, { secret: 'ours' })])
    await ask(cloud, { route: 'push', token: theirs, body: pushBody(1, [put(1, { secret: 'theirs' })]) })
    const records = { space: 'main', records: [{ table: 'city', key: '[1]' }] }
    const [ours, others] = await Promise.all([
      ask(cloud, { route: 'read', body: records }),
      ask(cloud, { route: 'read', body: records, token: theirs }),
    ])
    expect(JSON.stringify(ours)).toContain('"secret":"ours"')
    expect(JSON.stringify(others)).toContain('"secret":"theirs"')
  })

  test('a space that only the directory knows, after a crash between the two, is made good', async () => {
    await using cloud = await openTestCloud()
    await cloud.directory.ensureSpace('ours', 'half')
    expect(
      valueOf<{ head: number }>(await ask(cloud, { route: 'status', query: { space: 'half' } })).head,
    ).toBe(0)
  })
})

describe('push', () => {
  test('I3: the same bytes again have one effect; other bytes of the same number are a fork', async () => {
    await using cloud = await openTestCloud()
    const body = JSON.stringify(pushBody(1, [put(1)]))
    const send = (bytes: Uint8Array | string) =>
      cloud.handler.handle({ route: 'push', token: cloud.token, body: bytes })
    const first = valueOf<PushAnswer>(await send(body))
    expect(valueOf<PushAnswer>(await send(Buffer.from(body)))).toEqual(first)
    await expect(send(`${body} `)).rejects.toMatchObject({ code: 'replica_forked' })
    expect(
      valueOf<{ head: number }>(await ask(cloud, { route: 'status', query: { space: 'main' } })).head,
    ).toBe(1)
  })

  test('I9: a row that is wrong in itself is refused alone', async () => {
    await using cloud = await openTestCloud()
    const { results } = await push(cloud, 1, [put(1), put(2, { x: { $int: '5' } }), put(3)])
    expect(results.map((result) => result.status)).toEqual(['ok', 'rejected', 'ok'])
  })

  const nested = (levels: number): unknown => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`)
  test.each<readonly [string, unknown]>([
    ['a number', { i: 1 }],
    ['an object under a name with a line feed', { 'a\nb': { x: 1 } }],
    ['no name', { '': '["x"]' }],
    ['a name too long', { ['n'.repeat(3 * MAX_NAME_CHARS)]: '["x"]' }],
    ['a value too long', { i: 'x'.repeat(3 * MAX_CLAIM_CHARS) }],
    ['a list', ['x']],
    ['nothing', null],
    ['depth', { i: nested(20) }],
  ])('I9: claims that do not fit are the fault of their row alone: %s', async (_, wrong) => {
    await using cloud = await openTestCloud()
    const claims = wrong as { [index: string]: string }
    const good = { 'a\nb': '["x"]' }
    const { results } = await push(cloud, 1, [
      put(1, {}, { claims: good }),
      put(2, {}, { claims }),
      { ...put(3, {}, { claims }), op: 'delete' },
      put(4),
    ])
    const rejected = { status: 'rejected', code: 'unprocessable', message: expect.stringContaining('claim') }
    expect(results).toEqual([{ status: 'ok', version: 1 }, rejected, rejected, { status: 'ok', version: 2 }])
    expect(JSON.stringify(results)).not.toContain('xxx')
  })

  test('I9: they are in a push of parts too, and a repeat of it is answered the same', async () => {
    await using cloud = await openTestCloud()
    const claims = { i: 1 } as unknown as { [index: string]: string }
    const part = (index: number) => ({ part: { index, of: 2, attempt: 'a' } })
    const parts = [
      pushBody(1, [put(1), put(2, {}, { claims })], part(0)),
      pushBody(1, [put(3, {}, { claims }), put(4)], part(1)),
    ]
    const send = async () => {
      const answers = []
      for (const body of parts) answers.push(await ask(cloud, { route: 'push', body }))
      return valueOf<PushAnswer>(answers[1] as (typeof answers)[number])
    }
    const answer = await send()
    expect(answer.results.map(({ status }) => status)).toEqual(['ok', 'rejected', 'rejected', 'ok'])
    expect(await send()).toEqual(answer)
  })

  test('I9: claims that do not fit hide nothing else that is wrong', async () => {
    await using cloud = await openTestCloud()
    const claims = { i: 1 } as unknown as { [index: string]: string }
    const wrong = { ...put(2, {}, { claims }), base: -1 }
    await expect(push(cloud, 1, [put(1, {}, { claims }), wrong])).rejects.toMatchObject({
      code: 'bad_request',
      details: { at: '/changes/1/base' },
    })
  })

  test('what is wrong is named by its place, never by its value', async () => {
    await using cloud = await openTestCloud()
    const wrong = { ...put(1), base: 'secret' } as unknown as ReturnType<typeof put>
    const refusal = push(cloud, 1, [put(0), wrong])
    await expect(refusal).rejects.toMatchObject({ code: 'bad_request', details: { at: '/changes/1/base' } })
    await expect(refusal).rejects.not.toThrow(/secret/)
  })
})

describe('hydrate', () => {
  const fill = async (cloud: TestCloud, rows: number) => {
    await push(
      cloud,
      1,
      Array.from({ length: rows }, (_, at) => put(at + 1)),
    )
    await push(cloud, 2, [put(1, {}, { table: 'other' })])
  }

  test('I11: tells when the space has moved on since what was read before', async () => {
    await using cloud = await openTestCloud({ limits: { hydratePage: 4 } })
    await fill(cloud, 10)
    let mutation = 3
    const lines: unknown[] = []
    const answer = await cloud.handler.handle({
      route: 'hydrate',
      token: cloud.token,
      query: { space: 'main', replica: 'reader' },
    })
    if (answer.kind !== 'lines') throw new Error('no lines')
    for await (const text of answer.lines) {
      for (const line of text.split('\n')) if (line !== '') lines.push(JSON.parse(line))
      // A row of a page that was read is changed after the first, and nothing after that.
      if (mutation === 3 && lines.length > 1) await push(cloud, mutation++, [put(10, { n: 1 }, { base: 10 })])
    }
    const told = lines.flatMap((line, at) => (Object.hasOwn(line as object, 'read') ? [[at, line]] : []))
    expect(told).toEqual([[5, { read: 12 }]])
  })

  test('a start, every record in order, an end', async () => {
    await using cloud = await openTestCloud({ limits: { hydratePage: 3 } })
    await fill(cloud, 10)
    const [start, ...lines] = await hydrate(cloud)
    expect(start).toMatchObject({ head: 11, count: 11 })
    expect(lines.pop()).toEqual({ end: true })
    expect(lines.map((line) => (line as { key: string }).key)).toEqual([
      '[10]',
      '[1]',
      '[2]',
      '[3]',
      '[4]',
      '[5]',
      '[6]',
      '[7]',
      '[8]',
      '[9]',
      '[1]',
    ])
  })

  test('only some tables', async () => {
    await using cloud = await openTestCloud()
    await fill(cloud, 3)
    expect((await hydrate(cloud, { query: { space: 'main', replica: 'r', tables: 'other' } })).length).toBe(3)
    expect(
      (await hydrate(cloud, { query: { space: 'main', replica: 'r', tables: ['other', 'city'] } })).length,
    ).toBe(6)
  })

  test('goes on where it broke', async () => {
    await using cloud = await openTestCloud()
    await fill(cloud, 5)
    const place = { head: 6, table: 'city', key: '[3]' }
    const resume = Buffer.from(JSON.stringify(place)).toString('base64url')
    const [start, ...lines] = await hydrate(cloud, { resume })
    expect(start).toMatchObject({ head: 6 })
    expect(lines.map((line) => (line as { key?: string }).key)).toEqual(['[4]', '[5]', '[1]', undefined])
  })

  test.each([
    '',
    '!!!',
    'e30',
    Buffer.from('{"head":1,"table":"a"}').toString('base64url'),
    Buffer.from('{"head":1,"table":"a\\u0000","key":"[1]"}').toString('base64url'),
  ])('a place that is none is refused: %s', async (resume) => {
    await using cloud = await openTestCloud()
    await expect(hydrate(cloud, { resume })).rejects.toMatchObject({ code: 'bad_request' })
  })

  test('I12: a token that is revoked in the middle ends it, without an end line', async () => {
    await using cloud = await openTestCloud({ limits: { hydratePage: 1 } })
    await fill(cloud, 5)
    const { token, id } = await cloud.makeToken({ scopes: ['read'] })
    const answer = await cloud.handler.handle({
      route: 'hydrate',
      token,
      query: { space: 'main', replica: 'r' },
    })
    if (answer.kind !== 'lines') throw new Error('no lines')
    const seen: string[] = []
    const reading = async () => {
      for await (const lines of answer.lines) {
        seen.push(lines)
        if (seen.length === 3) await cloud.directory.revokeToken(id)
      }
    }
    await expect(reading()).rejects.toMatchObject({ code: 'token_revoked' })
    expect(seen.length).toBe(3)
  })
})

describe('devices', () => {
  const phone = { id: 'phone', name: 'Phone', platform: 'ios' }
  const register = async (cloud: TestCloud, token: string, device = phone) =>
    valueOf<DeviceAnswer>(
      await ask(cloud, { route: 'registerDevice', token, body: device, device: device.id }),
    )
  const list = (cloud: TestCloud, token: string) => ask(cloud, { route: 'devices', token })

  test('registering with a token that is not bound gives one that is, of the same reach and end', async () => {
    await using cloud = await openTestCloud()
    const expiresAt = Date.now() + 86_400_000
    const parent = await cloud.makeToken({
      scopes: ['read', 'devices'],
      spaces: ['a'],
      defaultSpace: 'a',
      expiresAt,
    })
    const { device, token } = await register(cloud, parent.token)
    expect(device).toMatchObject(phone)
    const info = (await cloud.directory.listTokens('ours')).find((known) => known.device === 'phone')
    expect(info).toMatchObject({
      scopes: ['read', 'devices'],
      spaces: ['a'],
      defaultSpace: 'a',
      device: 'phone',
      expiresAt,
    })
    const again = await register(cloud, token ?? '', { ...phone, name: 'New name' })
    expect(again).toEqual({ device: expect.objectContaining({ name: 'New name' }) as object })
  })

  test('I12: a bound token registers no other device and speaks for no other', async () => {
    await using cloud = await openTestCloud()
    const { token = '' } = await register(cloud, cloud.token)
    const other = { ...phone, id: 'laptop' }
    await expect(ask(cloud, { route: 'registerDevice', token, body: other })).rejects.toMatchObject({
      code: 'forbidden',
    })
    await expect(ask(cloud, { route: 'devices', token, device: 'laptop' })).rejects.toMatchObject({
      code: 'forbidden',
    })
  })

  test('I12: deregistering stops its tokens at once; only a token that is not bound brings it back', async () => {
    await using cloud = await openTestCloud()
    const { token = '' } = await register(cloud, cloud.token)
    await list(cloud, token)
    const gone = valueOf<{ deregistered_at?: number }>(
      await ask(cloud, { route: 'deregisterDevice', id: 'phone' }),
    )
    expect(gone.deregistered_at).toEqual(expect.any(Number))
    await expect(list(cloud, token)).rejects.toMatchObject({ status: 401 })
    await expect(ask(cloud, { route: 'devices', device: 'phone' })).rejects.toMatchObject({
      code: 'device_deregistered',
    })
    const back = await register(cloud, cloud.token)
    expect(back.device.deregistered_at).toBe(undefined)
    await list(cloud, back.token ?? '')
    await expect(list(cloud, token)).rejects.toMatchObject({ status: 401 })
  })

  test('rename; of another account there is none', async () => {
    await using cloud = await openTestCloud()
    await register(cloud, cloud.token)
    expect(
      valueOf<{ name: string }>(
        await ask(cloud, { route: 'renameDevice', id: 'phone', body: { name: 'Pocket' } }),
      ).name,
    ).toBe('Pocket')
    const token = (await cloud.makeToken({ account: 'theirs' })).token
    await expect(
      ask(cloud, { route: 'renameDevice', id: 'phone', token, body: { name: 'Mine' } }),
    ).rejects.toMatchObject({ code: 'not_found' })
    await expect(ask(cloud, { route: 'deregisterDevice', id: 'phone', token })).rejects.toMatchObject({
      code: 'not_found',
    })
    expect(valueOf<{ devices: unknown[] }>(await list(cloud, token)).devices).toEqual([])
  })
})

describe('failures', () => {
  test('what nobody expected is `internal`, and logged without what it says', async () => {
    const broken = (log: Log): Log =>
      new Proxy(log, {
        get(target, name) {
          if (name === 'status') return () => Promise.reject(new TypeError('row value 4711'))
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    await using cloud = await openTestCloud({ log: broken })
    await push(cloud, 1, [put(1)])
    await expect(ask(cloud, { route: 'status', query: { space: 'main' } })).rejects.toMatchObject({
      code: 'internal',
      message: 'Something failed that was not foreseen',
    })
    expect(cloud.logged.join()).toContain('TypeError')
    expect(cloud.logged.join()).not.toContain('4711')
  })

  test('another protocol version is told to upgrade', async () => {
    await using cloud = await openTestCloud()
    await expect(
      ask(cloud, { route: 'devices', protocol: String(PROTOCOL_VERSION + 1) }),
    ).rejects.toMatchObject({
      code: 'needs_upgrade',
      details: { cloud: PROTOCOL_VERSION, client: String(PROTOCOL_VERSION + 1) },
    })
    await ask(cloud, { route: 'devices', protocol: String(PROTOCOL_VERSION) })
  })
})
