import { connect } from 'node:net'

import { Compile } from 'typebox/compile'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import {
  contractOf,
  OPERATION_IDS,
  pathOf,
  startTestApi,
  TOKEN,
  type TestApi,
} from '../../../test/daemon/api-world.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { systemClock } from '../../kernel/clock.ts'
import { ErrorAnswer } from '../../protocol/status.ts'
import type { Handlers } from './handlers.ts'
import { startApi } from './server.ts'

let world: TestApi
let thrown: unknown = null
const isError = Compile(ErrorAnswer)

beforeAll(async () => {
  world = await startTestApi({
    handlers: {
      listRules: () => {
        if (thrown !== null) throw thrown
        return { rules: [] }
      },
    },
    limits: { bodyIdleMs: 150, headersMs: 400 },
  })
})
beforeEach(() => {
  thrown = null
})
afterAll(() => world[Symbol.asyncDispose]())

describe('every operation of the contract', () => {
  test.each(OPERATION_IDS)('%s is answered as its schema says', async (id) => {
    const before = world.calls.length
    const { status, json, headers } = await world.call(id)
    expect([id, status]).toEqual([id, 200])
    expect(world.calls.slice(before).map(([called]) => called)).toEqual([id])
    const { answer } = contractOf(id)
    if (answer === undefined) expect(headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    else expect(Compile(answer).Check(json)).toBe(true)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
  })

  test.each(OPERATION_IDS.filter((id) => contractOf(id).open !== true))(
    'D7: %s needs the token',
    async (id) => {
      const { method } = contractOf(id)
      const before = world.calls.length
      for (const token of [null, '', 'wrong', `${TOKEN}x`, TOKEN.slice(0, -1)]) {
        const { status, code } = await world.ask(method, pathOf(id), { token })
        expect([status, code]).toEqual([401, 'unauthorized'])
      }
      const { status } = await world.ask(method, `${pathOf(id)}?token=${TOKEN}`, {
        token: null,
        headers: { cookie: `token=${TOKEN}` },
      })
      expect(status).toBe(401)
      expect(world.calls.length).toBe(before)
    },
  )

  test.each(OPERATION_IDS)('%s takes no other parameter, no other body and no other method', async (id) => {
    const { method, body } = contractOf(id)
    const before = world.calls.length
    expect((await world.ask(method, `${pathOf(id)}?unknown=1`, { body: undefined })).status).toBe(400)
    if (method !== 'GET') {
      const type = { 'content-type': 'text/plain' }
      expect((await world.ask(method, pathOf(id), { text: '{}', headers: type })).status).toBe(415)
      const packed = await world.ask(method, pathOf(id), {
        text: '{}',
        headers: { 'content-encoding': 'gzip' },
      })
      expect([packed.status, packed.code]).toEqual([415, 'unsupported_encoding'])
      const odd = await world.ask(method, pathOf(id), { body: { never: 1 } })
      expect([odd.status, odd.code]).toEqual([400, 'bad_request'])
      if (body === undefined) expect(JSON.stringify(odd.json)).toContain('/body')
    }
    const put = await world.ask('PUT', pathOf(id))
    expect([put.status, put.code]).toEqual([405, 'method_not_allowed'])
    expect(put.headers.get('allow')?.split(', ')).toContain(method)
    expect((await world.ask('OPTIONS', pathOf(id))).status).toBe(405)
    expect(world.calls.length).toBe(before)
  })
})

describe('what a request says', () => {
  const lastCall = () => world.calls.at(-1)?.[1]
  const refusal = async (path: string): Promise<unknown> => {
    const { status, json } = await world.ask('GET', path)
    return [status, (json as { error: { details: unknown } }).error.details]
  }

  test('numbers of a query stand in decimal digits', async () => {
    expect((await world.ask('GET', '/api/v1/sessions?limit=7&source=a+b%26&since=0')).status).toBe(200)
    expect(lastCall()?.query).toEqual({ limit: 7, source: 'a b&', since: 0 })
    const rule = 'is not a whole number in decimal digits'
    for (const odd of ['', '1.0', '1e1', '0x1', '+1', '%201', '01', '-1', '99999999999999999', 'Infinity'])
      expect(await refusal(`/api/v1/sessions?limit=${odd}`)).toEqual([400, { at: '/query/limit', rule }])
    expect(await refusal('/api/v1/sessions?limit=501')).toMatchObject([400, { at: '/query/limit' }])
    expect(await refusal('/api/v1/sessions?limit=0')).toMatchObject([400, { at: '/query/limit' }])
  })

  test('a name stands once, and is one of the operation', async () => {
    expect(await refusal('/api/v1/sessions?limit=1&limit=1')).toEqual([
      400,
      { at: '/query/limit', rule: 'stands more than once' },
    ])
    // What could be a secret is not said again.
    expect(await refusal('/api/v1/sessions?S3cret=1')).toMatchObject([400, { at: '/query' }])
    expect(await refusal('/api/v1/sessions?__proto__=1')).toMatchObject([400, {}])
    expect(await refusal('/api/v1/sessions?source=%ff')).toMatchObject([400, {}])
  })

  test('an id may be any text of 256 characters', async () => {
    for (const id of ['a/b', '...', '%', 'é😀', '\u0000', '#?&', '😀'.repeat(256)]) {
      expect((await world.ask('GET', pathOf('getSession', id))).status).toBe(200)
      expect(lastCall()?.id).toBe(id)
    }
    expect((await world.ask('GET', pathOf('getSession', '😀'.repeat(257)))).status).toBe(400)
    expect((await world.ask('GET', '/api/v1/sessions/%ff')).status).toBe(400)
    expect((await world.ask('GET', '/api/v1/sessions/%zz')).status).toBe(400)
    expect((await world.ask('GET', '/api/v1/sessions//messages')).status).toBeGreaterThanOrEqual(400)
  })

  test('a body that does not fit: its place and the rule, and nothing of what it says', async () => {
    const at = async (path: string, body: unknown): Promise<unknown> => {
      const { status, json } = await world.ask('POST', path, { body })
      expect(status).toBe(400)
      expect(JSON.stringify(json)).not.toContain('hunter2')
      return (json as { error: { details: { at: string } } }).error.details.at
    }
    expect(await at('/api/v1/sessions', { title: { hunter2: 1 } })).toBe('/body/title')
    expect(
      await at('/api/v1/sessions/s/messages', { messages: [{ text: 'a' }, { text: ['hunter2'] }] }),
    ).toBe('/body/messages/1/text')
    expect(await at('/api/v1/sessions/s/messages', { messages: [{ raw: { a: ['\ud800'] } }] })).toBe(
      '/body/messages/0/raw/a/0',
    )
    expect(await at('/api/v1/approvals/a/decide', { decision: 'hunter2' })).toBe('/body/decision')
    const { json } = await world.ask('POST', '/api/v1/approvals/a/decide', { body: { decision: 'deny' } })
    expect(JSON.stringify(json)).toContain('comment')
    for (const text of ['', '{', '\u0000', 'hunter2', '{"a":hunter2}', '[1']) {
      const broken = await world.ask('POST', '/api/v1/sessions', { text })
      expect([broken.status, broken.code]).toEqual([400, 'bad_request'])
      expect(JSON.stringify(broken.json)).not.toContain('hunter2')
    }
  })

  test('what is nested deeply or too large is refused before it is built', async () => {
    const nested = `{"messages":[{"raw":${'['.repeat(5_000)}${']'.repeat(5_000)}}]}`
    expect((await world.ask('POST', '/api/v1/sessions/s/messages', { text: nested })).status).toBe(400)
    const many = `{"messages":[{"raw":[${'[],'.repeat(2_100_000)}1]}]}`
    expect((await world.ask('POST', '/api/v1/sessions/s/messages', { text: many })).status).toBe(413)
    const rule = await world.ask('POST', '/api/v1/rules', {
      body: { action: 'deny', tool_name: 'x', note: 'n'.repeat(70_000) },
    })
    expect([rule.status, rule.code]).toEqual([413, 'payload_too_large'])
  })

  test('half a body is given up after a while, and the headers after theirs', async () => {
    const head = `POST /api/v1/sessions HTTP/1.1\r\nhost: 127.0.0.1:${world.api.port}\r\nauthorization: Bearer ${TOKEN}\r\n`
    const body = await world.raw(`${head}content-type: application/json\r\ncontent-length: 10\r\n\r\n{`)
    expect(body).toMatch(/^HTTP\/1\.1 503/)
    expect(await world.raw(`${head}x: `)).toMatch(/^HTTP\/1\.1 503|^$/)
    expect(await world.raw(`${head}x: ${'y'.repeat(40_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431/)
  })
})

describe('what goes wrong', () => {
  test('has the status of its code, and one for those that have none', async () => {
    for (const [code, status] of [
      ['not_found', 404],
      ['already_decided', 409],
      ['not_attached', 409],
      ['database_locked', 503],
      ['unprocessable', 422],
      ['aborted', 503],
      ['disk_full', 507],
    ] as const) {
      thrown = new TidemarkError(code, 'why', { details: { id: 'x' } })
      const answer = await world.ask('GET', '/api/v1/rules')
      expect([answer.status, answer.code]).toEqual([status, code])
      expect(isError.Check(answer.json)).toBe(true)
      expect(answer.json).toMatchObject({ error: { message: 'why', details: { id: 'x' } } })
      expect(answer.headers.has('retry-after')).toBe(status === 503 || status === 507)
    }
  })

  test('D10: a fault is told as a fault, and logged without its message', async () => {
    const sqlite = Object.assign(new Error('hunter2'), {
      name: 'SqliteError',
      code: 'SQLITE_CONSTRAINT_CHECK',
    })
    for (const fault of [
      new Error('hunter2'),
      'hunter2',
      sqlite,
      new TidemarkError('invariant', 'hunter2', { details: { row: 'hunter2' } }),
    ]) {
      thrown = fault
      const before = world.logged.length
      const { status, json } = await world.ask('GET', '/api/v1/rules')
      expect(status).toBe(500)
      expect(world.logged.length).toBe(before + 1)
      expect(JSON.stringify([json, world.logged])).not.toContain('hunter2')
    }
    thrown = Object.assign(new Error('hunter2'), { name: 'SqliteError', code: 'SQLITE_BUSY_SNAPSHOT' })
    const busy = await world.ask('GET', '/api/v1/rules')
    expect([busy.status, busy.code]).toEqual([503, 'database_locked'])
  })
})

describe('listening', () => {
  const options = {
    handlers: {} as Handlers,
    streams: { streamEvents: noEvents, streamApprovalContext: noEvents },
    token: TOKEN,
    version: '1',
    clock: systemClock,
  }

  test('D7: is refused anywhere but on loopback', async () => {
    for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.com'])
      await expect(startApi({ ...options, host, port: 0 })).rejects.toMatchObject({
        code: 'insecure_address',
      })
    await expect(
      new Promise((resolve, reject) => {
        const own = connect(world.api.port, '127.0.0.2').on('connect', resolve).on('error', reject)
        own.on('connect', () => own.destroy())
      }),
    ).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('on a taken port is an error, or another port is taken', async () => {
    const { port } = world.api
    await expect(startApi({ ...options, port })).rejects.toMatchObject({
      code: 'cannot_listen',
      message: `127.0.0.1:${port} is taken by another program`,
    })
    const other = await startApi({ ...options, port, anyPort: true })
    try {
      expect(other.port).not.toBe(port)
      expect((await fetch(`${other.url}/openapi.json`)).status).toBe(200)
    } finally {
      await other.close()
    }
  })
})

async function* noEvents(): AsyncGenerator<never> {}
