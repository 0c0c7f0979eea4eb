import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

import { openAgentsDatabase } from '../src/daemon/agents/database.ts'
import { openChangeFeed } from '../src/daemon/changes/change-feed.ts'
import { openEventLog } from '../src/daemon/changes/event-log.ts'
import { startEventsReader } from '../src/daemon/changes/events-reader.ts'
import { startIndexer } from '../src/daemon/changes/search/indexer.ts'
import { createSearch } from '../src/daemon/changes/search/search.ts'
import { openPrivateDatabase } from '../src/daemon/private-database.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { silentLogger } from '../src/kernel/logger.ts'
import { systemRandom } from '../src/kernel/random.ts'
import { homeFolders } from '../src/machine/folders.ts'
import { buildAgents, sessionId, wordAt } from './agents-data.ts'
import { n, perSecond, type Print } from './figures.ts'

interface Asked {
  readonly q: string
  readonly kind?: 'message' | 'tool_call'
  readonly session_id?: string
  readonly cursor?: string
}

/** Milliseconds of CPU between two turns of the event loop: so long others wait. Of wall time other processes have some. */
function watchLoop() {
  let last = cpuMs()
  const turns: number[] = []
  let next = setImmediate(look)
  function look() {
    const now = cpuMs()
    turns.push(now - last)
    last = now
    next = setImmediate(look)
  }
  return {
    stop: () => {
      clearImmediate(next)
      return turns.sort((a, b) => a - b)
    },
  }
}
const at = (sorted: readonly number[], share: number): string =>
  (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1)
const cpuMs = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

/** Half of the texts have it. */
const COMMON = wordAt(10)

function countBytes(file: string): number {
  const database = openAgentsDatabase(file)
  try {
    const sum = (columns: readonly string[], table: string): number =>
      Number(
        database
          .prepare(
            `SELECT sum(${columns.map((one) => `coalesce(octet_length(${one}), 0)`).join(' + ')}) FROM ${table}`,
          )
          .pluck()
          .get(),
      )
    return (
      sum(['text'], 'messages') + sum(['tool_name', 'file_path', 'error', 'input', 'output'], 'tool_calls')
    )
  } finally {
    database.close()
  }
}

