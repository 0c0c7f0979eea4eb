import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import {
  contractOf,
  fittingRequest,
  OPERATION_IDS,
  pathOf,
  startTestApi,
  TOKEN,
  type TestApi,
} from '../../../test/daemon/api-world.ts'
import type { OperationId } from '../../protocol/daemon-api.ts'

/** D7: no web page, and nobody without the token, reads or decides anything: every trick on every operation. */

let world: TestApi
let port = 0
beforeAll(async () => {
  world = await startTestApi()
  port = world.api.port
})
afterAll(() => world[Symbol.asyncDispose]())

interface Raw {
  readonly method: string
  readonly target: string
  readonly version: string
  readonly host: readonly string[]
  /** Besides host and length. */
  readonly headers: readonly string[]
  readonly body: string
}
type Trick = (raw: Raw) => Raw | string

/** The request as the contract wants it, token and all: a trick changes as little as it can. */
function usual(id: OperationId): Raw {
  const { path, body } = fittingRequest(id)
  const text = body === undefined ? '' : Buffer.from(JSON.stringify(body)).toString('latin1')
  const type = text === '' ? [] : ['content-type: application/json']
  const headers = [`authorization: Bearer ${TOKEN}`, 'connection: close', ...type]
  const { method } = contractOf(id)
  return { method, target: path, version: '1.1', host: [`127.0.0.1:${port}`], headers, body: text }
}

function print(raw: Raw | string): string {
  if (typeof raw === 'string') return raw
  const { method, target, version, host, headers, body } = raw
  const length = body === '' ? [] : [`content-length: ${body.length}`]
  const lines = [...host.map((name) => `host: ${name}`), ...headers, ...length]
  return `${method} ${target} HTTP/${version}\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n${body}`
}

const AT_ONCE = 12
async function sendAll(texts: readonly (readonly [OperationId, string])[]): Promise<void> {
  const waiting = [...texts]
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [id, text] = next
      const got = await world.raw(text)
      expect([id, got.match(/^HTTP\/1\.1 (?:2|3|500)/gm)]).toEqual([id, null])
      expect([id, /^access-control/im.test(got)]).toEqual([id, false])
      expect([id, got.includes(TOKEN)]).toEqual([id, false])
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
}

async function tryAll(ids: readonly OperationId[], trick: Trick): Promise<void> {
  const before = world.calls.length
  await sendAll(ids.map((id) => [id, print(trick(usual(id)))] as const))
  expect(world.calls.slice(before).map(([id]) => id)).toEqual([])
}

const withHost =
  (...host: readonly string[]): Trick =>
  (raw) => ({ ...raw, host })
const withHeaders =
  (...more: readonly string[]): Trick =>
  (raw) => ({ ...raw, headers: [...raw.headers, ...more] })
const instead =
  (...token: readonly string[]): Trick =>
  (raw) => ({
    ...raw,
    headers: [...raw.headers.filter((line) => !line.startsWith('authorization')), ...token],
  })

const names = (at: number): readonly string[] => [
  `evil.example:${at}`,
  `127.0.0.1.nip.io:${at}`,
  `localhost.evil.example:${at}`,
  `localhost.:${at}`,
  `127.0.0.1.:${at}`,
  `LOCALHOST:${at}`,
  `[::ffff:127.0.0.1]:${at}`,
  `[0:0:0:0:0:0:0:1]:${at}`,
  `[::1%lo]:${at}`,
  `[::]:${at}`,
  `0.0.0.0:${at}`,
  `2130706433:${at}`,
  `0x7f000001:${at}`,
  `0177.0.0.1:${at}`,
  `127.1:${at}`,
  `127.0.0.2:${at}`,
  `::1:${at}`,
  '127.0.0.1',
  'localhost',
  'localhost:',
  'localhost:80',
  `localhost:${at + 1}`,
  `localhost:0${at}`,
  `localhost:${at}@evil.example`,
  `evil.example@localhost:${at}`,
  `evil.example#localhost:${at}`,
  `localhost:${at}/`,
  `localhost:${at}, evil.example`,
  `evil.example,localhost:${at}`,
  'null',
  '',
]

test('without a trick each of these requests is answered', async () => {
  for (const id of OPERATION_IDS) {
    const before = world.calls.length
    const got = await world.raw(print(usual(id)))
    expect([id, got.slice(0, 12)]).toEqual([id, 'HTTP/1.1 200'])
    expect(world.calls.slice(before).map(([called]) => called)).toEqual([id])
  }
  for (const name of ['localhost', '[::1]'])
    for (const id of ['listRules', 'getHealth'] as const) {
      const own = withHeaders(
        `origin: http://${name}:${port}`,
        'sec-fetch-site: same-origin',
      )(usual(id)) as Raw
      expect(await world.raw(print({ ...own, host: [`${name}:${port}`] }))).toMatch(/^HTTP\/1\.1 200/)
    }
})

