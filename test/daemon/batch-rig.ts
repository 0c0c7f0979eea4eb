import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type Database from 'better-sqlite3'

import { openAgents, type Agents } from '../../src/daemon/agents/agents.ts'
import { openAgentsDatabase } from '../../src/daemon/agents/database.ts'
import { startBatchSync, type BatchSync } from '../../src/daemon/batch/batch-sync.ts'
import { createEndpointLine } from '../../src/daemon/batch/request.ts'
import { openBatchRows } from '../../src/daemon/batch/rows.ts'
import { openChangeFeed, type ChangeFeed } from '../../src/daemon/changes/change-feed.ts'
import { openPrivateDatabase } from '../../src/daemon/private-database.ts'
import { silentLogger, type Logger } from '../../src/kernel/logger.ts'
import { seededRandom } from '../../src/kernel/random.ts'
import { homeFolders } from '../../src/machine/folders.ts'
import type { Answerer, FaultyServer } from '../../src/testing/faulty-server.ts'
import { createManualClock, type ManualClock } from '../../src/testing/manual-clock.ts'

export const BATCH_NOW = Date.UTC(2026, 0, 29, 14, 30, 0, 250)

/** The daemon's two databases in a folder of their own, and its upload to an endpoint. */
export interface BatchRig extends AsyncDisposable {
  readonly folder: string
  readonly agents: Agents
  readonly database: Database.Database
  readonly feed: ChangeFeed
  readonly clock: ManualClock
  /** The connection of another program. */
  readonly program: Database.Database
  start(
    endpoint: string,
    options?: {
      readonly token?: string | null
      readonly batchSize?: number
      readonly logger?: Logger
      readonly fetch?: typeof globalThis.fetch
    },
  ): BatchSync
  /** Sessions `s000`, … and messages `m000`, … */
  fill(sessions: number, messages: number): void
}

export function openBatchRig(folder = mkdtempSync(join(tmpdir(), 'tidemark-batch-'))): BatchRig {
  const folders = homeFolders(folder)
  const clock = createManualClock(BATCH_NOW)
  const random = seededRandom(1)
  const agents = openAgents({ file: folders.agents, clock, random })
  const database = openPrivateDatabase(folders)
  const feed = openChangeFeed({ open: () => openAgentsDatabase(folders.agents), clock, logger: silentLogger })
  const program = openAgentsDatabase(folders.agents)
  const started: BatchSync[] = []
  return {
    folder,
    agents,
    database,
    feed,
    clock,
    program,
    start(endpoint, { token = null, batchSize, logger = silentLogger, fetch } = {}) {
      const sync = startBatchSync({
        database,
        feed,
        rows: openBatchRows(agents),
        line: createEndpointLine({ endpoint, token, clock, fetch }),
        batchSize,
        intervalMs: 30_000,
        clock,
        random,
        logger,
      })
      started.push(sync)
      return sync
    },
    fill(sessions, messages) {
      const insert = (table: string, prefix: string, count: number): void => {
        const statement = program.prepare(`INSERT INTO ${table} (id, created_at) VALUES (?, 1)`)
        for (let at = 0; at < count; at++) statement.run(`${prefix}${String(at).padStart(3, '0')}`)
      }
      program.transaction(() => {
        insert('sessions', 's', sessions)
        insert('messages', 'm', messages)
      })()
    },
    async [Symbol.asyncDispose]() {
      for (const sync of started) await sync[Symbol.asyncDispose]()
      feed[Symbol.dispose]()
      program.close()
      database.close()
      agents[Symbol.dispose]()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Of the requests of a server: how many records of each table, request by request. */
export const countsOf = ({ requests }: FaultyServer): readonly (readonly [number, number])[] =>
  requests.map(({ body }) => {
    const { sessions, messages } = JSON.parse(body.toString()) as Upload
    return [sessions.length, messages.length]
  })

interface Upload {
  readonly sessions: readonly { readonly id: string }[]
  readonly messages: readonly { readonly id: string }[]
  readonly sync_timestamp: string
}

export interface Receiver {
  /** Ids, by the last JSON of each. */
  readonly rows: Map<string, unknown>
  readonly answer: Answerer
}

/** Origin 000's endpoint, and strict: what is not its JSON to the letter is answered with 418. */
export function createReceiver(
  refuses: (record: { readonly id: string }) => number | null = () => null,
): Receiver {
  const rows = new Map<string, unknown>()
  return {
    rows,
    answer({ method, url, headers, body }, response) {
      const say = (status: number, value: unknown): void => {
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(JSON.stringify(value))
      }
      const upload = JSON.parse(body.toString()) as Upload
      const isExact =
        method === 'POST' &&
        url === '/sync/batch' &&
        headers['content-type'] === 'application/json' &&
        headers['content-encoding'] === undefined &&
        Object.keys(upload).join() === 'sessions,messages,sync_timestamp' &&
        /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(upload.sync_timestamp) &&
        [upload.sessions, upload.messages].every((list) => Array.isArray(list) && list.every(isRecord))
      if (!isExact) return say(418, {})
      const all = [...upload.sessions, ...upload.messages]
      const refused = all.map(refuses).find((status) => status !== null)
      if (refused !== undefined) return say(refused ?? 400, { error: 'no' })
      for (const record of all) rows.set(record.id, record)
      say(200, {
        sessions_synced: upload.sessions.length,
        messages_synced: upload.messages.length,
        sync_timestamp: '2026-01-29T14:35:00Z',
      })
    },
  }
}

const isRecord = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && typeof (value as { readonly id?: unknown }).id === 'string'
