import type {
  Compaction,
  Memory,
  Message,
  Notification,
  Project,
  Session,
  SessionError,
  ToolCall,
} from '../../protocol/agents.ts'
import { selectField, readField, type Field } from './fields.ts'
import type { AgentTable } from './schema.ts'

/** A table of records as the API has them. */
export interface Table<R> {
  readonly name: AgentTable
  /** All but the id, in the contract's order. */
  readonly fields: readonly (readonly [column: string, field: Field])[]
  /** By which lists are ordered. */
  readonly time: 'created_at' | 'updated_at'
  /** Select list of `toRecord`, which begins with the id. */
  readonly select: string
  readonly toRecord: (row: readonly unknown[]) => R
}

type FieldsOf<R> = { readonly [K in Exclude<keyof R, 'id'>]-?: Field }

export function defineTable<R extends { readonly id: string }>(
  name: AgentTable,
  columns: FieldsOf<R>,
  time: Table<R>['time'] = 'created_at',
): Table<R> {
  const fields = Object.entries<Field>(columns)
  const toRecord = ([id, ...values]: readonly unknown[]): R =>
    Object.fromEntries([
      ['id', id],
      ...fields.map(([column, field], at): [string, unknown] => [column, readField(values[at], field)]),
    ]) as R
  const select = ['id', ...fields.map(([column, field]) => selectField(column, field))].join(', ')
  return { name, fields, time, select, toRecord }
}

export const SESSIONS = defineTable<Session>(
  'sessions',
  {
    source: 'short',
    title: 'short',
    status: 'short',
    project_path: 'short',
    project_name: 'short',
    model: 'short',
    provider: 'short',
    prompt_tokens: 'count',
    completion_tokens: 'count',
    cache_read_tokens: 'count',
    cache_write_tokens: 'count',
    cost: 'number',
    message_count: 'count',
    tool_call_count: 'count',
    permission_mode: 'short',
    parent_id: 'ref',
    created_at: 'time',
    updated_at: 'time',
    ended_at: 'time',
    archived_at: 'time',
    error: 'text',
  },
  'updated_at',
)

export const MESSAGES = defineTable<Message>('messages', {
  session_id: 'ref',
  parent_id: 'ref',
  role: 'short',
  text: 'text',
  model: 'short',
  prompt_tokens: 'count',
  completion_tokens: 'count',
  duration_ms: 'count',
  created_at: 'time',
  completed_at: 'time',
  raw: 'json',
})

export const TOOL_CALLS = defineTable<ToolCall>('tool_calls', {
  session_id: 'ref',
  message_id: 'ref',
  tool_name: 'short',
  input: 'json',
  output: 'text',
  file_path: 'short',
  success: 'flag',
  error: 'text',
  duration_ms: 'count',
  created_at: 'time',
})

export const SESSION_ERRORS = defineTable<SessionError>('session_errors', {
  session_id: 'ref',
  message_id: 'ref',
  kind: 'short',
  message: 'text',
  created_at: 'time',
})

export const COMPACTIONS = defineTable<Compaction>('compactions', {
  session_id: 'ref',
  cause: 'short',
  summary: 'text',
  tokens_before: 'count',
  tokens_after: 'count',
  created_at: 'time',
})

export const PROJECTS = defineTable<Project>(
  'projects',
  { path: 'short', name: 'short', created_at: 'time', updated_at: 'time' },
  'updated_at',
)

export const NOTIFICATIONS = defineTable<Notification>('notifications', {
  session_id: 'ref',
  kind: 'short',
  title: 'short',
  body: 'text',
  created_at: 'time',
  read_at: 'time',
})

export const MEMORIES = defineTable<Memory>(
  'memories',
  {
    project_path: 'short',
    session_id: 'ref',
    kind: 'short',
    title: 'short',
    body: 'text',
    created_at: 'time',
    updated_at: 'time',
  },
  'updated_at',
)