describe('with the token, under another name (DNS rebinding)', () => {
  test('a host that is not a loopback name with the port', async () => {
    for (const name of names(port)) await tryAll(OPERATION_IDS, withHost(name))
  })

  test.each<readonly [string, Trick]>([
    ['no host at all', (raw) => ({ ...raw, host: [] })],
    ['HTTP/1.0 without a host', (raw) => ({ ...raw, host: [], version: '1.0' })],
    ['HTTP/1.0 with another host', (raw) => ({ ...raw, host: ['evil.example'], version: '1.0' })],
    ['two hosts', (raw) => ({ ...raw, host: [...raw.host, `evil.example:${port}`] })],
    ['two hosts, ours last', (raw) => ({ ...raw, host: [`evil.example:${port}`, ...raw.host] })],
    ['the same host twice', (raw) => ({ ...raw, host: [...raw.host, ...raw.host] })],
    [
      'an absolute address elsewhere',
      (raw) => ({ ...raw, target: `http://evil.example:${port}${raw.target}` }),
    ],
    ['an absolute address here', (raw) => ({ ...raw, target: `http://127.0.0.1:${port}${raw.target}` })],
    ['an address of the proxy kind', (raw) => ({ ...raw, target: `//127.0.0.1:${port}${raw.target}` })],
    [
      'a forwarded host',
      (raw) => withHeaders(`x-forwarded-host: localhost:${port}`)(withHost('evil.example')(raw) as Raw),
    ],
    [
      'a second one behind two thousand other headers',
      withHeaders(...Array.from({ length: 2_100 }, () => 'a:'), 'host: evil.example'),
    ],
  ])('%s', async (_name, trick) => {
    await tryAll(OPERATION_IDS, trick)
  })
})

describe('with the token, from a page elsewhere', () => {
  const origins = (at: number): readonly (readonly string[])[] => [
    ['https://evil.example'],
    [`http://evil.example:${at}`],
    ['null'],
    [''],
    ['file://'],
    ['chrome-extension://abcdefgh'],
    ['http://127.0.0.1'],
    [`https://127.0.0.1:${at}`],
    [`http://127.0.0.1:${at + 1}`],
    [`http://localhost:${at}`],
    [`http://127.0.0.1:${at}/`],
    [`http://127.0.0.1:${at}.evil.example`],
    [`HTTP://127.0.0.1:${at}`],
    [`http://127.0.0.1:${at} http://evil.example`],
    [`http://127.0.0.1:${at}`, 'http://evil.example'],
    ['http://evil.example', `http://127.0.0.1:${at}`],
  ]

  test('another origin, or an odd one', async () => {
    for (const values of origins(port))
      await tryAll(OPERATION_IDS, withHeaders(...values.map((value) => `origin: ${value}`)))
  })

  test('what a browser says of a request: from another site', async () => {
    for (const values of [['cross-site'], ['same-site'], [''], ['x'], ['same-origin', 'cross-site']])
      await tryAll(OPERATION_IDS, withHeaders(...values.map((value) => `sec-fetch-site: ${value}`)))
  })

  test('a question before a request (preflight) is refused, and promises nothing', async () => {
    const asked = ['access-control-request-method: POST', 'access-control-request-headers: authorization']
    for (const origin of ['https://evil.example', `http://127.0.0.1:${port}`])
      await tryAll(OPERATION_IDS, (raw) => ({
        ...(withHeaders(
          `origin: ${origin}`,
          ...asked,
          'access-control-request-private-network: true',
        )(raw) as Raw),
        method: 'OPTIONS',
        body: '',
      }))
  })

  test('document and page stand behind the same checks', async () => {
    for (const target of ['/', '/openapi.json'])
      for (const trick of [
        withHost(`evil.example:${port}`),
        withHeaders('origin: https://evil.example'),
        withHeaders('sec-fetch-site: cross-site'),
      ])
        await tryAll(['getHealth'], (raw) => ({ ...(trick(raw) as Raw), target }))
  })
})

