import { copyFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

import Database from 'better-sqlite3'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { writeCursor } from '../../src/daemon/agents/cursor.ts'
import type { Clock } from '../../src/kernel/clock.ts'
import { TidemarkError } from '../../src/kernel/errors.ts'
import { openRig, type AgentsRig } from './agents-rig.ts'

const refusal = async (work: Promise<unknown>): Promise<TidemarkError> => {
  const error: unknown = await work.catch((thrown: unknown) => thrown)
  if (error instanceof TidemarkError) return error
  throw new Error(`it was not refused: ${String(error)}`)
}
const count = ({ agents }: AgentsRig, table: string): number =>
  Number(agents.database.prepare(`SELECT count(*) FROM ${table}`).pluck().get())

/** Moves by a millisecond whenever it is looked at, and sleeps no time at all. */
function tickingClock(): Clock {
  let now = 1_000
  return {
    now: () => now++,
    after(ms, run) {
      now += ms
      setImmediate(run)
      return () => {}
    },
  }
}

describe('upserts', () => {
  test('D6: an upsert never replaces what is known by what is absent or null; only PATCH with null clears', async () => {
    using rig = openRig()
    const full = { id: 's', title: 'a title', cost: 1.5, created_at: 5, message_count: 3, source: 'x' }
    await rig.ask('createSession', { body: full })
    const again = await rig.ask('createSession', { body: { id: 's', title: null, model: 'm', cost: 2 } })
    expect(again).toMatchObject({ title: 'a title', cost: 2, model: 'm', created_at: 5, message_count: 3 })
    const cleared = await rig.ask('updateSession', { id: 's', body: { title: null, source: 'y' } })
    expect(cleared).toMatchObject({ title: null, source: 'y', model: 'm' })
  })

  test('a request that is repeated writes nothing, and wakes nobody', async () => {
    using rig = openRig({ clock: tickingClock() })
    const session = { id: 's', title: 'a' }
    await rig.ask('createSession', { body: session })
    const body = { messages: [{ id: 'm', text: 'one', raw: { a: [1, null] }, created_at: 3 }] }
    const first = await rig.ask('createMessages', { id: 's', body })
    const before = [rig.wakes(), count(rig, 'local_changes')]
    expect(await rig.ask('createMessages', { id: 's', body })).toEqual(first)
    await rig.ask('createSession', { body: session })
    await rig.ask('updateSession', { id: 's', body: { title: 'a' } })
    await rig.ask('updateSession', { id: 's', body: {} })
    expect([rig.wakes(), count(rig, 'local_changes')]).toEqual(before)
    const changed = await rig.ask('updateSession', { id: 's', body: { title: 'b' } })
    expect([rig.wakes(), count(rig, 'local_changes')]).toEqual(before.map((one) => one + 1))
    expect(changed.updated_at).toBeGreaterThan(changed.created_at ?? Infinity)
  })

  const FIELDS = ['text', 'role', 'prompt_tokens', 'raw', 'created_at', 'completed_at'] as const
  const value = (field: (typeof FIELDS)[number]): fc.Arbitrary<unknown> => {
    if (field === 'raw') return fc.jsonValue({ maxDepth: 3 }).filter((json) => json !== null)
    if (field === 'text' || field === 'role') return fc.string({ unit: 'grapheme', maxLength: 20 })
    return fc.integer({ min: 0, max: 10 ** 12 })
  }
  const input = fc.record(
    {
      id: fc.constantFrom('a', 'b', 'c\u0000d', '\u{1f30a}'),
      ...Object.fromEntries(FIELDS.map((field) => [field, fc.option(value(field))])),
    },
    { requiredKeys: ['id'] },
  )

  test('D6: any sequence of batches comes to the last known value of each field', async () => {
    const batches = fc.array(fc.array(input, { minLength: 1, maxLength: 5 }), { maxLength: 6 })
    using rig = openRig({ clock: tickingClock() })
    let run = 0
    await fc.assert(
      fc.asyncProperty(batches, async (sent) => {
        const session = `s${run++}`
        await rig.ask('createSession', { body: { id: session } })
        const model = new Map<string, Map<string, unknown>>()
        for (const batch of sent) {
          // An id is known under one session only.
          const messages = batch.map((one) => ({ ...one, id: `${session}/${one.id}` }))
          const answer = await rig.ask('createMessages', { id: session, body: { messages } })
          for (const message of messages) {
            const known = model.get(message.id) ?? new Map<string, unknown>()
            for (const [field, told] of Object.entries(message)) if (told !== null) known.set(field, told)
            model.set(message.id, known)
          }
          expect(answer.messages.map(({ id }) => id)).toEqual(messages.map(({ id }) => id))
        }
        const { messages } = await rig.ask('listMessages', { id: session, query: { limit: 500 } })
        expect(messages.length).toBe(model.size)
        for (const message of messages) {
          for (const field of FIELDS) {
            const known = model.get(message.id)?.get(field)
            if (known !== undefined || field !== 'created_at') {
              expect([field, message[field]]).toEqual([field, asJson(known ?? null)])
            } else expect(message.created_at).toBeGreaterThan(0)
          }
        }
      }),
      { numRuns: 60 },
    )
  })

  const asJson = (json: unknown): unknown => JSON.parse(JSON.stringify(json))

  test('a batch is taken whole or not at all', async () => {
    using rig = openRig()
    for (const id of ['s', 't']) await rig.ask('createSession', { body: { id } })
    await rig.ask('createMessages', { id: 't', body: { messages: [{ id: 'theirs' }] } })
    const wakes = rig.wakes()
    const messages = [{ id: 'secret-1', text: 'secret' }, { id: 'theirs' }, { id: 'secret-2' }]
    const error = await refusal(rig.ask('createMessages', { id: 's', body: { messages } }))
    expect([error.code, error.details]).toEqual(['unprocessable', { field: 'messages[1].id' }])
    expect(error.message).not.toContain('theirs')
    expect([count(rig, 'messages'), rig.wakes()]).toEqual([1, wakes])
    // One that came by sync or plain SQL without a session gets it.
    rig.agents.database.exec("INSERT INTO messages (id) VALUES ('orphan')")
    const { messages: adopted } = await rig.ask('createMessages', {
      id: 's',
      body: { messages: [{ id: 'orphan', text: 'x' }] },
    })
    expect(adopted).toMatchObject([{ session_id: 's', text: 'x' }])
    expect((await refusal(rig.ask('createToolCalls', { id: 'u', body: { tool_calls: [{}] } }))).code).toBe(
      'not_found',
    )
  })

  test('rows without ids get some of the daemon, in the order they came', async () => {
    using rig = openRig()
    const { id } = await rig.ask('createSession', { body: {} })
    const texts = Array.from({ length: 50 }, (_, at) => `message ${at}`)
    const body = { messages: texts.map((text) => ({ text })) }
    expect((await rig.ask('createMessages', { id, body })).messages.map(({ text }) => text)).toEqual(texts)
    const { messages } = await rig.ask('listMessages', { id })
    expect(messages.map(({ text }) => text)).toEqual(texts)
    expect(new Set(messages.map((message) => message.id)).size).toBe(50)
  })

  test('what is too deep to be answered is not taken', async () => {
    using rig = openRig()
    const { id } = await rig.ask('createSession', { body: {} })
    const deep = JSON.parse(`${'['.repeat(5_000)}${']'.repeat(5_000)}`) as unknown
    const body = { messages: [{ id: 'fine' }, { raw: deep }] }
    expect((await refusal(rig.ask('createMessages', { id, body }))).code).toBe('unprocessable')
    expect(count(rig, 'messages')).toBe(0)
  })
})

test('a session is archived once, left out of lists, and taken out again', async () => {
  using rig = openRig({ clock: tickingClock() })
  await rig.ask('createSession', { body: { id: 's' } })
  const archived = await rig.ask('archiveSession', { id: 's' })
  expect(archived.archived_at).toBeGreaterThan(0)
  expect(await rig.ask('archiveSession', { id: 's' })).toEqual(archived)
  expect((await rig.ask('listSessions')).sessions).toEqual([])
  expect((await rig.ask('listSessions', { query: { archived: 'true' } })).sessions).toEqual([archived])
  expect((await rig.ask('listSessions', { query: { archived: 'all' } })).sessions).toEqual([archived])
  expect((await rig.ask('unarchiveSession', { id: 's' })).archived_at).toBeNull()
  expect((await rig.ask('listSessions')).sessions.length).toBe(1)
  for (const call of ['getSession', 'archiveSession', 'unarchiveSession', 'listMessages'] as const)
    expect((await refusal(rig.ask(call, { id: 'nobody' }))).code).toBe('not_found')
  expect((await refusal(rig.ask('updateSession', { id: 'nobody', body: {} }))).code).toBe('not_found')
})

test('messages and tool calls are counted where the source told no number', async () => {
  using rig = openRig()
  await rig.ask('createSession', { body: { id: 's', tool_call_count: 9 } })
  await rig.ask('createMessages', { id: 's', body: { messages: [{}, {}] } })
  await rig.ask('createToolCalls', { id: 's', body: { tool_calls: [{ success: true, input: 'text' }] } })
  const counts = { message_count: 2, tool_call_count: 9 }
  expect(await rig.ask('getSession', { id: 's' })).toMatchObject(counts)
  expect((await rig.ask('listSessions')).sessions).toMatchObject([counts])
  expect((await rig.ask('listToolCalls', { id: 's' })).tool_calls).toMatchObject([
    { success: true, input: 'text' },
  ])
})

describe('lists', () => {
  test.each([
    [{}, ['e', 'd', 'c', 'b']],
    [{ archived: 'all' }, ['e', 'd', 'c', 'b', 'a']],
    [{ archived: 'true' }, ['a']],
    [{ source: 'x' }, ['d', 'b']],
    [{ source: 'x', archived: 'all' }, ['d', 'b', 'a']],
    [{ status: 'done', source: 'x' }, ['d']],
    [{ project: '/p' }, ['c', 'b']],
    [{ project: '/p', parent_id: 'a' }, ['c']],
    [{ parent_id: 'a' }, ['d', 'c']],
    [{ since: 4 }, ['e', 'd']],
    [{ since: 3, source: 'x', status: 'done', project: '/q' }, ['d']],
    [{ source: "x' OR 1" }, []],
  ])('sessions by %j', async (query, ids) => {
    using rig = openRig()
    for (const [at, body] of [
      { id: 'a', source: 'x', archived_at: 1 },
      { id: 'b', source: 'x', project_path: '/p' },
      { id: 'c', project_path: '/p', parent_id: 'a' },
      { id: 'd', source: 'x', status: 'done', parent_id: 'a', project_path: '/q' },
      { id: 'e', status: 'done' },
    ].entries())
      await rig.ask('createSession', { body: { ...body, updated_at: at + 1 } })
    const seen: string[] = []
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: Awaited<ReturnType<typeof rig.ask<'listSessions'>>> = await rig.ask('listSessions', {
        query: { ...query, limit: 2, ...(cursor === '' ? {} : { cursor }) },
      })
      seen.push(...page.sessions.map(({ id }) => id))
      cursor = page.next
    }
    expect(seen).toEqual(ids)
  })

  test('notifications, projects and memories, the newest first', async () => {
    using rig = openRig()
    const notifications = [
      { id: 'a', created_at: 1, read_at: 2 },
      { id: 'b', created_at: 2, session_id: 's' },
    ]
    await rig.ask('createNotifications', { body: { notifications } })
    const ids = async (query: object): Promise<readonly string[]> =>
      (await rig.ask('listNotifications', { query })).notifications.map(({ id }) => id)
    expect(await ids({})).toEqual(['b', 'a'])
    expect(await ids({ unread: 'true' })).toEqual(['b'])
    expect(await ids({ unread: 'true', session_id: 's' })).toEqual(['b'])
    expect(await ids({ session_id: 'other' })).toEqual([])
    await rig.ask('createProjects', { body: { projects: [{ id: 'p', path: '/p' }] } })
    expect((await rig.ask('listProjects')).projects).toMatchObject([{ id: 'p', path: '/p', name: null }])
    await rig.ask('createMemories', { body: { memories: [{ id: 'm', project_path: '/p' }, { id: 'n' }] } })
    expect(
      (await rig.ask('listMemories', { query: { project: '/p' } })).memories.map(({ id }) => id),
    ).toEqual(['m'])
    await rig.ask('createSession', { body: { id: 's' } })
    await rig.ask('createSessionErrors', { id: 's', body: { session_errors: [{ kind: 'k' }] } })
    await rig.ask('createCompactions', { id: 's', body: { compactions: [{ tokens_before: 9 }] } })
    expect((await rig.ask('listSessionErrors', { id: 's' })).session_errors).toMatchObject([{ kind: 'k' }])
    expect((await rig.ask('listCompactions', { id: 's' })).compactions).toMatchObject([{ tokens_before: 9 }])
  })

  test('whoever goes from page to page meets each row once, whatever is written meanwhile', async () => {
    const rows = fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.boolean()), {
      minLength: 1,
      maxLength: 30,
    })
    using rig = openRig()
    let run = 0
    await fc.assert(
      fc.asyncProperty(rows, fc.integer({ min: 1, max: 5 }), async (given, limit) => {
        const session = `s${run++}`
        await rig.ask('createSession', { body: { id: session } })
        const insert = rig.agents.database.prepare(
          'INSERT INTO messages (id, session_id, created_at) VALUES (?, ?, ?)',
        )
        const idOf = (at: number): string => `${session}-${String(at % 7)}-${at}`
        const first = given.flatMap(([time, early], at) => (early ? [[idOf(at), time] as const] : []))
        for (const [id, time] of first) insert.run(id, session, time)
        const later = given.flatMap(([time, early], at) => (early ? [] : [[idOf(at), time] as const]))
        const seen: string[] = []
        for (let cursor: string | null = ''; cursor !== null;) {
          const query: object = { limit, ...(cursor === '' ? {} : { cursor }) }
          const page: Awaited<ReturnType<typeof rig.ask<'listMessages'>>> = await rig.ask('listMessages', {
            id: session,
            query,
          })
          seen.push(...page.messages.map(({ id }) => id))
          cursor = page.next
          for (const [id, time] of later.splice(0, 2)) insert.run(id, session, time)
        }
        const order = first.toSorted(([a, s], [b, t]) => s - t || (a < b ? -1 : 1)).map(([id]) => id)
        expect(new Set(seen).size).toBe(seen.length)
        expect(seen.filter((id) => order.includes(id))).toEqual(order)
      }),
      { numRuns: 60 },
    )
  })

  const cursor = (text: string): string => Buffer.from(text, 'latin1').toString('base64url')
  test.each([
    ['nothing', ''],
    ['words', 'not a cursor'],
    ['another list', writeCursor('sessions', { at: 1n, id: Buffer.from('a') })],
    ['no id', cursor('messages:1:')],
    ['no time', cursor('messages::a')],
    ['a time beyond SQLite', cursor('messages:9999999999999999999:a')],
    ['an id that is too long', cursor(`messages:1:${'a'.repeat(1_025)}`)],
    ['white space', `${writeCursor('messages', { at: 1n, id: Buffer.from('a') })} `],
    ['an SQL text', "' OR 1 --"],
  ])('a cursor of %s is refused', async (_, text) => {
    using rig = openRig()
    await rig.ask('createSession', { body: { id: 's' } })
    const error = await refusal(rig.ask('listMessages', { id: 's', query: { cursor: text } }))
    expect([error.code, error.details]).toEqual(['bad_request', { field: 'cursor' }])
  })

  test.each([
    ['the smallest', -(2n ** 63n), 'a'],
    ['the largest', 2n ** 63n - 1n, '\u{1f30a}'.repeat(256)],
  ])('a cursor holds %s place', async (_, at, id) => {
    using rig = openRig()
    await rig.ask('createSession', { body: { id: 's' } })
    const insert = rig.agents.database.prepare(
      "INSERT INTO messages (id, session_id, created_at) VALUES (?, 's', ?)",
    )
    for (const one of [id, `${id.slice(0, -2)}b`]) insert.run(one, at)
    const { next, messages } = await rig.ask('listMessages', { id: 's', query: { limit: 1 } })
    const rest = await rig.ask('listMessages', { id: 's', query: { limit: 1, cursor: next } })
    expect(new Set([...messages, ...rest.messages].map((message) => message.id)).size).toBe(2)
    expect(rest.next).toBeNull()
  })
})

