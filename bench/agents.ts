import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type Database from 'better-sqlite3'

import { openAgents, type Agents } from '../src/daemon/agents/agents.ts'
import { agentHandlers } from '../src/daemon/agents/handlers.ts'
import { readQuery } from '../src/daemon/agents/query/read.ts'
import { runQuery } from '../src/daemon/agents/query/query.ts'
import { MESSAGES } from '../src/daemon/agents/tables.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { systemRandom } from '../src/kernel/random.ts'
import { buildAgents, END, sessionId, wordAt } from './agents-data.ts'
import { n, type Print } from './figures.ts'
import { quantile } from './rig.ts'

const COUNTS = { sessions: 20_000, messages: 1_000_000, toolCalls: 300_000 }
const ROUNDS = 40
const TARGET = 'p95 ≤ 100 ms'
const BATCH = 100
const SINGLE = 300
const BATCHES = 30
const PAIRS = 5

/** Lists, single records and SQL at a million messages, and what the triggers cost those who write. */
export async function measureAgents(print: Print): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-agents-'))
  try {
    const file = join(folder, 'agents.db')
    buildAgents(file, COUNTS)
    await measureReads(file, print)
    await measureQueries(file, print)
    measureWrites(folder, print)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measureReads(file: string, print: Print): Promise<void> {
  using agents = openAgents({ file, clock: systemClock, random: systemRandom })
  const api = agentHandlers(agents, systemClock)
  const request = { signal: new AbortController().signal, lastEventId: undefined, body: undefined }
  const list = (query: object) => api.listSessions({ ...request, id: undefined, query })
  const some = (at: number): string => sessionId((at * 4_999) % COUNTS.sessions)
  /** The longest: the earliest session has the most. */
  const deepest = await lastCursor(agents, sessionId(0))
  const deepSession = await lastSessionCursor(agents)
  const works: readonly (readonly [string, (at: number) => unknown])[] = [
    ['sessions', () => list({})],
    ['sessions, 500 a page', () => list({ limit: 500 })],
    ['sessions, the last page', () => list({ cursor: deepSession })],
    ['sessions, all', () => list({ archived: 'all' })],
    ['sessions, archived', () => list({ archived: 'true' })],
    ['sessions of a source', () => list({ source: 'codex' })],
    ['sessions of a status', () => list({ status: 'failed' })],
    ['sessions of a source that is not there', () => list({ source: 'nobody' })],
    ['sessions of a project', (at) => list({ project: `/home/me/project-${at}` })],
    ['sessions of a parent', (at) => list({ parent_id: some(at) })],
    ['sessions since', () => list({ since: END - 86_400_000 })],
    [
      'sessions of project, source and status',
      (at) => list({ project: `/home/me/project-${at}`, source: 'codex', status: 'failed' }),
    ],
    ['one session', (at) => api.getSession({ ...request, id: some(at), query: undefined })],
    ['the longest session', () => api.getSession({ ...request, id: sessionId(0), query: undefined })],
    ['messages of a session', (at) => api.listMessages({ ...request, id: some(at), query: {} })],
    ['messages, 500 a page', () => api.listMessages({ ...request, id: sessionId(0), query: { limit: 500 } })],
    [
      'messages, the last page',
      () => api.listMessages({ ...request, id: sessionId(0), query: { cursor: deepest } }),
    ],
    ['tool calls of a session', (at) => api.listToolCalls({ ...request, id: some(at), query: {} })],
  ]
  for (const [name, work] of works) print(`agents: ${name}`, await spreadOf(ROUNDS, work), TARGET)
}

async function lastCursor(agents: Agents, session: string): Promise<string> {
  let last = ''
  const filters = [{ where: 'session_id = ?', value: session }]
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: ReturnType<Agents['sessions']> | ReturnType<typeof agents.list<unknown>> = agents.list(
      MESSAGES,
      filters,
      'ASC',
      { limit: 500, ...(cursor === '' ? {} : { cursor }) },
    )
    if (page.next !== null) last = page.next
    cursor = page.next
  }
  return last
}

async function lastSessionCursor(agents: Agents): Promise<string> {
  let last = ''
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: ReturnType<Agents['sessions']> = agents.sessions([], {
      limit: 500,
      ...(cursor === '' ? {} : { cursor }),
    })
    if (page.next !== null) last = page.next
    cursor = page.next
  }
  return last
}

const QUERIES: readonly (readonly [string, string])[] = [
  ['the newest messages', 'SELECT id, role, text FROM messages ORDER BY created_at DESC LIMIT 50'],
  ['how many messages', 'SELECT count(*) FROM messages'],
  [
    'tokens of a day',
    `SELECT sum(prompt_tokens), sum(completion_tokens) FROM messages WHERE created_at >= ${END - 86_400_000}`,
  ],
  [
    'messages of a session',
    `SELECT role, text FROM messages WHERE session_id = '${sessionId(7)}' ORDER BY created_at LIMIT 100`,
  ],
  ['cost by project', 'SELECT project_name, count(*), sum(cost) FROM sessions GROUP BY 1 ORDER BY 3 DESC'],
  [
    'sessions with most messages',
    `SELECT s.title, count(m.id) FROM sessions AS s JOIN messages AS m ON m.session_id = s.id
    WHERE s.project_path = '/home/me/project-7' GROUP BY s.id ORDER BY 2 DESC LIMIT 10`,
  ],
  [
    'failed tool calls of a week',
    `SELECT tool_name, count(*) FROM tool_calls WHERE success = 0 AND created_at >= ${END - 7 * 86_400_000} GROUP BY 1`,
  ],
  [
    'a text in a session',
    `SELECT id FROM messages WHERE session_id = '${sessionId(20)}' AND text LIKE '%${wordAt(5_000)}%'`,
  ],
]

