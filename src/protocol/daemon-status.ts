import Type, { type Static } from 'typebox'

import { orNull, Time } from './agents.ts'

/** What the daemon tells of itself and of its sync. */

const Counts = Type.Record(Type.String(), Type.Integer({ minimum: 0 }))

export const Health = Type.Object({ status: Type.Literal('ok'), version: Type.String() })
export type Health = Static<typeof Health>

/** One attached file, as far as another program has a use for it. */
export const AttachedFile = Type.Object({
  file: Type.String(),
  space: Type.String(),
  /** The daemon keeps it in step now. */
  running: Type.Boolean(),
  /** As `tidemark sync status` has it: `idle`, `pushing`, `offline`, `blocked`, `stopped`, `unreadable`, … */
  state: Type.String(),
  reason: Type.String(),
  last_sync: orNull(Time),
  pending: Counts,
  conflicts: Type.Integer({ minimum: 0 }),
  quarantined: Type.Integer({ minimum: 0 }),
})
export type AttachedFile = Static<typeof AttachedFile>
export const AttachedFiles = Type.Object({ attachments: Type.Array(AttachedFile) })

export const SyncReport = Type.Object({
  profile: Type.String(),
  endpoint: orNull(Type.String()),
  enabled: Type.Boolean(),
  /** Which rule decided whether sync is on. */
  rule: Type.String(),
  /** Null while it is not known: sync is off, or the endpoint was not reached yet. */
  protocol: orNull(Type.Union([Type.Literal('tidemark'), Type.Literal('batch')])),
  last_sync: orNull(Time),
  pending: Counts,
  /** `Disabled`, `Ready`, `Pending`, `Synced`, `Offline: …`, `Blocked: …` */
  status: Type.String(),
  files: Type.Array(AttachedFile),
})
export type SyncReport = Static<typeof SyncReport>

/** GET /sync/status. `backup` is null where snapshots are not set up. */
export const DaemonStatus = Type.Object({ sync: SyncReport, backup: Type.Null() })
export type DaemonStatus = Static<typeof DaemonStatus>

export const SyncNowInput = Type.Object(
  { file: Type.Optional(Type.String({ minLength: 1, maxLength: 4_096 })) },
  { additionalProperties: false },
)
/** What one sync of each file did, or why it could not. */
export const SyncNowAnswer = Type.Object({
  files: Type.Array(
    Type.Object({
      file: Type.String(),
      pushed: Type.Integer({ minimum: 0 }),
      pulled: Type.Integer({ minimum: 0 }),
      conflicts: Type.Integer({ minimum: 0 }),
      error: orNull(Type.Object({ code: Type.String(), message: Type.String() })),
    }),
  ),
})
export type SyncNowAnswer = Static<typeof SyncNowAnswer>

export const PendingChanges = Type.Object({
  files: Type.Array(Type.Object({ file: Type.String(), pending: Counts })),
})
export type PendingChanges = Static<typeof PendingChanges>

/** Data of an event of `GET /stream/events`; its SSE id is a count that only grows. */
export const DaemonEvent = Type.Object({
  /** `session_created`, `message_updated`, `approval_resolved`, … */
  type: Type.String(),
  /** Of the record. */
  id: Type.String(),
  session_id: orNull(Type.String()),
  at: Time,
  /** The record as it was read when the event was sent, of sessions, notifications and approvals; null: gone since. */
  data: Type.Optional(Type.Unknown()),
})
export type DaemonEvent = Static<typeof DaemonEvent>
