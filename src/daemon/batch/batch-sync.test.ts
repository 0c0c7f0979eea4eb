import { copyFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { BATCH_NOW, countsOf, createReceiver, openBatchRig } from '../../../test/daemon/batch-rig.ts'
import { openProgress } from './progress.ts'
import { jsonAnswer, startFaultyServer, type Answerer } from '../../testing/faulty-server.ts'

const GOOD = { sessions_synced: 100, messages_synced: 100, sync_timestamp: '2026-01-29T14:35:00Z' }

test('sends origin 000s JSON to the letter: both arrays, its time, the records as the API has them', async () => {
  const receiver = createReceiver()
  await using server = await startFaultyServer(receiver.answer)
  await using rig = openBatchRig()
  rig.agents.upsertSession({ id: 's', title: 'A "title"\u2028', cost: 0.25, prompt_tokens: 7 })
  const sync = rig.start(`${server.url}/`)
  expect(await sync.syncNow()).toEqual({ pushed: 1 })
  const session = JSON.stringify(rig.agents.session('s')).replace(
    '"message_count":0,"tool_call_count":0',
    '"message_count":null,"tool_call_count":null',
  )
  expect(server.requests.map(({ body }) => body.toString())).toEqual([
    `{"sessions":[${session}],"messages":[],"sync_timestamp":"2026-01-29T14:30:00Z"}`,
  ])
  expect(server.requests[0]?.headers['authorization']).toBeUndefined()
  expect(sync.status()).toEqual({
    state: 'idle',
    reason: '',
    lastSyncAt: BATCH_NOW,
    pending: {},
    refused: 0,
    refusedRecords: [],
    uncounted: 0,
  })
})

test('sends all rows at first, a hundred a request and sessions before messages; then only what changed', async () => {
  const receiver = createReceiver()
  await using server = await startFaultyServer(receiver.answer)
  await using rig = openBatchRig()
  rig.fill(130, 210)
  const sync = rig.start(server.url)
  expect(sync.status().pending).toEqual({ sessions: 130, messages: 210 })
  expect(await sync.syncNow()).toEqual({ pushed: 340 })
  expect(countsOf(server)).toEqual([
    [100, 0],
    [30, 0],
    [0, 100],
    [0, 100],
    [0, 10],
  ])
  expect(receiver.rows.size).toBe(340)
  // Nothing new: not a request. Neither for a row that is gone, or one of another table.
  rig.program.exec("DELETE FROM messages WHERE id = 'm001'; INSERT INTO tool_calls (id) VALUES ('t')")
  expect(await sync.syncNow()).toEqual({ pushed: 0 })
  rig.program.exec("UPDATE messages SET text = 'new' WHERE id IN ('m002', 'm003')")
  rig.program.exec(
    "UPDATE messages SET text = 'newer' WHERE id = 'm002'; INSERT INTO sessions (id) VALUES ('new')",
  )
  expect(sync.status().pending).toEqual({ sessions: 1, messages: 2 })
  expect(await sync.syncNow()).toEqual({ pushed: 3 })
  expect(countsOf(server).slice(5)).toEqual([[1, 2]])
  expect(receiver.rows.get('m002')).toMatchObject({ text: 'newer' })
})

test('sync_batch_size caps a request, also of changes, and so do many long texts', async () => {
  const receiver = createReceiver()
  await using server = await startFaultyServer(receiver.answer)
  await using rig = openBatchRig()
  const sync = rig.start(server.url, { batchSize: 2 })
  await sync.syncNow()
  rig.fill(3, 2)
  await sync.syncNow()
  expect(countsOf(server)).toEqual([
    [2, 0],
    [1, 1],
    [0, 1],
  ])
  const update = rig.program.prepare('UPDATE messages SET text = ? WHERE id = ?')
  for (const id of ['m000', 'm001']) update.run('x'.repeat(3 * 1024 * 1024), id)
  await sync.syncNow()
  expect(countsOf(server).slice(3)).toEqual([
    [0, 1],
    [0, 1],
  ])
})

test('goes at once with a change, debounced, and looks every interval', async () => {
  const receiver = createReceiver()
  await using server = await startFaultyServer(receiver.answer)
  await using rig = openBatchRig()
  const sync = rig.start(server.url)
  await sync.syncNow()
  for (const id of ['a', 'b', 'c']) {
    rig.program.exec(`INSERT INTO sessions (id) VALUES ('${id}')`)
    rig.feed.wake()
  }
  expect(server.requests).toEqual([])
  rig.clock.elapse(500)
  await expect.poll(() => receiver.rows.size).toBe(3)
  expect(countsOf(server)).toEqual([[3, 0]])
  // The time of the last cycle is what the interval counts from.
  await sync.syncNow()
  expect(Math.max(...rig.clock.pending)).toBe(30_000)
})

const failing: readonly (readonly [name: string, answer: Answerer, state: string])[] = [
  ['500', jsonAnswer({}, 500), 'offline'],
  ['a cut connection', () => Promise.reject(new Error()), 'offline'],
  ['no JSON', (_, response) => void response.writeHead(200).end('<html>'), 'offline'],
  ['a torn answer', (_, response) => void response.writeHead(200).end('{"sessions_synced":1'), 'offline'],
  ['another JSON', jsonAnswer({ ok: true }), 'offline'],
  ['counts that are none', jsonAnswer({ ...GOOD, sessions_synced: '1' }), 'offline'],
  ['counts below zero', jsonAnswer({ ...GOOD, messages_synced: -1 }), 'offline'],
  ['no time', jsonAnswer({ ...GOOD, sync_timestamp: undefined }), 'offline'],
  ['a page without end', endless, 'offline'],
  ['a redirect', (_, response) => void response.writeHead(307, { location: '/elsewhere' }).end(), 'offline'],
  ['a refused token', jsonAnswer({}, 401), 'blocked'],
  ['another address', jsonAnswer({}, 404), 'blocked'],
  ['a refusal of every record', jsonAnswer({}, 422), 'blocked'],
]
async function endless(_: unknown, response: Parameters<Answerer>[1]): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/json' })
  const chunk = Buffer.alloc(256 * 1024, ' ')
  while (!response.destroyed) await new Promise<void>((resolve) => response.write(chunk, () => resolve()))
}

