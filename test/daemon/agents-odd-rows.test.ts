import { execFileSync } from 'node:child_process'

import fc from 'fast-check'
import { expect, test } from 'vitest'

import { MAX_TEXT_CHARS } from '../../src/protocol/agents.ts'
import { openRig, type AgentsRig } from './agents-rig.ts'

/** What other programs and devices may have put into `agents.db`. The rig checks each answer against the contract. */

const insertRow = ({ agents }: AgentsRig, table: string, row: { readonly [column: string]: unknown }): void =>
  void agents.database
    .prepare(
      `INSERT INTO ${table} (${Object.keys(row).join(', ')}) VALUES (${Object.keys(row)
        .map(() => '?')
        .join(', ')})`,
    )
    .run(...Object.values(row))

const odd = fc.oneof(
  fc.constant(null),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double(),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom<unknown>(
    '',
    'not JSON',
    '{"a":',
    '[1,{"__proto__":1}]',
    '12345678901234567890',
    '\u0000',
    'a\u0000b',
    '\ud800',
    -1n,
    Infinity,
    8_640_000_000_000_001n,
    2n ** 53n,
    Buffer.alloc(0),
    `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
    '9'.repeat(5_000),
    '\u{1f30a}'.repeat(4_097),
  ),
)

const COLUMNS = {
  messages: [
    'parent_id',
    'role',
    'text',
    'model',
    'prompt_tokens',
    'duration_ms',
    'created_at',
    'completed_at',
    'raw',
  ],
  tool_calls: ['message_id', 'tool_name', 'input', 'output', 'success', 'error', 'duration_ms', 'created_at'],
  session_errors: ['message_id', 'kind', 'message', 'created_at'],
  compactions: ['cause', 'summary', 'tokens_before', 'created_at'],
} as const
const CALLS = {
  messages: 'listMessages',
  tool_calls: 'listToolCalls',
  session_errors: 'listSessionErrors',
  compactions: 'listCompactions',
} as const
const TABLES = ['messages', 'tool_calls', 'session_errors', 'compactions'] as const

test('no row that any program may have written makes a list fail, or is met twice', async () => {
  using rig = openRig()
  await rig.ask('createSession', { body: { id: 's' } })
  const row = fc.constantFrom(...TABLES).chain((table) =>
    fc.record({
      table: fc.constant(table),
      id: fc.oneof(fc.uuid(), fc.uuid(), odd),
      values: fc.record(Object.fromEntries(COLUMNS[table].map((column) => [column, odd]))),
    }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 8 }), async (rows) => {
      for (const { table, id, values } of rows) {
        if (id === null) continue
        rig.agents.database.prepare(`DELETE FROM ${table} WHERE id = ?`).run(id)
        insertRow(rig, table, { id, session_id: 's', ...values })
      }
      for (const table of TABLES) await walk(rig, table)
    }),
    { numRuns: 40 },
  )
})

/** All rows with an id that the contract can hold, each once, in pages of three. */
async function walk(rig: AgentsRig, table: (typeof TABLES)[number]): Promise<void> {
  const seen: string[] = []
  for (let cursor: string | null = '', pages = 0; cursor !== null; pages++) {
    expect(pages).toBeLessThan(1_000)
    const query: object = { limit: 3, ...(cursor === '' ? {} : { cursor }) }
    const page: { readonly next: string | null } = await rig.ask(CALLS[table], { id: 's', query })
    const lists: readonly unknown[] = Object.values(page).filter(Array.isArray)
    const records = lists.flat() as readonly { readonly id: string }[]
    seen.push(...records.map(({ id }) => id))
    cursor = page.next
  }
  const sql = `SELECT count(*) FROM ${table} WHERE typeof(id) = 'text' AND length(id) BETWEEN 1 AND 256`
  expect(seen.length).toBe(rig.agents.database.prepare(sql).pluck().get())
}

test('odd sessions, projects, memories and notifications are listed too', async () => {
  using rig = openRig()
  const values = ['x', -5n, 2n ** 60n, 1.5, Buffer.from('blob'), '9'.repeat(10_000), Infinity, -Infinity]
  for (const [at, value] of values.entries()) {
    const times = { created_at: value, updated_at: value }
    const counts = {
      message_count: value,
      cost: value,
      title: value,
      archived_at: at % 2 === 0 ? value : null,
    }
    insertRow(rig, 'sessions', { id: `s${at}`, ...times, ...counts, parent_id: value, error: value })
    insertRow(rig, 'projects', { id: `p${at}`, ...times, path: value })
    insertRow(rig, 'memories', { id: `m${at}`, ...times, body: value, session_id: value })
    insertRow(rig, 'notifications', { id: `n${at}`, created_at: value, read_at: value, title: value })
  }
  expect((await rig.ask('listSessions', { query: { archived: 'all' } })).sessions.length).toBe(values.length)
  expect((await rig.ask('listSessions', { query: { archived: 'true' } })).sessions.length).toBe(4)
  expect((await rig.ask('listProjects')).projects.length).toBe(values.length)
  expect((await rig.ask('listMemories')).memories.length).toBe(values.length)
  expect((await rig.ask('listNotifications')).notifications.length).toBe(values.length)
  for (const at of values.keys()) await rig.ask('getSession', { id: `s${at}` })
  const { sessions } = await rig.ask('listSessions', { query: { archived: 'all' } })
  expect(sessions.find(({ id }) => id === 's3')).toMatchObject({ created_at: 1, cost: 1.5, title: '1.5' })
  expect(sessions.find(({ id }) => id === 's1')).toMatchObject({ created_at: null, message_count: 0 })
})

test('texts that are longer than the contract has it are cut, and a page ends before it is too much', async () => {
  using rig = openRig()
  await rig.ask('createSession', { body: { id: 's' } })
  const { database } = rig.agents
  const add = "INSERT INTO messages (id, session_id, created_at, text, role, raw) VALUES (?, 's', 1, ?, ?, ?)"
  const long = '\u00e9'.repeat(MAX_TEXT_CHARS + 1)
  database.prepare(add).run('a', long, 'r'.repeat(5_000), `"${'x'.repeat(40 * 1024 * 1024)}"`)
  for (const id of ['b', 'c']) database.prepare(add).run(id, long.slice(0, -1), 'r', '{"a":1}')
  const page = await rig.ask('listMessages', { id: 's' })
  expect(page.messages.map(({ id, text, role, raw }) => [id, text?.length, role?.length, raw])).toEqual([
    ['a', MAX_TEXT_CHARS, 4_096, null],
  ])
  const rest = await rig.ask('listMessages', { id: 's', query: { cursor: page.next } })
  expect(rest.messages.map(({ id, text, raw }) => [id, text?.length, raw])).toEqual([
    ['b', MAX_TEXT_CHARS, { a: 1 }],
  ])
})

test('bytes that are no UTF-8 are no reason to fail, or to meet a row again', async () => {
  using rig = openRig()
  await rig.ask('createSession', { body: { id: 's' } })
  const bytes = ['ff', 'eda080', 'f8', '61ff62', '61', 'efbfbd', 'c3a9']
  for (const hex of bytes) {
    rig.agents.database.exec(
      `INSERT INTO messages (id, session_id, created_at, text)
       VALUES (CAST(x'${hex}' AS TEXT), 's', 1, CAST(x'${hex}' AS TEXT))`,
    )
  }
  let met = 0
  for (let cursor: string | null = ''; cursor !== null && met < 100;) {
    const query: object = { limit: 1, ...(cursor === '' ? {} : { cursor }) }
    const page: Awaited<ReturnType<typeof rig.ask<'listMessages'>>> = await rig.ask('listMessages', {
      id: 's',
      query,
    })
    met += page.messages.length
    cursor = page.next
  }
  expect(met).toBe(bytes.length)
})

test('a lone surrogate of an input is kept as U+FFFD, within JSON as it is', async () => {
  using rig = openRig()
  const { id } = await rig.ask('createSession', { body: { id: 's\ud800', title: 'a\ud800b' } })
  expect(id).toBe('s\ufffd')
  const messages = [{ id: 'm', text: 'x\udc00', raw: { '\ud800': ['\udfff', 'a\u0000'] } }]
  const sent = { id, body: { messages } }
  await rig.ask('createMessages', sent)
  const wakes = rig.wakes()
  expect((await rig.ask('createMessages', sent)).messages).toMatchObject([
    { text: 'x\ufffd', raw: { '\ud800': ['\udfff', 'a\u0000'] } },
  ])
  expect(rig.wakes()).toBe(wakes)
})

test('rows that the sqlite3 program writes are read like any other', async () => {
  try {
    execFileSync('sqlite3', ['--version'])
  } catch {
    return
  }
  using rig = openRig()
  const sql = `INSERT INTO sessions (id, title) VALUES ('s', 'from outside');
    INSERT INTO messages (id, session_id, text, raw) VALUES ('m', 's', 'hello', json_object('a', 1));
    UPDATE messages SET text = text || '!' WHERE id = 'm';
    INSERT OR REPLACE INTO sessions (id, title) VALUES ('s', 'again'); VACUUM;`
  execFileSync('sqlite3', [rig.file, sql])
  expect(await rig.ask('getSession', { id: 's' })).toMatchObject({ title: 'again', message_count: 1 })
  expect((await rig.ask('listMessages', { id: 's' })).messages).toMatchObject([
    { text: 'hello!', raw: { a: 1 } },
  ])
})
