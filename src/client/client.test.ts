import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { Compile } from 'typebox/compile'
import { afterEach, describe, expect, test } from 'vitest'

import { beside, fitting } from '../../test/cloud/arbitrary-request.ts'
import {
  contractOf,
  fittingRequest,
  OPERATION_IDS,
  startTestApi,
  TOKEN,
  type TestApi,
} from '../../test/daemon/api-world.ts'
import type { ServerSentEvent } from '../daemon/api/handlers.ts'
import { TidemarkError } from '../kernel/errors.ts'
import type { Session } from '../protocol/agents.ts'
import { createDaemonClient, type DaemonClient } from './daemon-client.ts'
import { fits } from './fits.ts'

let world: TestApi | null = null
afterEach(async () => {
  await world?.[Symbol.asyncDispose]()
  world = null
})

async function start(
  options: Parameters<typeof startTestApi>[0] = {},
): Promise<{ readonly client: DaemonClient; readonly world: TestApi }> {
  const started = (world = await startTestApi(options))
  return { client: createDaemonClient({ url: started.api.url, token: TOKEN }), world: started }
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof TidemarkError ? error.code : String(error)),
  )

type AnyCall = (input: object) => Promise<unknown>

describe('calls', () => {
  test('every operation reaches its handler with id, query and body as they were given', async () => {
    const { client, world } = await start()
    for (const id of OPERATION_IDS) {
      const { answer, path } = contractOf(id)
      if (answer === undefined) continue
      const { body } = fittingRequest(id)
      const call = Reflect.get(client, id) as AnyCall
      const query = id === 'search' ? { q: 'a b&c=ä' } : undefined
      const input = {
        ...(path.includes(':id') ? { id: 'a/b ?#%é😀' } : {}),
        ...(query === undefined ? {} : { query }),
        ...(body === undefined ? {} : { body }),
      }
      await call(input)
      const [called, request] = world.calls.at(-1) ?? []
      expect(called).toBe(id)
      expect({ id: request?.id, body: request?.body }).toEqual({
        id: 'id' in input ? input.id : undefined,
        body: body === undefined ? undefined : JSON.parse(JSON.stringify(body)),
      })
      if (query !== undefined) expect(request?.query).toEqual(query)
    }
  })

  test('its types know what a call needs', async () => {
    const { client } = await start()
    const page = await client.listSessions({ query: { limit: 3, archived: 'all' } })
    const sessions: readonly Session[] = page.sessions
    expect(sessions).toEqual(page.sessions)
    await client.listSessions()
    // @ts-expect-error an id is needed
    expect(await codeOf(client.getSession())).toBe('bad_usage')
    // @ts-expect-error no such name
    expect(await codeOf(client.listSessions({ query: { unknown: 1 } }))).toBe('bad_request')
    // @ts-expect-error a search searches for something
    expect(await codeOf(client.search())).toBe('bad_request')
    // @ts-expect-error to deny needs a comment
    expect(await codeOf(client.decideApproval({ id: 'a', body: { decision: 'deny' } }))).toBe('bad_request')
  })

  test('what the daemon refuses is the error that it is', async () => {
    const details = { approval: { status: 'denied' } }
    const { client } = await start({
      handlers: {
        decideApproval: () => {
          throw new TidemarkError('already_decided', 'It was denied', { details })
        },
        syncNow: () => {
          throw new TidemarkError('sync_disabled')
        },
      },
    })
    await expect(client.decideApproval({ id: 'a', body: { decision: 'approve' } })).rejects.toMatchObject({
      code: 'already_decided',
      message: 'It was denied',
      details,
    })
    expect(await codeOf(client.syncNow({ body: {} }))).toBe('sync_disabled')
    for (const id of ['', '.', '..', '\ud800'])
      expect(await codeOf(client.getSession({ id }))).toBe('bad_usage')
  })

  test('nobody, another program, a stop and an answer of another kind are told apart', async () => {
    const { client, world } = await start({
      handlers: { listRules: () => ({ rules: 'none' }) as never, getApproval: () => new Promise(() => {}) },
      limits: { stopMs: 50 },
    })
    expect(await codeOf(client.listRules())).toBe('bad_answer')
    const signal = AbortSignal.abort()
    expect(await codeOf(client.listSessions({ signal }))).toBe('aborted')
    const other = createDaemonClient({ url: world.api.url, token: 'x' })
    expect(await codeOf(other.listRules())).toBe('unauthorized')
    const away = new AbortController()
    const waiting = codeOf(client.getApproval({ id: 'a', query: { wait: 60 }, signal: away.signal }))
    away.abort()
    expect(await waiting).toBe('aborted')
    const stranger = createDaemonClient({
      url: world.api.url,
      token: TOKEN,
      fetch: async () => new Response('<html>', { status: 502 }),
    })
    expect(await codeOf(stranger.listRules())).toBe('bad_answer')
    await world.api.close()
    expect(await codeOf(client.listRules())).toBe('network')
  })

  test('an answer fits as the schema library says', () => {
    for (const id of OPERATION_IDS) {
      const { answer } = contractOf(id)
      if (answer === undefined) continue
      const known = Compile(answer)
      const values = fc.oneof(fitting(answer), beside(fitting(answer)))
      for (const value of fc.sample(values, { numRuns: 60, seed: 7 })) {
        // Bounds and patterns are not looked at, so that it may take more.
        if (known.Check(value)) expect(fits(answer, value)).toBe(true)
      }
      for (const odd of [null, [], 1, 'x', {}])
        expect([id, fits(answer, odd)]).toEqual([id, known.Check(odd)])
    }
  })

  test('all items of a list, page after page', async () => {
    const queries: unknown[] = []
    const { client } = await start({
      handlers: {
        listAudit: ({ query }) => {
          queries.push(query)
          const at = Number(query.cursor ?? 0)
          const entry = (id: number) => ({
            id,
            at: 0,
            action: 'x',
            approval_id: null,
            rule_id: null,
            by: 'local',
          })
          return { entries: [entry(at), entry(at + 1)], next: at === 4 ? null : String(at + 2) }
        },
      },
    })
    const ids: number[] = []
    for await (const { id } of client.each('listAudit', { query: { limit: 2 } })) ids.push(id)
    expect(ids).toEqual([0, 1, 2, 3, 4, 5])
    expect(queries).toEqual([{ limit: 2 }, { limit: 2, cursor: '2' }, { limit: 2, cursor: '4' }])
  })
})