test.each(failing)('%s loses nothing and puts nothing aside: all is sent again', async (_, answer, state) => {
  const receiver = createReceiver()
  await using server = await startFaultyServer(answer)
  await using rig = openBatchRig()
  rig.fill(3, 4)
  const sync = rig.start(server.url, { token: 'hidden' })
  await expect(sync.syncNow()).rejects.toThrow()
  const status = sync.status()
  expect(status).toMatchObject({ state, lastSyncAt: null, refused: 0, pending: { sessions: 3, messages: 4 } })
  expect(status.reason).not.toMatch(/hidden|s000/)
  server.answerWith(receiver.answer)
  expect(await sync.syncNow()).toEqual({ pushed: 7 })
  expect(receiver.rows.size).toBe(7)
  expect(sync.status()).toMatchObject({ state: 'idle', reason: '', pending: {} })
})

test('waits 15 s, 30 s, 60 s … 5 min, or as long as it is asked to, and changes here hurry nothing', async () => {
  await using server = await startFaultyServer(jsonAnswer({}, 503))
  await using rig = openBatchRig()
  rig.fill(1, 0)
  const sync = rig.start(server.url)
  const waits: number[] = []
  const next = (): number => Math.max(...rig.clock.pending)
  await expect(sync.syncNow()).rejects.toMatchObject({ code: 'unavailable' })
  for (let failures = 1; failures < 7; failures++) {
    const wait = next()
    waits.push(wait)
    rig.feed.wake()
    expect(next()).toBe(wait)
    rig.clock.elapse(wait)
    await expect
      .poll(() => Math.max(0, ...rig.clock.pending) > 250 && server.requests.length)
      .toBe(failures + 1)
  }
  for (const [at, full] of [15, 30, 60, 120, 240, 300].entries()) {
    expect(waits[at]).toBeLessThanOrEqual(full * 1_000)
    expect(waits[at]).toBeGreaterThanOrEqual(full * 800)
  }
  server.answerWith(jsonAnswer({}, 429, { 'retry-after': '900' }))
  await expect(sync.syncNow()).rejects.toMatchObject({ code: 'rate_limited' })
  expect(next()).toBe(900_000)
  sync.wake()
  rig.clock.elapse(0)
  await expect.poll(() => server.requests.length).toBe(9)
})

