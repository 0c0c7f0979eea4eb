import Type, { type Static } from 'typebox'

import { MAX_TEXT_CHARS, orNull, PageCursor, RecordId, Time } from './agents.ts'

/** Approvals of the daemon's API, their rules, and the audit of both. */

const STRICT = { additionalProperties: false }
const MAX_NAME_CHARS = 256
const MAX_PATTERN_CHARS = 4_096
const MAX_COMMENT_CHARS = 16_384
/** Longest life of an approval that nobody decides, in seconds: a week. */
export const MAX_EXPIRY_SECONDS = 604_800
/** Longest wait of one request, in seconds. */
export const MAX_WAIT_SECONDS = 60

export const ApprovalStatus = Type.Union([
  Type.Literal('pending'),
  Type.Literal('approved'),
  Type.Literal('denied'),
  Type.Literal('expired'),
  Type.Literal('cancelled'),
])
export type ApprovalStatus = Static<typeof ApprovalStatus>

export const Approval = Type.Object({
  id: RecordId,
  session_id: orNull(RecordId),
  tool_call_id: orNull(RecordId),
  tool_name: Type.String(),
  /** What the tool is to be called with: any JSON. */
  tool_input: Type.Unknown(),
  context_type: orNull(Type.String()),
  /** UTF-8 bytes of the context, which has a stream of its own. Null: there is none here; it never leaves its device. */
  context_size: orNull(Type.Integer({ minimum: 0 })),
  status: ApprovalStatus,
  comment: orNull(Type.String()),
  /** What the tool is to be called with instead, where whoever approved changed it; null: `tool_input`. */
  updated_input: Type.Unknown(),
  /** `local` (the API), `rule:ID`, `expiry`. */
  decided_by: orNull(Type.String()),
  created_at: Time,
  expires_at: orNull(Time),
  decided_at: orNull(Time),
  /** False: of another device; a copy that can't be decided here. Nobody may act on its status. */
  owned: Type.Boolean(),
})
export type Approval = Static<typeof Approval>

/**
 * With an `id` of the caller's the same request may be sent again: it answers the approval that is there. Another
 * request under that id is refused.
 */
export const ApprovalInput = Type.Object(
  {
    id: Type.Optional(RecordId),
    session_id: Type.Optional(RecordId),
    tool_call_id: Type.Optional(RecordId),
    tool_name: Type.String({ minLength: 1, maxLength: MAX_NAME_CHARS }),
    tool_input: Type.Optional(Type.Unknown()),
    context: Type.Optional(Type.String({ maxLength: MAX_TEXT_CHARS })),
    context_type: Type.Optional(Type.String({ maxLength: MAX_NAME_CHARS })),
    /** Seconds until it expires; absent: the setting `approval_expiry`. */
    expires_in: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_EXPIRY_SECONDS })),
  },
  STRICT,
)
export type ApprovalInput = Static<typeof ApprovalInput>

/** `comment` is required to deny; `updated_input` may stand with an approval only. */
export const Decision = Type.Union([
  Type.Object(
    {
      decision: Type.Literal('approve'),
      comment: Type.Optional(Type.String({ maxLength: MAX_COMMENT_CHARS })),
      updated_input: Type.Optional(Type.Unknown()),
    },
    STRICT,
  ),
  Type.Object(
    {
      decision: Type.Literal('deny'),
      comment: Type.String({ minLength: 1, maxLength: MAX_COMMENT_CHARS, pattern: '\\S' }),
    },
    STRICT,
  ),
])
export type Decision = Static<typeof Decision>

export const ApprovalPage = Type.Object({ approvals: Type.Array(Approval), next: orNull(PageCursor) })
export type ApprovalPage = Static<typeof ApprovalPage>

/** Data of the event `context_chunk`: pieces of the text, none of which splits a character. */
export const ContextChunk = Type.Object({
  chunk: Type.String(),
  index: Type.Integer({ minimum: 0 }),
  total: Type.Integer({ minimum: 0 }),
})
export type ContextChunk = Static<typeof ContextChunk>
/** Data of the event `context_complete`. `total_size` is in UTF-8 bytes, `checksum` is `sha256:` and hex. */
export const ContextComplete = Type.Object({
  total_chunks: Type.Integer({ minimum: 0 }),
  total_size: Type.Integer({ minimum: 0 }),
  checksum: Type.String({ pattern: '^sha256:[0-9a-f]{64}$' }),
})
export type ContextComplete = Static<typeof ContextComplete>

/**
 * What a rule is about. At most one of the three patterns; without any, the tool whatever it is called with, but for a
 * rule that allows: inputs that name no command.
 * `command`: exactly this command. `command_prefix`: its words, and any more words. `path`: this file, or what lies in
 * this folder where it ends in a slash.
 */
const PATTERNS = {
  tool_name: Type.String({ minLength: 1, maxLength: MAX_NAME_CHARS }),
  command: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_PATTERN_CHARS })),
  command_prefix: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_PATTERN_CHARS })),
  path: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_PATTERN_CHARS })),
}
const RuleAction = Type.Union([Type.Literal('allow'), Type.Literal('deny'), Type.Literal('ask')])
export const RuleInput = Type.Object(
  {
    action: RuleAction,
    ...PATTERNS,
    /** Why; told to who asked where the rule denies. */
    note: Type.Optional(Type.String({ maxLength: MAX_COMMENT_CHARS })),
  },
  STRICT,
)
export type RuleInput = Static<typeof RuleInput>
export const Rule = Type.Object({
  id: RecordId,
  action: RuleAction,
  ...PATTERNS,
  note: orNull(Type.String()),
  created_at: Time,
})
export type Rule = Static<typeof Rule>
export const RuleList = Type.Object({ rules: Type.Array(Rule) })

/** One line of the audit: decisions, rules that were made or removed. Never a tool's input. */
export const AuditEntry = Type.Object({
  id: Type.Integer(),
  at: Time,
  /** `approval_approved`, `approval_denied`, `approval_expired`, `approval_cancelled`, `rule_created`, `rule_deleted`. */
  action: Type.String(),
  approval_id: orNull(RecordId),
  rule_id: orNull(RecordId),
  by: Type.String(),
})
export type AuditEntry = Static<typeof AuditEntry>
export const AuditPage = Type.Object({ entries: Type.Array(AuditEntry), next: orNull(PageCursor) })
export type AuditPage = Static<typeof AuditPage>
