import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type Database from 'better-sqlite3'

import { openAgentsDatabase } from '../../../src/daemon/agents/database.ts'
import { openApprovals, type Approvals } from '../../../src/daemon/approvals/approvals.ts'
import type { ApiRequest, ServerSentEvent } from '../../../src/daemon/api/handlers.ts'
import { openEventLog } from '../../../src/daemon/changes/event-log.ts'
import { openPrivateDatabase } from '../../../src/daemon/private-database.ts'
import { systemClock, type Clock } from '../../../src/kernel/clock.ts'
import { TidemarkError } from '../../../src/kernel/errors.ts'
import type { Logger } from '../../../src/kernel/logger.ts'
import { seededRandom } from '../../../src/kernel/random.ts'
import { homeFolders, type Folders } from '../../../src/machine/folders.ts'
import type {
  Approval,
  ApprovalInput,
  ApprovalPage,
  Decision,
  Rule,
  RuleInput,
} from '../../../src/protocol/approvals.ts'
import type { OperationId, QueryOf } from '../../../src/protocol/daemon-api.ts'

export interface LoggedLine {
  readonly type: string
  readonly record_id: string
  readonly session_id: string | null
}

/** Approvals on real files, asked as the API asks. */
export interface World extends Disposable {
  readonly folders: Folders
  readonly approvals: Approvals
  readonly database: Database.Database
  readonly agents: { database: Database.Database }
  readonly logged: string[]
  /** Times that listeners of the events were woken. */
  readonly woken: { count: number }
  ask(input?: Partial<ApprovalInput>, wait?: number, signal?: AbortSignal): Promise<Approval>
  get(id: string, wait?: number, signal?: AbortSignal): Promise<Approval>
  decide(id: string, decision?: Decision): Promise<Approval>
  cancel(id: string): Promise<Approval>
  list(query?: QueryOf<'listApprovals'>): Promise<ApprovalPage>
  rule(input: RuleInput): Promise<Rule>
  context(id: string, signal?: AbortSignal): AsyncIterable<ServerSentEvent>
  events(): readonly LoggedLine[]
  /** Ends this one as a kill would: what follows is a new process on the same files. */
  reopen(): World
}

export const APPROVE: Decision = { decision: 'approve' }
export const DENY: Decision = { decision: 'deny', comment: 'no' }
const NEVER = new AbortController().signal

export function requestOf<Id extends OperationId>(
  request: Pick<ApiRequest<Id>, 'id' | 'query' | 'body'>,
  signal: AbortSignal = NEVER,
): ApiRequest<Id> {
  return { ...request, signal, lastEventId: undefined }
}

export function openWorld(
  options: {
    readonly clock?: Clock
    readonly folder?: string
    readonly expirySeconds?: number
    readonly durable?: boolean
  } = {},
): World {
  const { clock = systemClock, expirySeconds = 1_800, durable = false } = options
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'tidemark-approvals-'))
  const folders = homeFolders(folder)
  const database = openPrivateDatabase(folders)
  const agents = { database: openAgentsDatabase(folders.agents) }
  const events = openEventLog(database, clock)
  const woken = { count: 0 }
  events.on(() => void woken.count++)
  const logged: string[] = []
  const log = (message: string, details?: object) => void logged.push(`${message} ${JSON.stringify(details)}`)
  const logger: Logger = { debug: log, info: log, warn: log, error: log }
  const random = seededRandom(folder.length)
  const approvals = openApprovals({
    database,
    events,
    agents,
    clock,
    random,
    logger,
    expirySeconds: () => expirySeconds,
  })
  const { handlers, streams } = approvals
  // Nobody pulls the plug: waiting for the disk would be most of what a test does.
  if (!durable) for (const file of [database, agents.database]) file.pragma('synchronous = OFF')
  const close = (): void => {
    approvals[Symbol.dispose]()
    database.close()
    agents.database.close()
  }
  const waitQuery = (wait?: number): { readonly wait?: number } => (wait === undefined ? {} : { wait })
  return {
    folders,
    approvals,
    database,
    agents,
    logged,
    woken,
    ask: async (input = {}, wait, signal) => {
      const body = { tool_name: 'Bash', ...input }
      return handlers.createApproval(requestOf({ id: undefined, query: waitQuery(wait), body }, signal))
    },
    get: async (id, wait, signal) =>
      handlers.getApproval(requestOf({ id, query: waitQuery(wait), body: undefined }, signal)),
    decide: async (id, body = APPROVE) => handlers.decideApproval(requestOf({ id, query: undefined, body })),
    cancel: async (id) => handlers.cancelApproval(requestOf({ id, query: undefined, body: undefined })),
    list: async (query = {}) => handlers.listApprovals(requestOf({ id: undefined, query, body: undefined })),
    rule: async (body) => handlers.createRule(requestOf({ id: undefined, query: undefined, body })),
    context: (id, signal) =>
      streams.streamApprovalContext(requestOf({ id, query: undefined, body: undefined }, signal)),
    events: () =>
      database.prepare<[], LoggedLine>('SELECT type, record_id, session_id FROM events ORDER BY id').all(),
    reopen: () => {
      close()
      return openWorld({ ...options, folder })
    },
    [Symbol.dispose]() {
      close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** The code and details of what a call was refused with. */
export async function refusalOf(call: Promise<unknown>): Promise<Pick<TidemarkError, 'code' | 'details'>> {
  try {
    await call
  } catch (error) {
    if (error instanceof TidemarkError) return { code: error.code, details: error.details }
    throw error
  }
  throw new Error('it was not refused')
}

/** Lets everything go on that waits for no time. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
