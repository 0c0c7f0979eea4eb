import type Database from 'better-sqlite3'

import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { MAX_EXPIRY_SECONDS, type Approval, type ApprovalInput } from '../../protocol/approvals.ts'
import { guarded } from '../agents/database.ts'
import type { EventLog } from '../changes/event-log.ts'
import type { Audit } from './audit.ts'
import { hashRequest } from './request.ts'
import { prepareRows, toApproval, type OwnRow } from './rows.ts'
import type { Verdict } from './rules/evaluate.ts'

/** Questions that expire in one transaction: what waits behind it waits no longer than for these. */
const EXPIRE_AT_ONCE = 500
/** A context helped to decide and is up to 8 MiB: that of a decided question goes after a month. */
const KEEP_CONTEXT_MS = 30 * 86_400_000
/** With every new question, so that those that go are more than those that come. */
const FORGET_AT_ONCE = 5
const DENIED_BY_RULE = 'Denied by a rule'

export interface Decided {
  readonly status: 'approved' | 'denied' | 'cancelled'
  readonly comment: string | null
  /** JSON; null: as it was asked. */
  readonly updatedInput: string | null
}

/**
 * Approvals in `daemon.db`, and nothing else (D2). Each call is one transaction with its event and its line of the
 * audit, durable when it returns (D1); `onWrite` hears of it after that. There are no waits and no timers here.
 */
export interface Ledger {
  find(id: string): Approval | null
  /** Null where there is no approval, or none with a context. */
  context(id: string): string | null
  /** Answers the one that is there for the same request again. Throws `approval_differs`. */
  create(asked: ApprovalInput, id: string, expirySeconds: number, judge: () => Verdict): Approval
  /** Null: it is none of this daemon. Throws `already_decided`, also where its time is over and no timer ran. */
  decide(id: string, decided: Decided): Approval | null
  /** Ends all whose time is over. */
  expireDue(): void
  nextExpiry(): number | null
}

export function openLedger(options: {
  readonly database: Database.Database
  readonly events: EventLog
  readonly audit: Audit
  readonly clock: Clock
  /** After what was written is on the disk; `resolved` are the ids of what is decided since. Must not throw. */
  readonly onWrite: (resolved: readonly string[]) => void
}): Ledger {
  const { database, events, audit, clock, onWrite } = options
  // D1: decisions outlive a power cut, whoever opened the database.
  database.pragma('synchronous = FULL')
  const rows = prepareRows(database)

  interface Done<T> {
    readonly answer: T
    readonly wrote: boolean
    readonly resolved: readonly string[]
  }
  const transact = <T>(work: () => Done<T>): T => {
    if (database.inTransaction)
      throw new TidemarkError('invariant', 'A decision within the transaction of another is not durable')
    const { answer, wrote, resolved } = guarded(() => database.transaction(work).immediate())
    if (wrote) onWrite(resolved)
    return answer
  }
  const find = (id: string): Approval | null => {
    const row = rows.find.get(id)
    return row === undefined ? null : toApproval(row)
  }
  const requireRow = (id: string): Approval => {
    const found = find(id)
    if (found === null) throw new TidemarkError('invariant', 'An approval that was written is gone')
    return found
  }
  const tell = ({ id, session_id }: Pick<OwnRow, 'id' | 'session_id'>, status: string, by: string): void => {
    events.append({ type: 'approval_resolved', record_id: id, session_id })
    audit.append({ action: `approval_${status}`, approval_id: id, rule_id: ruleOf(by), by })
  }
  const expire = (row: Pick<OwnRow, 'id' | 'session_id'>, now: number): boolean => {
    const ends = rows.expire.run({ id: row.id, now }).changes === 1
    if (ends) tell(row, 'expired', 'expiry')
    return ends
  }

  return {
    find: (id) => guarded(() => find(id)),
    context: (id) => guarded(() => rows.context.get(id) ?? null),
    create: (asked, id, expirySeconds, judge) => {
      const request_hash = hashRequest(asked)
      return transact(() => {
        const known = rows.hashOf.get(id)
        if (known !== undefined) {
          if (known !== request_hash) throw new TidemarkError('approval_differs')
          return { answer: requireRow(id), wrote: false, resolved: [] }
        }
        const now = clock.now()
        const { action, rule } = judge()
        const by = rule === null || action === 'ask' ? null : `rule:${rule.id}`
        const session_id = asked.session_id ?? null
        const status = by === null ? 'pending' : action === 'allow' ? 'approved' : 'denied'
        rows.insert.run({
          id,
          session_id,
          tool_call_id: asked.tool_call_id ?? null,
          tool_name: asked.tool_name,
          tool_input: asked.tool_input === undefined ? null : JSON.stringify(asked.tool_input),
          context: asked.context ?? null,
          context_type: asked.context_type ?? null,
          request_hash,
          status,
          comment: status === 'denied' ? (rule?.note ?? DENIED_BY_RULE) : null,
          decided_by: by,
          created_at: now,
          expires_at: now + lifeMs(asked.expires_in ?? expirySeconds),
          decided_at: by === null ? null : now,
        })
        rows.forgetContexts.run(now - KEEP_CONTEXT_MS, FORGET_AT_ONCE)
        events.append({ type: 'approval_created', record_id: id, session_id })
        if (by !== null) tell({ id, session_id }, status, by)
        return { answer: requireRow(id), wrote: true, resolved: by === null ? [] : [id] }
      })
    },
    decide: (id, { status, comment, updatedInput }) => {
      // What is found decided is told after the commit: an expiry that is found here is kept.
      const { row, won } = transact(() => {
        const now = clock.now()
        const decided = { id, status, comment, updated_input: updatedInput, decided_by: 'local', now }
        const done = rows.decide.run(decided).changes === 1
        const row = find(id)
        if (row !== null && done) tell(row, status, 'local')
        const ended = row !== null && !done && expire(row, now)
        const wrote = done || ended
        return { answer: { row: ended ? find(id) : row, won: done }, wrote, resolved: wrote ? [id] : [] }
      })
      if (row === null || won) return row
      const { decided_at, decided_by } = row
      throw new TidemarkError('already_decided', undefined, {
        details: { status: row.status, decided_at, decided_by },
      })
    },
    expireDue: () => {
      for (let ended = EXPIRE_AT_ONCE; ended === EXPIRE_AT_ONCE;) {
        const now = clock.now()
        if (rows.due.get(now, 1) === undefined) return
        ended = transact(() => {
          const due = rows.due.all(now, EXPIRE_AT_ONCE).filter((row) => expire(row, now))
          return { answer: due.length, wrote: due.length > 0, resolved: due.map(({ id }) => id) }
        })
      }
    },
    nextExpiry: () => rows.nextExpiry.get() ?? null,
  }
}

/** A setting may be anything. */
const lifeMs = (seconds: number): number =>
  Math.round(Math.min(Math.max(seconds, 1), MAX_EXPIRY_SECONDS) * 1_000)

const ruleOf = (by: string): string | null => (by.startsWith('rule:') ? by.slice('rule:'.length) : null)
