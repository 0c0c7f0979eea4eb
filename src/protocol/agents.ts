import Type, { type Static, type TSchema } from 'typebox'

/**
 * The records of local agents, as the daemon's API has them. Times are milliseconds since 1970, ids are texts of the
 * source, money is in the currency of the source. What is not known is null in answers; inputs may leave it out.
 */

/** Longest id of a record, in characters. */
export const MAX_RECORD_ID_CHARS = 256
/** Longest text of one field, in characters: a message, an output, a context. */
export const MAX_TEXT_CHARS = 8 * 1024 * 1024
export const MAX_SHORT_CHARS = 4_096
/** The last time a Date can hold. */
export const MAX_TIME = 8_640_000_000_000_000

/** What is not known. */
export const orNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export const RecordId = Type.String({ minLength: 1, maxLength: MAX_RECORD_ID_CHARS })
export const Time = Type.Integer({ minimum: 0, maximum: MAX_TIME })
const Short = orNull(Type.String({ maxLength: MAX_SHORT_CHARS }))
const Text = orNull(Type.String({ maxLength: MAX_TEXT_CHARS }))
const Count = orNull(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))
const Ref = orNull(RecordId)
const At = orNull(Time)
/** Any JSON, kept as its text. */
const Json = Type.Unknown()

const SESSION = {
  source: Short,
  title: Short,
  status: Short,
  project_path: Short,
  project_name: Short,
  model: Short,
  provider: Short,
  prompt_tokens: Count,
  completion_tokens: Count,
  cache_read_tokens: Count,
  cache_write_tokens: Count,
  cost: orNull(Type.Number()),
  message_count: Count,
  tool_call_count: Count,
  permission_mode: Short,
  parent_id: Ref,
  created_at: At,
  updated_at: At,
  ended_at: At,
  archived_at: At,
  error: Text,
}

const MESSAGE = {
  parent_id: Ref,
  role: Short,
  text: Text,
  model: Short,
  prompt_tokens: Count,
  completion_tokens: Count,
  duration_ms: Count,
  created_at: At,
  completed_at: At,
  raw: Json,
}

const TOOL_CALL = {
  message_id: Ref,
  tool_name: Short,
  input: Json,
  output: Text,
  file_path: Short,
  success: orNull(Type.Boolean()),
  error: Text,
  duration_ms: Count,
  created_at: At,
}

const SESSION_ERROR = { message_id: Ref, kind: Short, message: Text, created_at: At }
const COMPACTION = { cause: Short, summary: Text, tokens_before: Count, tokens_after: Count, created_at: At }
const PROJECT = { path: Short, name: Short, created_at: At, updated_at: At }
const NOTIFICATION = { session_id: Ref, kind: Short, title: Short, body: Text, created_at: At, read_at: At }
const MEMORY = {
  project_path: Short,
  session_id: Ref,
  kind: Short,
  title: Short,
  body: Text,
  created_at: At,
  updated_at: At,
}

export const Session = Type.Object({ id: RecordId, ...SESSION })
export type Session = Static<typeof Session>
export const Message = Type.Object({ id: RecordId, session_id: Ref, ...MESSAGE })
export type Message = Static<typeof Message>
export const ToolCall = Type.Object({ id: RecordId, session_id: Ref, ...TOOL_CALL })
export type ToolCall = Static<typeof ToolCall>
export const SessionError = Type.Object({ id: RecordId, session_id: Ref, ...SESSION_ERROR })
export type SessionError = Static<typeof SessionError>
export const Compaction = Type.Object({ id: RecordId, session_id: Ref, ...COMPACTION })
export type Compaction = Static<typeof Compaction>
export const Project = Type.Object({ id: RecordId, ...PROJECT })
export type Project = Static<typeof Project>
export const Notification = Type.Object({ id: RecordId, ...NOTIFICATION })
export type Notification = Static<typeof Notification>
export const Memory = Type.Object({ id: RecordId, ...MEMORY })
export type Memory = Static<typeof Memory>

/** Most records in one request. */
export const MAX_INPUT_RECORDS = 1_000

