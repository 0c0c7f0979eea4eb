import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { createDirectory, SPACE, tokenOf, type SimDirectory } from '../sim/directory.ts'
import { createHandler } from '../src/cloud/handler/handler.ts'
import { MemoryLog } from '../src/cloud/log/memory.ts'
import { startServer, type Server } from '../src/cloud/server/server.ts'
import type { HydrateRequest } from '../src/engine/provider.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { TidemarkError, type ErrorCode } from '../src/kernel/errors.ts'
import { systemRandom } from '../src/kernel/random.ts'
import { MAX_BODY_BYTES } from '../src/protocol/limits.ts'
import type { PushRequest } from '../src/protocol/push.ts'
import type { Change, Cursor, WireRecord } from '../src/protocol/records.ts'
import { webCodec } from '../src/providers/cloud/codec.ts'
import { nodeCodec } from '../src/providers/cloud/node-codec.ts'
import type { CloudOptions } from '../src/providers/cloud/line.ts'
import { createCloudProvider } from '../src/providers/cloud/provider.ts'
import { failureOf } from '../src/testing/failures.ts'

/** The client against the real server over real sockets. */

const never = new AbortController().signal
let log: MemoryLog
let directory: SimDirectory
let server: Server

async function start(port = 0): Promise<Server> {
  const handler = createHandler({ log, directory, clock: systemClock, random: systemRandom })
  return startServer({
    handler,
    clock: systemClock,
    host: '127.0.0.1',
    port,
    version: '0.0.0',
    limits: { stopMs: 500 },
    checkStorage: async () => {},
  })
}

beforeEach(async () => {
  log = new MemoryLog({ clock: systemClock, random: systemRandom })
  directory = createDirectory()
  server = await start()
})
afterEach(async () => {
  await server.close()
})

function connect(replica = 'a', options: Partial<CloudOptions> = {}) {
  return createCloudProvider({
    endpoint: server.url,
    token: tokenOf(replica),
    device: replica,
    clock: systemClock,
    codec: nodeCodec,
    ...options,
  })
}

function changeOf(at: number): Change {
  return {
    table: 'city',
    key: `[${String(at).padStart(6, '0')}]`,
    op: 'put',
    base: 0,
    hlc: at,
    fields: { id: at, name: `Zürich 東京 ${at}`, area: { $real: '12' }, big: { $int: '9007199254740993' } },
  }
}

function bodyOf(
  replica: string,
  mutation: number,
  changes: readonly Change[],
  cursor: Cursor | null = null,
): string {
  const request: PushRequest = { space: SPACE, replica, mutation, cursor, changes: [...changes] }
  return JSON.stringify(request)
}

async function upload(rows: number, replica = 'a'): Promise<Cursor> {
  const changes = Array.from({ length: rows }, (_, at) => changeOf(at))
  const answer = await connect(replica).push(bodyOf(replica, 1, changes), never)
  expect(answer.results.every((result) => result.status === 'ok')).toBe(true)
  const { epoch, generation, head } = answer
  return { epoch, generation: generation.id, version: head, high: head }
}

const codeOf = async (work: Promise<unknown>): Promise<ErrorCode> => (await failureOf(work)).code

describe.each<[string, Partial<CloudOptions>]>([
  ['plain', {}],
  ['zstd', { compressLoopback: true }],
  ['gzip', { compressLoopback: true, codec: webCodec }],
])('I10: what was pushed is what is pulled, read and hydrated: %s', (_, options) => {
  test('bit for bit', async () => {
    const changes = Array.from({ length: 300 }, (_, at) => changeOf(at))
    const answer = await connect('a', options).push(bodyOf('a', 1, changes), never)
    expect(answer.results).toHaveLength(300)
    const { epoch, generation } = answer
    const cursor = { epoch, generation: generation.id, version: 0, high: 0 }
    const b = connect('b', options)
    const pulled = await b.pull({ space: SPACE, replica: 'b', cursor, limit: 1_000 }, never)
    const fieldsOf = (records: readonly (WireRecord | null)[]) => records.map((record) => record?.fields)
    const sent = changes.map((change) => change.fields)
    expect(fieldsOf(pulled.records)).toEqual(sent)
    const named = changes.slice(0, 3).map(({ table, key }) => ({ table, key }))
    const read = await b.read(
      { space: SPACE, records: [...named, { table: 'city', key: '["none"]' }] },
      never,
    )
    expect(fieldsOf(read.records)).toEqual([...sent.slice(0, 3), undefined])
    expect(read.records[3]).toBeNull()
    const hydrated: WireRecord[] = []
    for await (const chunk of b.hydrate({ space: SPACE, replica: 'b' }, never)) {
      if (chunk.kind === 'records') hydrated.push(...chunk.records)
    }
    expect(fieldsOf(hydrated)).toEqual(sent)
  })
})

test('I3: the same push again is answered again', async () => {
  const provider = connect()
  const body = bodyOf('a', 1, [changeOf(1)])
  const first = await provider.push(body, never)
  expect(await provider.push(body, never)).toEqual(first)
  expect((await provider.status(SPACE, never)).records).toBe(1)
  expect(await codeOf(provider.push(bodyOf('a', 1, [changeOf(2)]), never))).toBe('replica_forked')
})

