import { expect, test } from 'vitest'

import { silentLogger } from '../../kernel/logger.ts'
import { seededRandom } from '../../kernel/random.ts'
import { homeFolders } from '../../machine/folders.ts'
import { makeAgentsFile, settle, type AgentsFile } from '../../../test/daemon/agents-file.ts'
import type { ServerSentEvent } from '../api/handlers.ts'
import { openPrivateDatabase } from '../private-database.ts'
import { openChangeFeed } from './change-feed.ts'
import { openEventLog } from './event-log.ts'
import { createEventStream } from './event-stream.ts'
import { startEventsReader } from './events-reader.ts'

type Query = { readonly after?: number; readonly types?: string; readonly session_id?: string }

/** The events of a daemon over one agents.db. */
function startEvents(file: AgentsFile) {
  const { clock, open } = file
  const database = openPrivateDatabase(homeFolders(file.folder))
  const feed = openChangeFeed({ open, clock, logger: silentLogger })
  const log = openEventLog(database, clock)
  const random = seededRandom(1)
  const reader = startEventsReader({ database, feed, log, clock, random, logger: silentLogger })
  const records = {
    session: (id: string) =>
      file.program.prepare('SELECT id, title FROM sessions WHERE id = ?').get(id) ?? null,
    notification: (id: string) => ({ noted: id }),
    approval: (id: string) => ({ approved: id }),
  }
  const { streamEvents } = createEventStream(log, records)
  const stop = new AbortController()
  return {
    database,
    log,
    feed,
    stop,
    stream: (query: Query = {}, lastEventId?: string) =>
      behindReady(streamEvents({ id: undefined, query, body: undefined, signal: stop.signal, lastEventId })),
    types: () => database.prepare('SELECT type FROM events ORDER BY id').pluck().all(),
    [Symbol.dispose]() {
      stop.abort()
      reader[Symbol.dispose]()
      feed[Symbol.dispose]()
      database.close()
    },
  }
}

/** A stream without its first word, which says where it begins. */
async function* behindReady(stream: AsyncIterable<ServerSentEvent>): AsyncGenerator<ServerSentEvent> {
  const iterator = stream[Symbol.asyncIterator]()
  const { value } = (await iterator.next()) as { readonly value: ServerSentEvent }
  expect(value).toEqual({ event: 'ready', id: value.id, data: { type: 'ready' } })
  expect(value.id).toBeGreaterThanOrEqual(0)
  yield* { [Symbol.asyncIterator]: () => iterator }
}

const take = async (stream: AsyncIterator<ServerSentEvent>, count: number) => {
  const events: ServerSentEvent[] = []
  while (events.length < count) {
    const { value, done } = await stream.next()
    if (done === true) break
    events.push(value)
  }
  return events
}
const typesOf = (events: readonly ServerSentEvent[]) => events.map(({ event }) => event)

const MUCH = `
  INSERT INTO sessions (id, title) VALUES ('s', 'A');
  INSERT INTO messages (id, session_id) VALUES ('m', 's');
  UPDATE messages SET text = 'x';
  INSERT INTO approvals (id, session_id) VALUES ('a', 's');
  DELETE FROM messages;
  INSERT INTO notifications (id, session_id) VALUES ('n', 't');`
const MUCH_TYPES = [
  'session_created',
  'message_created',
  'message_updated',
  'message_deleted',
  'notification_created',
]

test('D5: what other programs write becomes events, in order and once; approvals of the table become none', async () => {
  using file = makeAgentsFile()
  using events = startEvents(file)
  await settle()
  file.program.exec(MUCH)
  file.clock.elapse(250)
  await settle()
  expect(events.types()).toEqual(MUCH_TYPES)
  file.clock.elapse(10_000)
  await settle()
  expect(events.types()).toEqual(MUCH_TYPES)
})

