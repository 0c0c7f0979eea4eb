import type Database from 'better-sqlite3'

import type { Clock } from '../../kernel/clock.ts'
import type { AuditEntry, AuditPage } from '../../protocol/approvals.ts'
import { readCursor, writeCursor } from '../agents/cursor.ts'

/** Lines that are kept; the oldest go first. */
export const MAX_AUDIT_LINES = 100_000
/** So many lines more than that may lie there, since not every line looks for what is too old. */
const SWEEP_EVERY = 1_000
const DEFAULT_LIMIT = 100

/** Who decided what, and who made which rule: ids and names, never an input. */
export interface Audit {
  /** Within the transaction of what it tells. */
  append(
    entry: Partial<Pick<AuditEntry, 'approval_id' | 'rule_id'>> & Pick<AuditEntry, 'action' | 'by'>,
  ): void
  list(asked: { readonly cursor?: string; readonly limit?: number }): AuditPage
}

export function openAudit(database: Database.Database, clock: Clock): Audit {
  const insert = database.prepare(
    'INSERT INTO audit (at, action, approval_id, rule_id, by) VALUES (@at, @action, @approval_id, @rule_id, @by)',
  )
  const sweep = database.prepare('DELETE FROM audit WHERE id <= ?')
  const select = database.prepare<[bigint, number], AuditEntry>(
    'SELECT id, at, action, approval_id, rule_id, by FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?',
  )
  return {
    append: (entry) => {
      const line = { approval_id: null, rule_id: null, ...entry, at: clock.now() }
      const id = Number(insert.run(line).lastInsertRowid)
      if (id % SWEEP_EVERY === 0) sweep.run(id - MAX_AUDIT_LINES)
    },
    list: ({ cursor, limit = DEFAULT_LIMIT }) => {
      const before = cursor === undefined ? 2n ** 63n - 1n : readCursor('audit', cursor).at
      const entries = select.all(before, limit + 1)
      const last = entries[limit - 1]
      if (entries.length <= limit || last === undefined) return { entries, next: null }
      const next = writeCursor('audit', { at: BigInt(last.id), id: Buffer.from('audit') })
      return { entries: entries.slice(0, limit), next }
    },
  }
}