test('a waiting pull is woken by another replica’s push', async () => {
  const cursor = await upload(1)
  const waiting = connect('b').pull({ space: SPACE, replica: 'b', cursor, wait: 55 }, never)
  await connect('a').push(bodyOf('a', 2, [changeOf(7)], cursor), never)
  expect((await waiting).records.map((record) => record.key)).toEqual(['[000007]'])
})

test('a stopped wait is given up on both sides', async () => {
  const cursor = await upload(1)
  const stop = new AbortController()
  const waiting = connect('b').pull({ space: SPACE, replica: 'b', cursor, wait: 55 }, stop.signal)
  setTimeout(() => stop.abort(), 50)
  expect(await codeOf(waiting)).toBe('aborted')
})

test('I4: a hydrate goes on where its reader stopped', async () => {
  await upload(5_000)
  const provider = connect('b')
  const came: WireRecord[] = []
  let head = 0
  let resume: HydrateRequest['resume']
  for (let tries = 0; tries < 10 && came.length < 5_000; tries++) {
    for await (const chunk of provider.hydrate(
      { space: SPACE, replica: 'b', tables: ['city'], ...(resume === undefined ? {} : { resume }) },
      never,
    )) {
      if (chunk.kind === 'start') {
        head = chunk.start.head
        continue
      }
      came.push(...chunk.records)
      const last = came.at(-1)
      if (last !== undefined) resume = { head, table: last.table, key: last.key }
      break
    }
  }
  expect(came.map((record) => record.key)).toEqual(Array.from({ length: 5_000 }, (_, at) => changeOf(at).key))
})

test('the schema goes there and back', async () => {
  const provider = connect()
  const tables = [
    { name: 'city', columns: [{ name: 'id', type: 'INTEGER' }], key: ['id'], unique: [], foreignKeys: [] },
  ]
  const told = await provider.putSchema({ space: SPACE, replica: 'a', tables }, never)
  expect(told.tables).toEqual(tables)
  expect(await provider.readSchema(SPACE, never)).toEqual(told)
})

describe('I12: refusals keep their codes over the wire', () => {
  test('an unknown token', async () => {
    expect(await codeOf(connect('a', { token: 'someone' }).status(SPACE, never))).toBe('unauthorized')
    expect(await codeOf(connect('a', { token: null }).status(SPACE, never))).toBe('unauthorized')
  })

  test('a revoked token', async () => {
    directory.revoked.add(tokenOf('a'))
    expect(await codeOf(connect().push(bodyOf('a', 1, [changeOf(1)]), never))).toBe('token_revoked')
  })

  test('a token revoked while a pull waits', async () => {
    const cursor = await upload(1)
    const waiting = connect('b').pull({ space: SPACE, replica: 'b', cursor, wait: 55 }, never)
    const code = codeOf(waiting)
    directory.revoked.add(tokenOf('b'))
    await connect('a').push(bodyOf('a', 2, [changeOf(3)], cursor), never)
    expect(await code).toBe('token_revoked')
  })

  test('a space that is not the token’s', async () => {
    expect(await codeOf(connect().status('other', never))).toBe('forbidden')
  })

  test('another protocol version', async () => {
    const other: typeof fetch = (url, init) => {
      const headers = new Headers(init?.headers)
      headers.set('tidemark-protocol', '999')
      return fetch(url, { ...init, headers })
    }
    expect(await codeOf(connect('a', { fetch: other }).status(SPACE, never))).toBe('needs_upgrade')
  })

  test('a change that no storage could take', async () => {
    const bad = { ...changeOf(1), fields: { id: { $int: '5' } } }
    const answer = await connect()
      .push(bodyOf('a', 1, [bad, changeOf(2)]), never)
      .catch((thrown: unknown) => thrown)
    const code = answer instanceof TidemarkError ? answer.code : null
    const statuses =
      answer instanceof TidemarkError ? [] : (answer as { results: { status: string }[] }).results
    expect(code === 'unprocessable' || statuses[0]?.status === 'rejected').toBe(true)
  })

  test.each([
    ['plain', {}],
    ['compressed', { compressLoopback: true }],
  ])('a body over the limit, %s', async (_, options) => {
    const provider = connect('a', options)
    const error = await failureOf(provider.push('x'.repeat(MAX_BODY_BYTES + 1), never))
    expect(`${error.code}: ${error.message}`).toMatch(/^(?:payload_too_large|network): /)
    expect((await provider.push(bodyOf('a', 1, [changeOf(1)]), never)).results).toHaveLength(1)
  })
})

test('a cloud that stops answers who waits, and one that is gone cannot be reached', async () => {
  const cursor = await upload(1)
  const provider = connect('b')
  const waiting = provider.pull({ space: SPACE, replica: 'b', cursor, wait: 55 }, never)
  await new Promise((resolve) => setTimeout(resolve, 50))
  const { port } = new URL(server.url)
  await server.close()
  expect((await waiting).records).toEqual([])
  expect(await codeOf(provider.status(SPACE, never))).toBe('network')
  server = await start(Number(port))
  expect((await provider.status(SPACE, never)).records).toBe(1)
})
