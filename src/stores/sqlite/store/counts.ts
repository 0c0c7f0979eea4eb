import type { ParkedRow, StoreCounts } from '../../../engine/store.ts'
import { markTable } from '../capture/names.ts'
import { quoteName } from '../driver/driver.ts'
import { newBounds } from './bind.ts'
import type { Session } from './session.ts'
import { differs, readStanding } from './standing.ts'
import type { SyncedTable } from './synced-table.ts'

export function readCounts(session: Session): StoreCounts {
  const pending: { [table: string]: number } = {}
  const parked = session.parking.counts()
  let parkedRows = 0
  let held = 0
  let nullKeys = 0
  for (const table of session.tables) {
    const marks = countOf(table, 'marks', `SELECT count(*) FROM ${markTable(table.number)}`)
    if (marks > 0) pending[table.name] = marks
    parkedRows += parked.get(table.number) ?? 0
    held += countHeld(session, table)
    nullKeys += countNullKeys(table)
  }
  return {
    pending,
    parked: parkedRows,
    quarantined: session.quarantine.count(),
    held,
    openConflicts: session.notebook.countOpen(),
    nullKeys,
  }
}

const countOf = (table: SyncedTable, name: string, sql: string): number =>
  Number(table.query(name, () => sql).get(newBounds())?.[0] ?? 0)

/** Rows that wait for the inbox, not for the quarantine, and still differ from what was agreed. */
function countHeld(session: Session, table: SyncedTable): number {
  let held = 0
  for (const key of session.waiting.list(table.number).keys()) {
    if (session.quarantine.has(table.number, key)) continue
    const row = readStanding(session, table, key)
    if (row.heldAt !== null && row.markedAt === null && differs(row)) held++
  }
  return held
}

/** Rows with a NULL in the key. One look-up for each key column that may hold one; the first has the key's index. */
function countNullKeys(table: SyncedTable): number {
  const nullable = table.shape.key.filter((column) => column.nullable)
  if (nullable.length === 0) return 0
  const condition = nullable.map(({ name }) => `${quoteName(name)} IS NULL`).join(' OR ')
  return countOf(table, 'null keys', `SELECT count(*) FROM main.${quoteName(table.name)} WHERE ${condition}`)
}

/** By table and key. */
export function listParked(session: Session, limit: number): readonly ParkedRow[] {
  const rows: ParkedRow[] = []
  for (const table of session.tables) {
    if (rows.length >= limit) break
    for (const { key, record, reason } of session.parking.list(table.number, limit - rows.length)) {
      rows.push({ table: table.name, key, record, reason })
    }
  }
  return rows
}
