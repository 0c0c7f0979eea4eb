import type { AGENT_OPERATIONS } from '../../protocol/agents-api.ts'
import { sleep, type Clock } from '../../kernel/clock.ts'
import { TidemarkError, toTidemarkError } from '../../kernel/errors.ts'
import type { Handlers } from '../api/handlers.ts'
import type { Agents, RecordInput } from './agents.ts'
import type { Asked, Filter } from './list.ts'
import { timeOf } from './schema.ts'
import {
  COMPACTIONS,
  MEMORIES,
  MESSAGES,
  NOTIFICATIONS,
  PROJECTS,
  SESSION_ERRORS,
  TOOL_CALLS,
  type Table,
} from './tables.ts'

/** How long a request waits for a program that holds the file, in milliseconds, and how often it looks. */
const LOCKED_MS = 5_000
const LOOK_EVERY_MS = 20

type AgentHandlers = Pick<Handlers, Exclude<keyof typeof AGENT_OPERATIONS, 'search'>>

export function agentHandlers(agents: Agents, clock: Clock): AgentHandlers {
  /** Waits without stopping anybody else. */
  async function patiently<T>(signal: AbortSignal, work: () => T): Promise<T> {
    for (const end = clock.now() + LOCKED_MS; ;) {
      try {
        return work()
      } catch (thrown) {
        const error = toTidemarkError(thrown)
        if (error.code !== 'database_locked' || clock.now() >= end) throw error
      }
      await sleep(clock, LOOK_EVERY_MS, signal).catch(() => {
        throw new TidemarkError('aborted')
      })
    }
  }
  const listOf = <R>(
    { signal, id, query }: { readonly signal: AbortSignal; readonly id: string; readonly query: Asked },
    table: Table<R>,
  ) =>
    patiently(signal, () => {
      agents.requireSession(id)
      return agents.list(table, [{ where: 'session_id = ?', value: id }], 'ASC', query)
    })
  const addTo = async <R>(
    { signal, id }: { readonly signal: AbortSignal; readonly id?: string | undefined },
    table: Table<R>,
    inputs: readonly RecordInput[],
  ) => [...(await patiently(signal, () => agents.upsertMany(table, inputs, id)))]

  return {
    listSessions: async ({ query, signal }) => {
      const { records, next } = await patiently(signal, () => agents.sessions(sessionFilters(query), query))
      return { sessions: [...records], next }
    },
    createSession: ({ body, signal }) => patiently(signal, () => agents.upsertSession(body)),
    getSession: ({ id, signal }) => patiently(signal, () => agents.session(id)),
    updateSession: ({ id, body, signal }) => patiently(signal, () => agents.patchSession(id, body)),
    archiveSession: ({ id, signal }) => patiently(signal, () => agents.archive(id, true)),
    unarchiveSession: ({ id, signal }) => patiently(signal, () => agents.archive(id, false)),

    listMessages: async (request) => {
      const { records, next } = await listOf(request, MESSAGES)
      return { messages: [...records], next }
    },
    createMessages: async (request) => ({
      messages: await addTo(request, MESSAGES, request.body.messages),
      next: null,
    }),
    listToolCalls: async (request) => {
      const { records, next } = await listOf(request, TOOL_CALLS)
      return { tool_calls: [...records], next }
    },
    createToolCalls: async (request) => ({
      tool_calls: await addTo(request, TOOL_CALLS, request.body.tool_calls),
      next: null,
    }),
    listSessionErrors: async (request) => {
      const { records, next } = await listOf(request, SESSION_ERRORS)
      return { session_errors: [...records], next }
    },
    createSessionErrors: async (request) => ({
      session_errors: await addTo(request, SESSION_ERRORS, request.body.session_errors),
      next: null,
    }),
    listCompactions: async (request) => {
      const { records, next } = await listOf(request, COMPACTIONS)
      return { compactions: [...records], next }
    },
    createCompactions: async (request) => ({
      compactions: await addTo(request, COMPACTIONS, request.body.compactions),
      next: null,
    }),

    listProjects: async ({ query, signal }) => {
      const { records, next } = await patiently(signal, () => agents.list(PROJECTS, [], 'DESC', query))
      return { projects: [...records], next }
    },
    createProjects: async (request) => ({
      projects: await addTo(request, PROJECTS, request.body.projects),
      next: null,
    }),
    listNotifications: async ({ query, signal }) => {
      const { session_id: session, unread } = query
      const filters: readonly Filter[] = [
        ...(session === undefined ? [] : [{ where: 'session_id = ?', value: session }]),
        ...(unread === undefined ? [] : [{ where: 'read_at IS NULL' }]),
      ]
      const { records, next } = await patiently(signal, () =>
        agents.list(NOTIFICATIONS, filters, 'DESC', query),
      )
      return { notifications: [...records], next }
    },
    createNotifications: async (request) => ({
      notifications: await addTo(request, NOTIFICATIONS, request.body.notifications),
      next: null,
    }),
    listMemories: async ({ query, signal }) => {
      const { project } = query
      const filters = project === undefined ? [] : [{ where: 'project_path = ?', value: project }]
      const { records, next } = await patiently(signal, () => agents.list(MEMORIES, filters, 'DESC', query))
      return { memories: [...records], next }
    },
    createMemories: async (request) => ({
      memories: await addTo(request, MEMORIES, request.body.memories),
      next: null,
    }),
  }
}

/** The one that leaves the fewest rows first: it chooses the index, and a plus keeps the others from it. */
function sessionFilters(query: {
  readonly source?: string
  readonly status?: string
  readonly project?: string
  readonly parent_id?: string
  readonly archived?: 'true' | 'false' | 'all'
  readonly since?: number
}): readonly Filter[] {
  const { parent_id: parent, project, source, status, archived = 'false', since } = query
  const equal = [
    ['parent_id', parent],
    ['project_path', project],
    ['source', source],
    ['status', status],
  ] as const
  const chosen = equal
    .filter(([, value]) => value !== undefined)
    .map(([column, value = ''], at) => ({ where: `${at === 0 ? '' : '+'}${column} = ?`, value }))
  const plus = chosen.length === 0 ? '' : '+'
  return [
    ...chosen,
    ...(archived === 'all'
      ? []
      : [{ where: `${plus}(archived_at IS NULL) = ${archived === 'false' ? 1 : 0}` }]),
    ...(since === undefined ? [] : [{ where: `${timeOf('updated_at')} >= ?`, value: BigInt(since) }]),
  ]
}