const STRICT = { additionalProperties: false }
/** An id that is left out is made up by the daemon: such a request can't be repeated without doubling. */
const inputOf = <T extends { readonly [name: string]: TSchema }>(fields: T) =>
  Type.Partial(Type.Object({ id: RecordId, ...fields }), STRICT)
const manyOf = <T extends TSchema>(schema: T) =>
  Type.Array(schema, { minItems: 1, maxItems: MAX_INPUT_RECORDS })

export const SessionInput = inputOf(SESSION)
export type SessionInput = Static<typeof SessionInput>
/** Of PATCH: null clears a field, which it does not in an input. */
export const SessionPatch = Type.Partial(Type.Object(SESSION), STRICT)
export type SessionPatch = Static<typeof SessionPatch>
export const MessageInput = inputOf(MESSAGE)
export type MessageInput = Static<typeof MessageInput>
export const ToolCallInput = inputOf(TOOL_CALL)
export type ToolCallInput = Static<typeof ToolCallInput>
export const SessionErrorInput = inputOf(SESSION_ERROR)
export type SessionErrorInput = Static<typeof SessionErrorInput>
export const CompactionInput = inputOf(COMPACTION)
export type CompactionInput = Static<typeof CompactionInput>
export const ProjectInput = inputOf(PROJECT)
export type ProjectInput = Static<typeof ProjectInput>
export const NotificationInput = inputOf(NOTIFICATION)
export type NotificationInput = Static<typeof NotificationInput>
export const MemoryInput = inputOf(MEMORY)
export type MemoryInput = Static<typeof MemoryInput>

/** Bodies and pages: one name for what goes in and what comes out. */
export const MessagesInput = Type.Object({ messages: manyOf(MessageInput) }, STRICT)
export const ToolCallsInput = Type.Object({ tool_calls: manyOf(ToolCallInput) }, STRICT)
export const SessionErrorsInput = Type.Object({ session_errors: manyOf(SessionErrorInput) }, STRICT)
export const CompactionsInput = Type.Object({ compactions: manyOf(CompactionInput) }, STRICT)
export const ProjectsInput = Type.Object({ projects: manyOf(ProjectInput) }, STRICT)
export const NotificationsInput = Type.Object({ notifications: manyOf(NotificationInput) }, STRICT)
export const MemoriesInput = Type.Object({ memories: manyOf(MemoryInput) }, STRICT)

/** Opaque: it leads to the next page of the same list. */
export const PageCursor = Type.String({ minLength: 1, maxLength: 2_048 })
const pageOf = <T extends TSchema, N extends string>(name: N, schema: T) =>
  Type.Object({ [name]: Type.Array(schema), next: orNull(PageCursor) } as {
    [K in N]: ReturnType<typeof Type.Array<T>>
  } & { next: ReturnType<typeof orNull<typeof PageCursor>> })

export const SessionPage = pageOf('sessions', Session)
export const MessagePage = pageOf('messages', Message)
export const ToolCallPage = pageOf('tool_calls', ToolCall)
export const SessionErrorPage = pageOf('session_errors', SessionError)
export const CompactionPage = pageOf('compactions', Compaction)
export const ProjectPage = pageOf('projects', Project)
export const NotificationPage = pageOf('notifications', Notification)
export const MemoryPage = pageOf('memories', Memory)

/** One found place. */
export const SearchHit = Type.Object({
  kind: Type.Union([Type.Literal('message'), Type.Literal('tool_call')]),
  id: RecordId,
  session_id: Ref,
  session_title: Short,
  /** Of a message. */
  role: Short,
  /** Of a tool call. */
  tool_name: Short,
  created_at: At,
  /** The place in the text, cut at words; what was found stands between \u0002 and \u0003. */
  snippet: Type.String(),
})
export type SearchHit = Static<typeof SearchHit>
/** `indexed` is false while rows that are there already still wait to be indexed. */
export const SearchPage = Type.Object({
  hits: Type.Array(SearchHit),
  next: orNull(PageCursor),
  indexed: Type.Boolean(),
})
export type SearchPage = Static<typeof SearchPage>
