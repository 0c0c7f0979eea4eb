import type Database from 'better-sqlite3'

import { toTidemarkError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { ApprovalPage } from '../../protocol/approvals.ts'
import { readCursor, writeCursor, type Place } from '../agents/cursor.ts'
import { guarded } from '../agents/database.ts'
import type { QueryOf } from '../../protocol/daemon-api.ts'
import { foreignRows, type Placed, type Wanted } from './foreign.ts'
import { OWN_COLUMNS, toApproval, type OwnRow } from './rows.ts'

const DEFAULT_LIMIT = 100
/** A page ends before its texts have more characters than this: an answer is one string. */
const PAGE_CHARS = 8 * 1024 * 1024

/**
 * Approvals of all devices, newest first, ids after times: this daemon's from `daemon.db` whatever a copy says, the
 * others' from their copies. Where `agents.db` can't be read those of this daemon are answered alone.
 */
export function openList(options: {
  readonly database: Database.Database
  readonly agents: { readonly database: Database.Database }
  readonly logger: Logger
}): (query: QueryOf<'listApprovals'>) => ApprovalPage {
  const { database, agents, logger } = options
  const known = database.prepare<[string], number>('SELECT 1 FROM approvals WHERE id = ?').pluck()
  const isOwn = (id: string): boolean => known.get(id) !== undefined

  function* ownRows({ status, session_id }: Wanted, from: Place | null): Generator<Placed> {
    const conditions = [
      ...(session_id === undefined ? [] : ['session_id = @session_id']),
      ...(status === undefined ? [] : ['status = @status']),
      ...(from === null ? [] : ['(created_at, id) < (@at, CAST(@after AS TEXT))']),
    ]
    const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
    const rows = database
      .prepare<[object], OwnRow>(
        `SELECT ${OWN_COLUMNS} FROM approvals ${where} ORDER BY created_at DESC, id DESC`,
      )
      .iterate({ status, session_id, at: from?.at, after: from?.id })
    for (const row of rows) {
      const chars =
        (row.tool_input?.length ?? 0) + (row.updated_input?.length ?? 0) + (row.comment?.length ?? 0)
      const place = { at: BigInt(row.created_at), id: Buffer.from(row.id) }
      yield { approval: toApproval(row), place, chars }
    }
  }
  /** Read at once: no statement stays open. */
  const firstOf = (rows: Iterable<Placed>, limit: number): readonly Placed[] => {
    const first: Placed[] = []
    let chars = 0
    for (const row of rows) {
      first.push(row)
      chars += row.chars
      if (first.length > limit || (first.length > 1 && chars > PAGE_CHARS)) break
    }
    return first
  }
  const foreign = (wanted: Wanted, from: Place | null, limit: number): readonly Placed[] => {
    try {
      return guarded(() => firstOf(foreignRows(agents.database, wanted, from, isOwn), limit))
    } catch (error) {
      logger.warn('approvals of other devices could not be read', { code: toTidemarkError(error).code })
      return []
    }
  }

  return ({ cursor, limit = DEFAULT_LIMIT, owned, ...wanted }) => {
    const from = cursor === undefined ? null : readCursor('approvals', cursor)
    const own = owned === 'false' ? [] : guarded(() => firstOf(ownRows(wanted, from), limit))
    const others = owned === 'true' ? [] : foreign(wanted, from, limit)
    const rows = [...own, ...others].sort((a, b) => newerFirst(a.place, b.place))
    let chars = 0
    // Each of the two lists that is not whole holds more than a page by itself: what it lacks lies behind this page.
    const end = rows.findIndex((row, at) => {
      chars += row.chars
      return at === limit || (at > 0 && chars > PAGE_CHARS)
    })
    const page = end < 0 ? rows : rows.slice(0, end)
    const last = page.at(-1)
    const approvals = page.map(({ approval }) => approval)
    return { approvals, next: end < 0 || last === undefined ? null : writeCursor('approvals', last.place) }
  }
}

/** As SQLite compares them: ids by their bytes. */
const newerFirst = (a: Place, b: Place): number =>
  a.at === b.at ? Buffer.compare(b.id, a.id) : a.at < b.at ? 1 : -1