async function measureQueries(file: string, print: Print): Promise<void> {
  const drain = (sql: string): void => {
    for (const _ of readQuery(file, sql, 1_000));
  }
  for (const [name, sql] of QUERIES) print(`query: ${name}`, await spreadOf(ROUNDS, () => drain(sql)), TARGET)
  const options = { clock: systemClock, signal: new AbortController().signal, timeoutMs: 60_000 }
  const inProcess = async (): Promise<void> => {
    for await (const _ of runQuery({ file, sql: 'SELECT 1', limit: 1 }, options));
  }
  print('query: the process of its own', await spreadOf(10, inProcess), '-')
}

/** Upserts with and without the triggers, side by side in a file each; medians of paired rounds. */
function measureWrites(folder: string, print: Print): void {
  const [heard, plain] = ['heard', 'plain'].map((name) => join(folder, `${name}.db`)) as [string, string]
  using withTriggers = openAgents({ file: heard, clock: systemClock, random: systemRandom })
  using without = openAgents({ file: plain, clock: systemClock, random: systemRandom })
  dropTriggers(without.database)
  const text = Array.from({ length: 80 }, (_, at) => wordAt(at)).join(' ')
  for (const agents of [withTriggers, without]) agents.upsertSession({ id: 's' })
  for (const [name, batch, count] of [
    ['single', 1, SINGLE],
    [`batches of ${BATCH}`, BATCH, BATCHES],
  ] as const) {
    const write = (agents: Agents, round: number, prefix: string): number => {
      const begun = process.cpuUsage()
      for (let at = 0; at < count; at++) {
        const messages = Array.from({ length: batch }, (_, row) => ({
          id: `${prefix}-${name}-${round}-${at}-${row}`,
          text,
        }))
        agents.upsertMany(MESSAGES, messages, 's')
      }
      const { user, system } = process.cpuUsage(begun)
      return user + system
    }
    const [ratios, rates]: [number[], number[]] = [[], []]
    for (let round = 0; round < PAIRS; round++) {
      const bare = write(without, round, 'plain')
      const begun = performance.now()
      const told = write(withTriggers, round, 'heard')
      rates.push((batch * count * 1_000) / (performance.now() - begun))
      ratios.push(told / bare)
    }
    print(
      `agents: upserts of new messages, ${name}`,
      `${n(Math.round(quantile(rates, 0.5)))} rows/s, triggers ${quantile(ratios, 0.5).toFixed(2)} × CPU`,
      '≤ 1.5 ×',
    )
  }
  for (const [name, batch] of [
    ['single', 1],
    [`batches of ${BATCH}`, BATCH],
  ] as const) {
    const [told, bare] = [withTriggers, without].map((agents) => bytesPerRow(agents, batch, text)) as [
      number,
      number,
    ]
    print(
      `agents: bytes to the disk a row, ${name}`,
      `${n(Math.round(told))}, ${(told / bare).toFixed(2)} × without triggers`,
      '-',
    )
  }
}

/** What the WAL grows by. */
function bytesPerRow({ database, upsertMany }: Agents, batch: number, text: string): number {
  database.pragma('wal_autocheckpoint = 0')
  database.pragma('wal_checkpoint(TRUNCATE)')
  const rounds = 3_000 / batch
  for (let round = 0; round < rounds; round++) {
    const rows = Array.from({ length: batch }, (_, row) => ({ id: `wal-${batch}-${round}-${row}`, text }))
    upsertMany(MESSAGES, rows, 's')
  }
  return statSync(`${database.name}-wal`).size / (rounds * batch)
}

function dropTriggers(database: Database.Database): void {
  const names = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").pluck().all()
  for (const name of names) database.exec(`DROP TRIGGER ${String(name)}`)
}

/** By the clock, and what of it this process worked: on a machine that does other things too, the latter says more. */
async function spreadOf(rounds: number, work: (round: number) => unknown): Promise<string> {
  const [times, worked]: [number[], number[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    const [begun, before] = [performance.now(), process.cpuUsage()]
    await work(round)
    times.push(performance.now() - begun)
    const { user, system } = process.cpuUsage(before)
    worked.push((user + system) / 1_000)
  }
  const [p50, p95, cpu] = [quantile(times, 0.5), quantile(times, 0.95), quantile(worked, 0.95)]
  return `p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms (CPU ${cpu.toFixed(1)} ms)`
}