test.each([413, 400, 422])('a record refused with %i stands aside, and the others go', async (status) => {
  const receiver = createReceiver(({ id }) => (id === 's042' || id === 'm007' ? status : null))
  await using server = await startFaultyServer(receiver.answer)
  await using rig = openBatchRig()
  rig.fill(90, 20)
  const sync = rig.start(server.url)
  expect(await sync.syncNow()).toEqual({ pushed: 108 })
  expect(receiver.rows.size).toBe(108)
  expect(sync.status()).toMatchObject({
    state: 'idle',
    pending: {},
    refused: 2,
    refusedRecords: [
      { table: 'messages', id: 'm007', status, at: BATCH_NOW },
      { table: 'sessions', id: 's042', status, at: BATCH_NOW },
    ],
  })
  // By halves, not one by one.
  expect(server.requests.length).toBeLessThan(30)
  const before = server.requests.length
  expect(await sync.syncNow()).toEqual({ pushed: 0 })
  expect(server.requests.length).toBe(before)
  // It goes again when it changes, alone as it is then, and stands aside again or no more.
  rig.program.exec("UPDATE sessions SET title = 'x' WHERE id = 's042'")
  expect(await sync.syncNow()).toEqual({ pushed: 0 })
  expect(sync.status()).toMatchObject({ state: 'idle', refused: 2 })
  server.answerWith(createReceiver().answer)
  rig.program.exec("UPDATE sessions SET title = 'y' WHERE id = 's042'")
  expect(await sync.syncNow()).toEqual({ pushed: 1 })
  expect(sync.status().refusedRecords.map(({ id }) => id)).toEqual(['m007'])
})

test('an endpoint that took records and then refuses every one of them has none put aside', async () => {
  const receiver = createReceiver()
  await using server = await startFaultyServer(receiver.answer)
  await using rig = openBatchRig()
  rig.fill(2, 0)
  const sync = rig.start(server.url)
  await sync.syncNow()
  server.answerWith(jsonAnswer({}, 400))
  rig.program.exec("INSERT INTO sessions (id) VALUES ('a'), ('b'), ('c')")
  await expect(sync.syncNow()).rejects.toMatchObject({ code: 'unprocessable' })
  expect(sync.status()).toMatchObject({ state: 'blocked', refused: 0, pending: { sessions: 3 } })
  server.answerWith(receiver.answer)
  expect(await sync.syncNow()).toEqual({ pushed: 3 })
})

test('tells records that the endpoint took and did not count', async () => {
  await using server = await startFaultyServer(
    jsonAnswer({ ...GOOD, sessions_synced: 1, messages_synced: 0 }),
  )
  await using rig = openBatchRig()
  rig.fill(3, 0)
  const sync = rig.start(server.url)
  expect(await sync.syncNow()).toEqual({ pushed: 3 })
  expect(sync.status().uncounted).toBe(2)
})

test('shows the token to the endpoint that was set and follows it to no other', async () => {
  const receiver = createReceiver()
  await using other = await startFaultyServer(receiver.answer)
  await using server = await startFaultyServer((_, response) =>
    response.writeHead(308, { location: `${other.url}/sync/batch` }).end(),
  )
  await using rig = openBatchRig()
  rig.fill(1, 0)
  const sync = rig.start(server.url, { token: 'hidden' })
  await expect(sync.syncNow()).rejects.toMatchObject({ code: 'bad_answer' })
  expect(server.requests[0]?.headers['authorization']).toBe('Bearer hidden')
  expect(other.requests).toEqual([])
})

test('goes on where it was after a restart, in the middle of the first sending too', async () => {
  const receiver = createReceiver()
  await using server = await startFaultyServer(receiver.answer)
  await using rig = openBatchRig()
  rig.fill(30, 30)
  const first = rig.start(server.url, { batchSize: 10 })
  server.answerWith((request, response) => {
    if (server.requests.length > 4) return Promise.reject(new Error('cut'))
    return receiver.answer(request, response)
  })
  await expect(first.syncNow()).rejects.toMatchObject({ code: 'network' })
  await first[Symbol.asyncDispose]()
  await first[Symbol.asyncDispose]()
  await expect(first.syncNow()).rejects.toMatchObject({ code: 'aborted' })
  expect(receiver.rows.size).toBe(40)
  // Rows that come and change meanwhile, before and behind the place.
  rig.program.exec(
    "INSERT INTO sessions (id) VALUES ('a'); UPDATE messages SET text = 'new' WHERE id = 'm001'",
  )
  server.answerWith(receiver.answer)
  const second = rig.start(server.url, { batchSize: 10 })
  expect(second.status().pending).toEqual({ messages: 20 })
  expect(await second.syncNow()).toEqual({ pushed: 22 })
  expect(receiver.rows.size).toBe(61)
  expect(receiver.rows.get('m001')).toMatchObject({ text: 'new' })
})

