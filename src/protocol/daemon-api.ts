import Type, { type Static, type TSchema } from 'typebox'

import { RecordId } from './agents.ts'
import { AGENT_OPERATIONS } from './agents-api.ts'
import {
  Approval,
  ApprovalInput,
  ApprovalPage,
  ApprovalStatus,
  AuditPage,
  Decision,
  MAX_WAIT_SECONDS,
  Rule,
  RuleInput,
  RuleList,
} from './approvals.ts'
import {
  AttachedFiles,
  DaemonStatus,
  Health,
  PendingChanges,
  SyncNowAnswer,
  SyncNowInput,
} from './daemon-status.ts'
import { paged, queryOf, Text, type Operation } from './operation.ts'

/** The daemon's API, once: mounted by the daemon, typed in the client, mirrored by the cloud. */

/** What every path begins with. */
export const DAEMON_API = '/api/v1'

const Wait = Type.Integer({ minimum: 0, maximum: MAX_WAIT_SECONDS })
const Removed = Type.Object({ removed: Type.Literal(true) })

/** Newest first unless said otherwise. Numbers of a query stand in the address as decimal digits. */
export const OPERATIONS = {
  getHealth: {
    method: 'GET',
    path: '/health',
    summary: 'Whether the daemon works',
    description: 'Answers as long as it does.',
    answer: Health,
    open: true,
    errors: [],
  },

  ...AGENT_OPERATIONS,

  listApprovals: {
    method: 'GET',
    path: '/approvals',
    summary: 'Approvals of all sessions',
    description:
      'Newest first, those of other devices too, which have `owned: false`. With `owned` those of this daemon alone, or of the others: whatever they send, it keeps nothing out of `owned=true`.',
    query: queryOf({
      status: ApprovalStatus,
      session_id: RecordId,
      owned: Type.Union([Type.Literal('true'), Type.Literal('false')]),
      ...paged,
    }),
    answer: ApprovalPage,
    errors: [],
  },
  createApproval: {
    method: 'POST',
    path: '/approvals',
    summary: 'Ask for an approval',
    description:
      'Rules may decide it at once. With `wait` the answer is held back for so many seconds, until it is decided.',
    query: queryOf({ wait: Wait }),
    body: ApprovalInput,
    answer: Approval,
    errors: ['approval_differs'],
  },
  getApproval: {
    method: 'GET',
    path: '/approvals/:id',
    summary: 'One approval',
    description:
      'With `wait` the answer is held back for so many seconds while it is pending. Who waits is answered by this daemon alone: a copy of another device is refused then, whatever it says.',
    query: queryOf({ wait: Wait }),
    answer: Approval,
    errors: ['not_found', 'not_owned'],
  },
  decideApproval: {
    method: 'POST',
    path: '/approvals/:id/decide',
    summary: 'Approve or deny',
    description: 'Once. A second decision is refused, whatever it is; the details have the first.',
    body: Decision,
    answer: Approval,
    errors: ['not_found', 'already_decided', 'not_owned'],
  },
  cancelApproval: {
    method: 'POST',
    path: '/approvals/:id/cancel',
    summary: 'Take the question back',
    description: 'By who asked. Is a decision like any other.',
    answer: Approval,
    errors: ['not_found', 'already_decided', 'not_owned'],
  },
  streamApprovalContext: {
    method: 'GET',
    path: '/approvals/:id/context/stream',
    summary: 'The context of an approval',
    description:
      'Events `context_chunk` {chunk, index, total}, then `context_complete` {total_chunks, total_size, checksum}. A stream without the latter is not whole.',
    errors: ['not_found'],
  },

  listRules: {
    method: 'GET',
    path: '/rules',
    summary: 'Rules',
    description: 'Oldest first. They stay on this device.',
    answer: RuleList,
    errors: [],
  },
  createRule: {
    method: 'POST',
    path: '/rules',
    summary: 'Make a rule',
    description: 'For approvals that are asked for from now on.',
    body: RuleInput,
    answer: Rule,
    errors: ['unprocessable'],
  },
  deleteRule: {
    method: 'DELETE',
    path: '/rules/:id',
    summary: 'Remove a rule',
    description: 'What it decided stays decided.',
    answer: Removed,
    errors: ['not_found'],
  },
  listAudit: {
    method: 'GET',
    path: '/audit',
    summary: 'Who decided what',
    description: 'Newest first: decisions, and rules that were made or removed.',
    query: queryOf(paged),
    answer: AuditPage,
    errors: [],
  },

  streamEvents: {
    method: 'GET',
    path: '/stream/events',
    summary: 'What changes, as it changes',
    description:
      'Server-sent events with ids. `Last-Event-ID`, or `after`, goes on behind that one; without either from now on. The first one is `ready`, whose id is where the stream begins; `reset` says that events are missing: list anew. `types` is a list with commas.',
    query: queryOf({ after: Type.Integer({ minimum: 0 }), types: Text, session_id: RecordId }),
    errors: [],
  },

  getSyncStatus: {
    method: 'GET',
    path: '/sync/status',
    summary: 'Sync and backup',
    description: 'Whether sync is on and why, what waits, and how each attached file stands.',
    answer: DaemonStatus,
    errors: [],
  },
  syncNow: {
    method: 'POST',
    path: '/sync/now',
    summary: 'Sync at once',
    description: 'All attached files, or one. A file that fails does not keep the others.',
    body: SyncNowInput,
    answer: SyncNowAnswer,
    errors: ['sync_disabled', 'not_connected', 'not_attached'],
  },
  listPending: {
    method: 'GET',
    path: '/sync/pending',
    summary: 'What was not sent yet',
    description: 'Counts per table.',
    answer: PendingChanges,
    errors: [],
  },
  listAttachments: {
    method: 'GET',
    path: '/attachments',
    summary: 'Databases attached',
    description: 'With their state.',
    answer: AttachedFiles,
    errors: [],
  },
} as const satisfies { readonly [id: string]: Operation }

export type OperationId = keyof typeof OPERATIONS

type Of<Id extends OperationId, Key extends 'query' | 'body' | 'answer'> = (typeof OPERATIONS)[Id] extends {
  readonly [K in Key]: infer Schema extends TSchema
}
  ? Static<Schema>
  : undefined
export type QueryOf<Id extends OperationId> = Of<Id, 'query'>
export type BodyOf<Id extends OperationId> = Of<Id, 'body'>
/** Undefined: a stream. */
export type AnswerOf<Id extends OperationId> = Of<Id, 'answer'>
/** Those with `:id` in the path. */
export type HasId<Id extends OperationId> = (typeof OPERATIONS)[Id]['path'] extends `${string}:id${string}`
  ? true
  : false

/** Operations that answer with server-sent events. */
export type StreamId = { [Id in OperationId]: AnswerOf<Id> extends undefined ? Id : never }[OperationId]
export type CallId = Exclude<OperationId, StreamId>