describe('without the token', () => {
  const closed = OPERATION_IDS.filter((id) => contractOf(id).open !== true)
  const basic = Buffer.from(`${TOKEN}:${TOKEN}`).toString('base64')

  test.each<readonly [string, Trick]>([
    ['none', instead()],
    ['an empty one', instead('authorization: ')],
    ['an empty bearer', instead('authorization: Bearer ')],
    ['another one', instead('authorization: Bearer tmd_wrong')],
    ['a part of it', instead(`authorization: Bearer ${TOKEN.slice(1)}`)],
    ['more than it', instead(`authorization: Bearer ${TOKEN} x`)],
    ['no scheme', instead(`authorization: ${TOKEN}`)],
    ['another scheme', instead(`authorization: Basic ${basic}`)],
    ['two, ours first', instead(`authorization: Bearer ${TOKEN}`, 'authorization: Bearer wrong')],
    ['two, ours last', instead('authorization: Bearer wrong', `authorization: Bearer ${TOKEN}`)],
    ['ours twice', instead(`authorization: Bearer ${TOKEN}`, `authorization: Bearer ${TOKEN}`)],
    ['in a cookie', instead(`cookie: token=${TOKEN}; authorization=Bearer ${TOKEN}`)],
    ['in other headers', instead(`x-api-key: ${TOKEN}`, `proxy-authorization: Bearer ${TOKEN}`)],
    ['in a folded header', instead(`authorization:\r\n Bearer ${TOKEN}`)],
    ['with a space before the colon', instead(`authorization : Bearer ${TOKEN}`)],
    [
      'in the address',
      (raw) => ({ ...(instead()(raw) as Raw), target: `${raw.target.split('?')[0]}?access_token=${TOKEN}` }),
    ],
    ['in the trailer', (raw) => chunked(instead()(raw) as Raw, `authorization: Bearer ${TOKEN}\r\n`)],
    ['as a form', (raw) => asType(instead()(raw) as Raw, 'application/x-www-form-urlencoded')],
    ['as plain text', (raw) => asType(instead()(raw) as Raw, 'text/plain')],
    ['as a form of parts', (raw) => asType(instead()(raw) as Raw, 'multipart/form-data; boundary=x')],
    [
      'as the upgrade to a web socket',
      (raw) => ({
        ...raw,
        method: 'GET',
        body: '',
        headers: [
          'connection: Upgrade, close',
          'upgrade: websocket',
          'sec-websocket-version: 13',
          'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==',
          `sec-websocket-protocol: ${TOKEN}`,
        ],
      }),
    ],
    ['as the upgrade to HTTP/2', (raw) => instead('upgrade: h2c', 'http2-settings: AAMAAABkAAQAAP__')(raw)],
  ])('%s', async (_name, trick) => {
    await tryAll(closed, trick)
  })

  test('in a second request that the first one hides', async () => {
    const hidden = (raw: Raw): string => print({ ...raw, host: ['evil.example'] })
    for (const trick of [
      // Both lengths, in both orders: who believes the wrong one reads the rest as a request.
      (raw: Raw) =>
        shell(raw, ['content-length: 6', 'transfer-encoding: chunked'], `0\r\n\r\n${hidden(raw)}`),
      (raw: Raw) =>
        shell(raw, ['transfer-encoding: chunked', 'content-length: 6'], `0\r\n\r\n${hidden(raw)}`),
      (raw: Raw) => shell(raw, ['content-length: 0', `content-length: ${hidden(raw).length}`], hidden(raw)),
      (raw: Raw) => shell(raw, ['transfer-encoding: chunked, identity'], `0\r\n\r\n${hidden(raw)}`),
      (raw: Raw) => shell(raw, ['transfer-encoding : chunked'], `0\r\n\r\n${hidden(raw)}`),
      (raw: Raw) => shell(raw, ['transfer-encoding: xchunked'], `0\r\n\r\n${hidden(raw)}`),
      (raw: Raw) => shell(raw, ['content-length: +6'], `0\r\n\r\n${hidden(raw)}`),
      (raw: Raw) => shell(raw, ['content-length: 0x6'], `0\r\n\r\n${hidden(raw)}`),
      // One after the other, in one piece.
      (raw: Raw) => `${print({ ...(instead()(raw) as Raw), headers: [] })}${hidden(raw)}`,
    ])
      await tryAll(closed, trick)
  })

  test('a whole request in the body of another is its body, and no request', async () => {
    await tryAll(closed, (raw) => {
      const inner = print(raw)
      return shell(
        raw,
        ['content-type: text/plain', 'connection: close', `content-length: ${inner.length}`],
        inner,
      )
    })
  })
})

test('a method that another header names is not the method', async () => {
  for (const id of OPERATION_IDS) {
    const { method } = contractOf(id)
    const raw = usual(id)
    const override = ['x-http-method-override', 'x-http-method', 'x-method-override'].map(
      (name) => `${name}: ${method}`,
    )
    const before = world.calls.length
    await world.raw(
      print({
        ...(withHeaders(...override)(raw) as Raw),
        method: method === 'GET' ? 'POST' : 'GET',
        target: `${pathOf(id)}?_method=${method}`,
        body: method === 'GET' ? '{}' : '',
      }),
    )
    expect(world.calls.slice(before).map(([called]) => called)).not.toContain(id)
  }
})

test('forms with the token are no JSON', async () => {
  const writing = OPERATION_IDS.filter((id) => contractOf(id).method !== 'GET')
  for (const type of [
    'application/x-www-form-urlencoded',
    'text/plain',
    'text/json',
    'application/jsonp',
    '',
  ])
    await tryAll(writing, (raw) => asType(raw, type))
})

const asType = (raw: Raw, type: string): Raw => ({
  ...raw,
  headers: [...raw.headers.filter((line) => !line.startsWith('content-type')), `content-type: ${type}`],
  body: raw.body === '' ? '{}' : raw.body,
})

const chunked = (raw: Raw, trailer: string): string =>
  `${print({ ...raw, body: '', headers: [...raw.headers, 'transfer-encoding: chunked', 'trailer: authorization'] })}${
    raw.body === '' ? '' : `${raw.body.length.toString(16)}\r\n${raw.body}\r\n`
  }0\r\n${trailer}\r\n`

/** A request to the same place that shows no token, around something. */
const shell = ({ method, target, host }: Raw, lines: readonly string[], body: string): string =>
  `${print({ method, target, host, version: '1.1', headers: lines, body: '' })}${body}`