test('sends all again after a reset, to another endpoint, and when another file stands in the place', async () => {
  const receiver = createReceiver(({ id }) => (id === 's002' ? 422 : null))
  await using server = await startFaultyServer(receiver.answer)
  await using other = await startFaultyServer(createReceiver().answer)
  await using rig = openBatchRig()
  rig.fill(3, 0)
  const sync = rig.start(server.url)
  expect(await sync.syncNow()).toEqual({ pushed: 2 })
  sync.reset()
  expect(sync.status()).toMatchObject({ pending: { sessions: 3 }, refused: 0 })
  expect(await sync.syncNow()).toEqual({ pushed: 2 })
  await sync[Symbol.asyncDispose]()
  const elsewhere = rig.start(other.url)
  expect(elsewhere.status()).toMatchObject({ lastSyncAt: null, refused: 0, pending: { sessions: 3 } })
  rig.program.exec("DELETE FROM sessions WHERE id = 's002'")
  expect(await elsewhere.syncNow()).toEqual({ pushed: 2 })
  expect(elsewhere.status().refused).toBe(0)
  // A copy of the file from before, with other rows since.
  const file = join(rig.folder, 'agents.db')
  rig.program.pragma('wal_checkpoint(TRUNCATE)')
  copyFileSync(file, `${file}.copy`)
  rig.program.exec("INSERT INTO sessions (id) VALUES ('lost')")
  expect(await elsewhere.syncNow()).toEqual({ pushed: 1 })
  for (const end of ['-wal', '-shm']) rmSync(`${file}${end}`)
  renameSync(`${file}.copy`, file)
  rig.clock.elapse(250)
  expect((await elsewhere.syncNow()).pushed).toBeGreaterThanOrEqual(2)
})

test('a reset by another process while a request is under way is not undone by its answer', async () => {
  const receiver = createReceiver()
  const held = Promise.withResolvers<void>()
  await using server = await startFaultyServer(async (request, response) => {
    if (server.requests.length === 1) await held.promise
    return receiver.answer(request, response)
  })
  await using rig = openBatchRig()
  rig.fill(1, 2)
  const sync = rig.start(server.url)
  const sending = sync.syncNow()
  await expect.poll(() => server.requests.length).toBe(1)
  openProgress(rig.database, server.url).reset()
  held.resolve()
  expect(await sending).toEqual({ pushed: 4 })
  expect(countsOf(server)).toEqual([
    [1, 0],
    [1, 0],
    [0, 2],
  ])
})

test('keeps the lines that it has not passed, and no timer or listener once it is disposed of', async () => {
  await using server = await startFaultyServer(createReceiver().answer)
  await using rig = openBatchRig()
  const sync = rig.start(server.url)
  await sync.syncNow()
  await sync[Symbol.asyncDispose]()
  rig.feed[Symbol.dispose]()
  expect(rig.clock.pending).toEqual([])
  expect(await sync[Symbol.asyncDispose]()).toBeUndefined()
})

test('ends at once in the middle of a request that nobody answers', async () => {
  await using server = await startFaultyServer(() => new Promise(() => {}))
  await using rig = openBatchRig()
  rig.fill(1, 0)
  const sync = rig.start(server.url)
  const waiting = sync.syncNow()
  await expect.poll(() => server.requests.length).toBe(1)
  const stopping = new AbortController()
  const other = sync.syncNow(stopping.signal)
  stopping.abort()
  await Promise.all([
    expect(waiting).rejects.toMatchObject({ code: 'aborted' }),
    expect(other).rejects.toMatchObject({ code: 'aborted' }),
    sync[Symbol.asyncDispose](),
  ])
})