/** Index and search of `rows` messages and three tool calls for each ten of them. */
export async function measureSearch(rows: number, print: Print): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-search-'))
  try {
    const agents = join(folder, 'agents.db')
    const size = { sessions: Math.ceil(rows / 100), messages: rows, toolCalls: Math.ceil(rows * 0.3) }
    buildAgents(agents, size)
    const bytes = countBytes(agents)
    const all = size.messages + size.toolCalls
    const [clock, random, logger] = [systemClock, systemRandom, silentLogger]
    const open = () => openAgentsDatabase(agents)
    using feed = openChangeFeed({ open, clock, logger })
    const file = join(folder, 'search.db')
    const loop = watchLoop()
    const [before, began] = [cpuMs(), performance.now()]
    using index = startIndexer({ file, open, feed, clock, random, logger })
    while (!index.isWhole()) await pause(20)
    const cpu = cpuMs() - before
    const wall = performance.now() - began
    const gaps = loop.stop()
    print(
      `index of ${n(all)} rows`,
      `${n(perSecond(all, wall))} rows/s, ${n(perSecond(all, cpu))} rows/s of CPU`,
      '-',
    )
    print(
      'CPU of one turn of the event loop meanwhile',
      `p50 ${at(gaps, 0.5)}, p99 ${at(gaps, 0.99)}, max ${at(gaps, 1)} ms`,
      '≤ 20 ms',
    )
    // What is still to be merged.
    await pause(2_000)
    const indexed = statSync(file).size
    print(
      'size of search.db',
      `${(indexed / bytes).toFixed(2)} bytes for each of text, ${n(Math.round(indexed / 2 ** 20))} MiB`,
      '-',
    )
    await measureQueries(createSearch(index, clock), rows, print)
    await measureLive({ agents, folder, feed, index }, print)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measureQueries(
  { search }: ReturnType<typeof createSearch>,
  rows: number,
  print: Print,
): Promise<void> {
  const rare = (round: number) => wordAt(19_000 + round * 13)
  const usual = (round: number) => wordAt(400 + round * 7)
  const frequent = (round: number) => wordAt(round % 20)
  const session = (round: number) => sessionId((round * 31) % Math.ceil(rows / 100))
  const classes: readonly (readonly [name: string, ask: (round: number) => Asked])[] = [
    ['rare word', (round) => ({ q: rare(round) })],
    ['usual word', (round) => ({ q: usual(round) })],
    ['word of half of all rows', () => ({ q: COMMON })],
    ['two words, both frequent', (round) => ({ q: `${COMMON} ${frequent(round)}` })],
    ['two words, one rare', (round) => ({ q: `${COMMON} ${rare(round)}` })],
    ['phrase', (round) => ({ q: `"${frequent(round)} ${frequent(round + 1)}"` })],
    [
      'phrase that is nowhere, of frequent words',
      (round) => ({ q: `"${COMMON} ${COMMON} ${frequent(round)}"` }),
    ],
    ['beginning of a word, four letters', (round) => ({ q: `${usual(round).slice(0, 4)}*` })],
    ['beginning of a word, two letters', (round) => ({ q: `${usual(round).slice(0, 2)}*` })],
    [
      'beginning of a word and a rare word',
      (round) => ({ q: `${usual(round).slice(0, 3)}* ${rare(round)}` }),
    ],
    ['no hit', (round) => ({ q: `nowhere${round}` })],
    ['frequent word, tool calls', () => ({ q: COMMON, kind: 'tool_call' })],
    ['frequent word, one session', (round) => ({ q: COMMON, session_id: session(round) })],
    ['rare word, one session', (round) => ({ q: rare(round), session_id: session(round) })],
  ]
  const never = new AbortController().signal
  const ask = async (query: Asked) =>
    search({ id: undefined, query, body: undefined, signal: never, lastEventId: undefined })
  const rounds = async (name: string, run: (round: number) => Promise<number>) => {
    const times: number[] = []
    let hits = 0
    const before = cpuMs()
    for (let round = 0; round < 40; round++) {
      const began = performance.now()
      hits += await run(round)
      times.push(performance.now() - began)
    }
    const cpu = (cpuMs() - before) / 40
    times.sort((a, b) => a - b)
    print(
      `search: ${name}`,
      `p50 ${at(times, 0.5)}, p95 ${at(times, 0.95)} ms, CPU ${cpu.toFixed(1)} ms, ${Math.round(hits / 40)} hits`,
      'p95 < 100 ms',
    )
  }
  for (const [name, query] of classes)
    await rounds(name, async (round) => (await ask(query(round))).hits.length)
  let cursor: string | undefined
  await rounds('page after page of a frequent word', async () => {
    const page = await ask({ q: COMMON, ...(cursor === undefined ? {} : { cursor }) })
    cursor = page.next ?? undefined
    return page.hits.length
  })
}

/** From a commit of another program to the hit, and what waiting costs. */
async function measureLive(
  {
    agents,
    folder,
    feed,
    index,
  }: {
    readonly agents: string
    readonly folder: string
    readonly feed: ReturnType<typeof openChangeFeed>
    readonly index: ReturnType<typeof startIndexer>
  },
  print: Print,
): Promise<void> {
  const daemon = openPrivateDatabase(homeFolders(folder))
  const program = openAgentsDatabase(agents)
  const [clock, random, logger] = [systemClock, systemRandom, silentLogger]
  try {
    const log = openEventLog(daemon, clock)
    using _reader = startEventsReader({ database: daemon, feed, log, clock, random, logger })
    const { search } = createSearch(index, clock)
    const never = new AbortController().signal
    const insert = program.prepare('INSERT INTO messages (id, text, created_at) VALUES (?, ?, ?)')
    const times: number[] = []
    for (let round = 0; round < 40; round++) {
      insert.run(`live-${round}`, `livesearch${round}`, clock.now())
      const began = performance.now()
      const query = { q: `livesearch${round}` }
      for (;;) {
        const { hits } = await search({
          id: undefined,
          query,
          body: undefined,
          signal: never,
          lastEventId: undefined,
        })
        if (hits.length > 0) break
        await pause(5)
      }
      times.push(performance.now() - began)
    }
    times.sort((a, b) => a - b)
    print(
      'written by another program, searchable',
      `p50 ${at(times, 0.5)}, max ${at(times, 1)} ms`,
      '< 2,000 ms',
    )
    await pause(3_000)
    const [before, began] = [cpuMs(), performance.now()]
    await pause(60_000)
    const share = (cpuMs() - before) / (performance.now() - began)
    print('readers idle for a minute', `${(share * 100).toFixed(2)} % of a core`, '< 0.5 %')
  } finally {
    program.close()
    daemon.close()
  }
}