describe('the context of an approval', () => {
  const TEXT = 'ä😀\n\nline\r\n'.repeat(10_000)
  const PIECES = TEXT.match(/[\s\S]{1,50000}/gu) ?? []
  const whole: readonly ServerSentEvent[] = [
    ...PIECES.map((chunk, index) => ({
      event: 'context_chunk',
      data: { chunk, index, total: PIECES.length },
    })),
    {
      event: 'context_complete',
      data: {
        total_chunks: PIECES.length,
        total_size: Buffer.byteLength(TEXT),
        checksum: `sha256:${createHash('sha256').update(TEXT).digest('hex')}`,
      },
    },
  ]
  const read = async (events: readonly ServerSentEvent[], fails = false): Promise<unknown> => {
    const { client, world } = await start({
      streams: {
        async *streamApprovalContext() {
          yield* events
          if (fails) throw new TidemarkError('database_locked')
        },
      },
    })
    try {
      return await client.readApprovalContext({ id: 'a' })
    } catch (error) {
      return (error as TidemarkError).code
    } finally {
      await world[Symbol.asyncDispose]()
    }
  }

  test('is what it was', async () => {
    expect(PIECES.length).toBeGreaterThan(1)
    expect(await read(whole)).toBe(TEXT)
  })

  test('is never a part of it, nor another one', async () => {
    const [first, ...rest] = whole as readonly [ServerSentEvent, ...ServerSentEvent[]]
    expect(await read(whole.slice(0, -1))).toBe('network')
    expect(await read([])).toBe('network')
    expect(await read(rest)).toBe('bad_answer')
    expect(await read([first, first, ...rest])).toBe('bad_answer')
    const other = { ...first, data: { chunk: 'x', index: 0, total: 2 } }
    expect(await read([other, ...rest])).toBe('bad_answer')
    const swapped = {
      ...first,
      data: { ...(first.data as object), chunk: String(PIECES[0]).replace('l', 'L') },
    }
    expect(await read([swapped, ...rest])).toBe('bad_answer')
    expect(await read([{ event: 'x', data: 1 }, ...whole])).toBe('bad_answer')
    expect(await read(whole.slice(0, -1), true)).toBe('database_locked')
  })
})

describe('events', () => {
  const event = (id: number): ServerSentEvent => ({
    event: 'session_updated',
    id,
    data: {
      type: 'session_updated',
      id: `s${id}`,
      session_id: null,
      at: 0,
      data: { text: 'ä'.repeat(30_000) },
    },
  })

  test('go on behind the last one when the connection breaks, without a gap', async () => {
    const asked: unknown[] = []
    const { client } = await start({
      streams: {
        async *streamEvents({ lastEventId, query }) {
          asked.push([lastEventId, query])
          const after = Number(lastEventId ?? 10)
          if (lastEventId === undefined) yield { event: 'ready', id: after, data: { type: 'ready' } }
          if (asked.length === 3) throw new TidemarkError('database_locked')
          if (after < 12) yield event(after + 1)
          else if (asked.length === 5) yield { event: 'reset', id: 20, data: { type: 'reset' } }
        },
      },
    })
    const seen: unknown[] = []
    for await (const { id, type, event } of client.streamEvents({ query: { types: 'session_updated' } })) {
      seen.push([id, type, event?.id])
      if (type === 'reset') break
    }
    expect(seen).toEqual([
      [11, 'session_updated', 's11'],
      [12, 'session_updated', 's12'],
      [20, 'reset', undefined],
    ])
    const query = { types: 'session_updated' }
    expect(asked).toEqual([
      [undefined, query],
      ['11', query],
      ['12', query],
      ['12', query],
      ['12', query],
    ])
  })

  test('what the daemon refuses, and a daemon that is not there, is told at once', async () => {
    const { client, world } = await start({
      streams: {
        // eslint-disable-next-line require-yield
        async *streamEvents() {
          throw new TidemarkError('bad_request', 'no')
        },
      },
    })
    const first = () => codeOf(client.streamEvents()[Symbol.asyncIterator]().next())
    expect(await first()).toBe('bad_request')
    const other = createDaemonClient({ url: world.api.url, token: 'x' })
    expect(await codeOf(other.streamEvents()[Symbol.asyncIterator]().next())).toBe('unauthorized')
    await world.api.close()
    expect(await first()).toBe('network')
  })

  test('end when the caller says so, whatever they do then', async () => {
    const { client } = await start({
      streams: {
        async *streamEvents({ signal }) {
          yield event(1)
          await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
        },
      },
    })
    const away = new AbortController()
    const events = client.streamEvents({ signal: away.signal })[Symbol.asyncIterator]()
    expect((await events.next()).value).toMatchObject({ id: 1 })
    const next = codeOf(events.next())
    away.abort()
    expect(await next).toBe('aborted')
  })
})
