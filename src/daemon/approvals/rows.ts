import type Database from 'better-sqlite3'

import type { Approval, ApprovalStatus } from '../../protocol/approvals.ts'
import { readJson } from '../agents/json.ts'

/** An approval of this daemon as it stands in `daemon.db`, without its context. */
export interface OwnRow {
  readonly id: string
  readonly session_id: string | null
  readonly tool_call_id: string | null
  readonly tool_name: string
  readonly tool_input: string | null
  readonly context_type: string | null
  readonly context_size: number | null
  readonly status: ApprovalStatus
  readonly comment: string | null
  readonly updated_input: string | null
  readonly decided_by: string | null
  readonly created_at: number
  readonly expires_at: number | null
  readonly decided_at: number | null
}

export const OWN_COLUMNS =
  'id, session_id, tool_call_id, tool_name, tool_input, context_type, context_size, status, comment, updated_input, ' +
  'decided_by, created_at, expires_at, decided_at'

const jsonOf = (text: string | null): unknown => (text === null ? null : readJson(text))

export const toApproval = (row: OwnRow): Approval => ({
  id: row.id,
  session_id: row.session_id,
  tool_call_id: row.tool_call_id,
  tool_name: row.tool_name,
  tool_input: jsonOf(row.tool_input),
  context_type: row.context_type,
  context_size: row.context_size,
  status: row.status,
  comment: row.comment,
  updated_input: jsonOf(row.updated_input),
  decided_by: row.decided_by,
  created_at: row.created_at,
  expires_at: row.expires_at,
  decided_at: row.decided_at,
  owned: true,
})

export interface NewRow extends Omit<OwnRow, 'context_size' | 'updated_input'> {
  readonly context: string | null
  readonly request_hash: string
}

type DecidedRow = Pick<OwnRow, 'id' | 'status' | 'comment' | 'updated_input' | 'decided_by'> & {
  readonly now: number
}

/** What the ledger says to `daemon.db`. */
interface Rows {
  readonly find: Database.Statement<[string], OwnRow>
  readonly hashOf: Database.Statement<[string], string>
  readonly insert: Database.Statement<[NewRow]>
  /** D1: the one statement by which anybody decides. The time is compared too, whatever timers did. */
  readonly decide: Database.Statement<[DecidedRow]>
  readonly expire: Database.Statement<[{ readonly id: string; readonly now: number }]>
  readonly due: Database.Statement<[now: number, most: number], Pick<OwnRow, 'id' | 'session_id'>>
  readonly nextExpiry: Database.Statement<[], number | null>
  readonly context: Database.Statement<[string], string | null>
  /** Takes the contexts of what was decided before a time away, so many at most. */
  readonly forgetContexts: Database.Statement<[before: number, most: number]>
}

export const prepareRows = (database: Database.Database): Rows => ({
  find: database.prepare(`SELECT ${OWN_COLUMNS} FROM approvals WHERE id = ?`),
  hashOf: database.prepare<[string], string>('SELECT request_hash FROM approvals WHERE id = ?').pluck(),
  insert: database.prepare(`
    INSERT INTO approvals (id, session_id, tool_call_id, tool_name, tool_input, context, context_type, context_size,
      request_hash, status, comment, decided_by, created_at, expires_at, decided_at)
    VALUES (@id, @session_id, @tool_call_id, @tool_name, @tool_input, @context, @context_type, octet_length(@context),
      @request_hash, @status, @comment, @decided_by, @created_at, @expires_at, @decided_at)`),
  decide: database.prepare(`
    UPDATE approvals SET status = @status, comment = @comment, updated_input = @updated_input,
      decided_by = @decided_by, decided_at = max(@now, created_at), copied = 0
    WHERE id = @id AND status = 'pending' AND (expires_at IS NULL OR expires_at > @now)`),
  expire: database.prepare(`
    UPDATE approvals SET status = 'expired', decided_by = 'expiry', decided_at = expires_at, copied = 0
    WHERE id = @id AND status = 'pending' AND expires_at <= @now`),
  due: database.prepare(`
    SELECT id, session_id FROM approvals WHERE status = 'pending' AND expires_at <= ? ORDER BY expires_at LIMIT ?`),
  nextExpiry: database
    .prepare<[], number | null>("SELECT min(expires_at) FROM approvals WHERE status = 'pending'")
    .pluck(),
  context: database.prepare<[string], string | null>('SELECT context FROM approvals WHERE id = ?').pluck(),
  forgetContexts: database.prepare(`
    UPDATE approvals SET context = NULL, context_size = NULL WHERE rowid IN (SELECT rowid FROM approvals
      WHERE context IS NOT NULL AND status <> 'pending' AND decided_at < ? ORDER BY decided_at LIMIT ?)`),
})