test('D5: a kill between the two files repeats nothing and loses nothing', async () => {
  using file = makeAgentsFile()
  {
    using events = startEvents(file)
    await settle()
    file.program.exec(MUCH)
    // The commit of daemon.db fails: its events and its bookmark are gone together.
    events.database.exec(
      "CREATE TRIGGER full BEFORE UPDATE ON readers BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    file.clock.elapse(250)
    await settle()
    expect(events.types()).toEqual([])
    events.database.exec('DROP TRIGGER full')
  }
  using events = startEvents(file)
  await settle()
  expect(events.types()).toEqual(MUCH_TYPES)
})

test('a failure is tried again by itself', async () => {
  using file = makeAgentsFile()
  using events = startEvents(file)
  await settle()
  events.database.exec("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full'); END")
  file.program.exec(MUCH)
  file.clock.elapse(250)
  await settle()
  events.database.exec('DROP TRIGGER full')
  file.clock.elapse(250)
  await settle()
  expect(events.types()).toEqual(MUCH_TYPES)
})

test('a stream goes on behind the id it is given, and then live; sessions come as they are now', async () => {
  using file = makeAgentsFile()
  using events = startEvents(file)
  await settle()
  const first = events.stream()
  const next = first.next()
  file.program.exec(MUCH)
  file.clock.elapse(250)
  await settle()
  file.program.exec("UPDATE sessions SET title = 'B'")
  const got = [(await next).value as ServerSentEvent, ...(await take(first, 4))]
  expect(typesOf(got)).toEqual(MUCH_TYPES)
  expect(got[0]).toMatchObject({ data: { id: 's', session_id: 's', data: { id: 's', title: 'A' } } })
  expect(got[4]).toMatchObject({ data: { id: 'n', session_id: 't', data: { noted: 'n' } } })
  expect(got[1]?.data).not.toHaveProperty('data')
  const [as = null] = await take(events.stream({ after: (got[0]?.id ?? 0) - 1 }), 1)
  expect(as).toMatchObject({ event: 'session_created', data: { data: { id: 's', title: 'B' } } })
  const again = events.stream({ after: got[1]?.id ?? 0 })
  expect(typesOf(await take(again, 3))).toEqual(MUCH_TYPES.slice(2))
  const header = events.stream({ after: got[0]?.id ?? 0 }, String(got[3]?.id))
  expect(typesOf(await take(header, 1))).toEqual(MUCH_TYPES.slice(4))
  const live = header.next()
  file.program.exec("DELETE FROM sessions WHERE id = 's'")
  file.clock.elapse(250)
  // The update of the title is sent; the session is gone by then.
  expect((await live).value).toMatchObject({ event: 'session_updated', data: { data: null } })
})

test('filters let through what was asked for, however much does not pass', async () => {
  using file = makeAgentsFile()
  using events = startEvents(file)
  await settle()
  const place = events.log.end()
  events.database.transaction(() => {
    for (let round = 0; round < 300; round++) {
      events.log.append({
        type: 'session_updated',
        record_id: 's',
        session_id: round % 100 === 0 ? 't' : 's',
      })
    }
  })()
  events.log.append({ type: 'approval_created', record_id: 'a', session_id: 't' })
  events.log.append({ type: 'approval_created', record_id: 'b', session_id: 's' })
  const stream = events.stream({ after: place, types: 'approval_created, session_deleted', session_id: 't' })
  expect((await take(stream, 1))[0]).toMatchObject({ data: { id: 'a', data: { approved: 'a' } } })
  const more = stream.next()
  events.log.append({ type: 'approval_resolved', record_id: 'a', session_id: 't' })
  events.log.append({ type: 'approval_created', record_id: 'c', session_id: 't' })
  events.log.wake()
  expect((await more).value).toMatchObject({ data: { id: 'c' } })
  const few = events.stream({ after: place, session_id: 't' })
  expect(typesOf(await take(few, 4)).at(-1)).toBe('approval_created')
})

test('what no event can have is refused', () => {
  using file = makeAgentsFile()
  using events = startEvents(file)
  for (const id of ['x', '-1', '1.5', '1e3', '9'.repeat(30)]) {
    expect(() => events.stream({}, id)).toThrow(/Last-Event-ID/)
  }
  expect(() => events.stream({ types: 'session_created,nothing' })).toThrow(/types/)
})

test('reset where events are missing: deleted ones, a place of another database, agents.db replaced', async () => {
  using file = makeAgentsFile()
  using events = startEvents(file)
  await settle()
  file.program.exec(MUCH)
  file.clock.elapse(250)
  await settle()
  const ids = events.database.prepare('SELECT id FROM events').pluck().all() as number[]
  const [first = 0, second = 0] = ids
  const last = ids.at(-1) ?? 0
  const firstOf = async (after: number, query: Query = {}) =>
    (await events.stream({ ...query, after }).next()).value as ServerSentEvent
  expect((await firstOf(first)).id).toBe(second)
  expect((await firstOf(first - 1)).id).toBe(first)
  expect(await firstOf(first - 2)).toEqual({ event: 'reset', id: last, data: { type: 'reset' } })
  expect((await firstOf(last + 1)).event).toBe('reset')
  expect((await firstOf(0, { types: 'session_created' })).event).toBe('reset')

  const slow = events.stream({ after: first })
  expect((await slow.next()).value).toMatchObject({ id: second })
  // Seven days: the slow listener is told as well, when it asks for the next page.
  events.database.exec(`UPDATE events SET at = at - ${8 * 86_400_000}`)
  file.clock.elapse(60_000)
  await settle()
  expect(events.types()).toEqual([])
  expect(typesOf(await take(slow, 3))).toEqual(MUCH_TYPES.slice(2))
  const after = slow.next()
  events.log.append({ type: 'session_created', record_id: 'z', session_id: 'z' })
  events.log.wake()
  expect((await after).value).toMatchObject({ event: 'session_created', data: { data: null } })
  expect((await firstOf(first)).event).toBe('reset')

  // The line where the reader stood is gone: events may be missing, and everyone is told, through any filter.
  const live = events.stream({ types: 'approval_created' })
  const told = live.next()
  file.program.exec("DELETE FROM local_changes; INSERT INTO messages (id) VALUES ('unseen')")
  file.clock.elapse(250)
  await settle()
  expect((await told).value).toMatchObject({ event: 'reset' })
  expect(events.types()).toEqual(['session_created', 'reset'])
})

test('D5: ids are never given twice: after deletes, of a database made anew, of one put back', async () => {
  using file = makeAgentsFile()
  const database = openPrivateDatabase(homeFolders(file.folder))
  try {
    const log = openEventLog(database, file.clock)
    const append = () => {
      log.append({ type: 'session_created', record_id: 's', session_id: 's' })
      return log.end()
    }
    const first = append()
    expect(first).toBeGreaterThan(1_000_000)
    const place = append()
    expect(log.holdsAfter(first)).toBe(true)
    file.clock.elapse(8 * 86_400_000)
    expect(log.deleteOld()).toBe(false)
    expect(log.end()).toBe(place)
    expect(log.holdsAfter(place)).toBe(true)
    expect(log.holdsAfter(first)).toBe(false)
    expect(append()).toBe(place + 1)
    // Of a state of the file that was lost when an older one was put back.
    const lost = append() + 1
    const later = openEventLog(database, file.clock)
    expect(later.holdsAfter(lost)).toBe(false)
    later.append({ type: 'session_created', record_id: 's', session_id: 's' })
    expect(later.end()).toBeGreaterThan(lost + 1_000)
    expect(later.holdsAfter(lost)).toBe(false)
    expect(later.holdsAfter(lost - 1)).toBe(true)
  } finally {
    database.close()
  }
})

test('100,000 events are kept, and deleted a slice at a time', () => {
  using file = makeAgentsFile()
  const database = openPrivateDatabase(homeFolders(file.folder))
  try {
    const log = openEventLog(database, file.clock)
    database.exec(`
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 101500)
      INSERT INTO events (type, record_id, at) SELECT 'session_updated', i, 1000000 FROM n`)
    const count = () => Number(database.prepare('SELECT count(*) FROM events').pluck().get())
    expect(log.deleteOld()).toBe(true)
    expect(count()).toBe(100_500)
    while (log.deleteOld());
    expect(count()).toBe(100_000)
  } finally {
    database.close()
  }
})

test('a listener that goes leaves nothing, and the end of the daemon ends its stream', async () => {
  using file = makeAgentsFile()
  using events = startEvents(file)
  const listeners = new Set<() => void>()
  let reads = 0
  const log = {
    ...events.log,
    read: (...asked: Parameters<typeof events.log.read>) => {
      reads += 1
      return events.log.read(...asked)
    },
    on: (listener: () => void) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
  const none = () => null
  const { streamEvents } = createEventStream(log, { session: none, notification: none, approval: none })
  const open = (signal: AbortSignal) =>
    behindReady(streamEvents({ id: undefined, query: {}, body: undefined, signal, lastEventId: undefined }))
  const stop = new AbortController()
  const waiting = open(stop.signal).next()
  expect(listeners.size).toBe(1)
  await settle()
  for (const wake of listeners) wake()
  await settle()
  // It waits, it does not look all the time.
  expect(reads).toBe(2)
  stop.abort()
  expect((await waiting).done).toBe(true)
  expect(listeners.size).toBe(0)
})