function openOther(file: string): Disposable & { readonly database: Database.Database } {
  const database = new Database(file)
  return { database, [Symbol.dispose]: () => database.close() }
}

describe('failures', () => {
  test('a file that is replaced or moved away is not written to any more', async () => {
    using rig = openRig()
    await rig.ask('createSession', { body: { id: 'old' } })
    rig.agents.database.pragma('wal_checkpoint(TRUNCATE)')
    copyFileSync(rig.file, `${rig.file}.copy`)
    await rig.ask('createSession', { body: { id: 'new' } })
    for (const end of ['', '-wal', '-shm']) rmSync(`${rig.file}${end}`, { force: true })
    renameSync(`${rig.file}.copy`, rig.file)
    const ids = async (): Promise<readonly string[]> =>
      (await rig.ask('listSessions')).sessions.map(({ id }) => id)
    expect(await ids()).toEqual(['old'])
    await rig.ask('createSession', { body: { id: 'newer' } })
    const other = new Database(rig.file)
    expect(other.prepare('SELECT id FROM sessions ORDER BY id').pluck().all()).toEqual(['newer', 'old'])
    other.close()
    // One that can't be read is told, and the next that can be is used.
    for (const end of ['', '-wal', '-shm']) rmSync(`${rig.file}${end}`, { force: true })
    writeFileSync(rig.file, 'no database '.repeat(100))
    expect((await refusal(rig.ask('listSessions'))).code).toBe('not_a_database')
    rmSync(rig.file)
    expect(await ids()).toEqual([])
    rig.agents[Symbol.dispose]()
    rig.agents[Symbol.dispose]()
    expect((await refusal(rig.ask('listSessions'))).code).toBe('unavailable')
  })

  test('a copy put in the place of the open file is not read through the WAL of the one before', async () => {
    using rig = openRig()
    await rig.ask('createSession', { body: { id: 'first' } })
    for (let round = 0; round < 3; round++) {
      rig.agents.database.exec(`VACUUM INTO '${rig.file}.copy'`)
      for (let n = 0; n < 50; n++)
        await rig.ask('createSession', { body: { id: `${round}-${n}`, title: 'x'.repeat(5_000) } })
      renameSync(rig.file, `${rig.file}.old`)
      renameSync(`${rig.file}.copy`, rig.file)
      expect((await rig.ask('listSessions')).sessions.map(({ id }) => id)).toEqual(['first'])
      for (const [file, rows] of [
        [rig.file, 1],
        [`${rig.file}.old`, 51],
      ] as const) {
        using other = openOther(file)
        expect(other.database.pragma('integrity_check', { simple: true })).toBe('ok')
        expect(other.database.prepare('SELECT count(*) FROM sessions').pluck().get()).toBe(rows)
      }
      rmSync(`${rig.file}.old`)
    }
  })

  test('a file that another program keeps locked is waited for, and told as that, without a value', async () => {
    using rig = openRig({ clock: tickingClock() })
    const other = new Database(rig.file)
    try {
      other.exec('BEGIN IMMEDIATE')
      const error = await refusal(rig.ask('createSession', { body: { id: 'secret', title: 'secret' } }))
      expect(error.code).toBe('database_locked')
      expect(JSON.stringify(error) + error.message).not.toContain('secret')
      expect((await rig.ask('listSessions')).sessions).toEqual([])
      const stop = AbortSignal.abort()
      expect((await refusal(rig.ask('createSession', { body: {}, signal: stop }))).code).toBe('aborted')
      const written = rig.ask('createSession', { body: { id: 's' } })
      other.exec('COMMIT')
      expect((await written).id).toBe('s')
    } finally {
      other.close()
    }
  })

  test('a full disk is told as that, and nothing of the batch is there', async () => {
    using rig = openRig()
    await rig.ask('createSession', { body: { id: 's' } })
    const pages = Number(rig.agents.database.pragma('page_count', { simple: true }))
    rig.agents.database.pragma(`max_page_count = ${pages + 5}`)
    const messages = [{ id: 'a' }, { id: 'b', text: 'secret'.repeat(100_000) }]
    const error = await refusal(rig.ask('createMessages', { id: 's', body: { messages } }))
    expect(error.code).toBe('disk_full')
    expect(JSON.stringify(error) + error.message).not.toContain('secret')
    expect([count(rig, 'messages'), rig.wakes()]).toEqual([0, 1])
    await rig.ask('createMessages', { id: 's', body: { messages: [{ id: 'a' }] } })
  })
})
