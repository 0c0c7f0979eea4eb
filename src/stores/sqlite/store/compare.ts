import { allRows, goneRowsSql, markSql, type JoinedRow } from './joined-rows.ts'
import type { Session } from './session.ts'
import { equalsImage } from './standing.ts'
import type { SyncedTable } from './synced-table.ts'

/** Rows marked under one lock. */
const MARK_CHUNK_ROWS = 2_000

/**
 * Compares every row of a table with its image and marks what differs: after triggers were missing, any row may
 * have changed unseen (I1). Reading holds no lock, for the triggers are back by now: what changes meanwhile is
 * marked by them, and a mark too many goes when it is met.
 */
export function compareTable(session: Session, name: string): void {
  const differing = session.read(() => {
    const table = session.table(name)
    const keys: string[] = []
    if (table !== undefined) for (const row of allRows(table)) if (isSuspect(table, row)) keys.push(row.key)
    return keys
  })
  for (let from = 0; from < differing.length; from += MARK_CHUNK_ROWS) {
    const keys = differing.slice(from, from + MARK_CHUNK_ROWS)
    session.write(() => {
      const table = session.table(name)
      const at = session.time
      for (const key of table === undefined ? [] : keys) {
        const bounds = table?.bindKey(key) ?? null
        if (bounds !== null) table?.states.addMark(bounds, at)
      }
    })
  }
  session.write(() => {
    const table = session.table(name)
    if (table !== undefined) markGoneRows(session, table)
  })
}

/** Marks agreed rows that the table has no more: they were deleted unseen. */
export function markGoneRows(session: Session, table: SyncedTable): void {
  session.connection.prepare(markSql(table, goneRowsSql(table))).run(BigInt(session.time))
}

function isSuspect(table: SyncedTable, { fields, state }: JoinedRow): boolean {
  if (fields === null) return false
  if (state === null || state.agreed !== 'live' || state.image === null) return true
  return !equalsImage(table, fields, state.image)
}
