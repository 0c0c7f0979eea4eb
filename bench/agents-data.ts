import Database from 'better-sqlite3'

import { openAgentsDatabase } from '../src/daemon/agents/database.ts'
import { AGENT_TABLES } from '../src/daemon/agents/schema.ts'
import { randomInt, seededRandom, uuidV7 } from '../src/kernel/random.ts'

export interface AgentCounts {
  readonly sessions: number
  readonly messages: number
  readonly toolCalls: number
}

/** Different words, of which the n-th is n times as rare as the first: one stands in half of the rows, most in few. */
const WORDS = 20_000
const MESSAGE_WORDS = 80
const OUTPUT_WORDS = 150
const DAY_MS = 86_400_000
/** Rows are spread over the year before. */
export const END = 1_795_000_000_000
const BEGIN = END - 365 * DAY_MS

const SOURCES = ['claude-code', 'codex', 'opencode', 'cursor']
const STATUSES = ['done', 'done', 'done', 'running', 'failed']
const TOOLS = ['Bash', 'Read', 'Edit', 'Grep', 'WebFetch']
export const PROJECTS = 200

/** The word of a rank, the commonest first: made of syllables, so that they look like words to an index. */
export function wordAt(rank: number): string {
  const syllables = [
    'ka',
    'lo',
    'mi',
    'nu',
    're',
    'sa',
    'ti',
    'vo',
    'pe',
    'du',
    'ga',
    'fi',
    'zo',
    'ba',
    'he',
    'ju',
  ]
  let word = ''
  for (let rest = rank + 16; rest > 0; rest = Math.floor(rest / 16)) word += syllables[rest % 16]
  return word
}

/**
 * Fills a new `agents.db`: sessions of which some are long, texts with a few common words and many rare ones. As if all
 * of it had been read by everybody: `local_changes` is empty.
 */
export function buildAgents(file: string, { sessions, messages, toolCalls }: AgentCounts): void {
  openAgentsDatabase(file).close()
  const database = new Database(file)
  try {
    database.pragma('journal_mode = OFF')
    database.pragma('synchronous = OFF')
    database.pragma('cache_size = -200000')
    // Made again when it is opened: that costs less than keeping them while a million rows come.
    const parts = database.prepare(
      "SELECT type, name FROM sqlite_schema WHERE sql IS NOT NULL AND type <> 'table'",
    )
    for (const [type, name] of parts.raw().all() as [string, string][])
      if (!name.startsWith('sqlite_')) database.exec(`DROP ${type} ${name}`)
    database.transaction(() => fill(database, { sessions, messages, toolCalls }))()
    database.pragma('journal_mode = WAL')
  } finally {
    database.close()
  }
  openAgentsDatabase(file).close()
}

/** Ids of the sessions, in the order they were made: the earlier, the longer. */
export const sessionId = (at: number): string => `session-${String(at).padStart(6, '0')}`

function fill(database: Database.Database, { sessions, messages, toolCalls }: AgentCounts): void {
  const random = seededRandom(11)
  const vocabulary = Array.from({ length: WORDS }, (_, rank) => wordAt(rank))
  // Ranks as often as Zipf has them: the rank of a chance between 1 and the number of words, evenly by its logarithm.
  const pick = (): string => vocabulary[Math.floor(WORDS ** random.next()) - 1] ?? ''
  const text = (words: number): string => {
    let out = pick()
    for (let at = 1; at < words; at++) out += ` ${pick()}`
    return out
  }
  const timeAt = (at: number, of: number): number => BEGIN + Math.floor(((END - BEGIN) * at) / of)
  // A few sessions have thousands of messages, most have few.
  const sessionOf = (): string => sessionId(Math.floor(sessions * random.next() ** 3))
  const one = (of: readonly string[]): string | undefined => of[randomInt(random, of.length)]

  const session =
    database.prepare(`INSERT INTO sessions (id, source, title, status, project_path, project_name, model,
    prompt_tokens, completion_tokens, cost, parent_id, created_at, updated_at, archived_at)
    VALUES (?, ?, ?, ?, ?, ?, 'a-model', ?, ?, ?, ?, ?, ?, ?)`)
  for (let at = 0; at < sessions; at++) {
    const project = randomInt(random, PROJECTS)
    const time = timeAt(at, sessions)
    const parent = randomInt(random, 10) === 0 ? sessionId(randomInt(random, sessions)) : null
    const [source, status, title] = [one(SOURCES), one(STATUSES), text(6)]
    const [tokens, cost, updated] = [
      randomInt(random, 1e6),
      random.next() * 10,
      time + randomInt(random, DAY_MS),
    ]
    const archived = randomInt(random, 2) === 0 ? time + 30 * DAY_MS : null
    const [path, name] = [`/home/me/project-${project}`, `project-${project}`]
    const told = [tokens, randomInt(random, 1e5), cost, parent, time, updated, archived]
    session.run(sessionId(at), source, title, status, path, name, ...told)
  }
  const message = database.prepare(`INSERT INTO messages (id, session_id, role, text, model, prompt_tokens,
    completion_tokens, duration_ms, created_at) VALUES (?, ?, ?, ?, 'a-model', ?, ?, ?, ?)`)
  for (let at = 0; at < messages; at++) {
    const time = timeAt(at, messages)
    const role = at % 2 === 0 ? 'user' : 'assistant'
    const counts = [randomInt(random, 1e4), randomInt(random, 1e3), randomInt(random, 1e4)]
    message.run(uuidV7(time, random), sessionOf(), role, text(MESSAGE_WORDS), ...counts, time)
  }
  const toolCall =
    database.prepare(`INSERT INTO tool_calls (id, session_id, tool_name, input, output, file_path, success,
    duration_ms, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  for (let at = 0; at < toolCalls; at++) {
    const time = timeAt(at, toolCalls)
    const [input, output] = [JSON.stringify({ command: text(8) }), text(OUTPUT_WORDS)]
    const [path, success, ms] = [`/home/me/${pick()}.ts`, at % 20 === 0 ? 0 : 1, randomInt(random, 1e4)]
    toolCall.run(uuidV7(time, random), sessionOf(), one(TOOLS), input, output, path, success, ms, time)
  }
  for (const table of AGENT_TABLES) database.exec(`DELETE FROM local_changes WHERE table_name = '${table}'`)
}
