import type { InboxEntry } from '../engine/inbox.ts'
import { transact, type Connection, type SqlRow, type SqlValue } from '../stores/sqlite/driver/driver.ts'
import { ensureTable, ownTableName, selectFrom, type OwnTable } from './own-table.ts'

/** One call of `seed`, `hydrate` or `sync`. Counts are whole numbers. */
export interface HistoryEntry {
  readonly operation: 'seed' | 'hydrate' | 'sync'
  /** When it began, by the clock of this device. */
  readonly timestamp: Date
  /** Milliseconds. */
  readonly duration: number
  readonly recordsProcessed: number
  readonly pushed: number
  readonly received: number
  readonly conflicts: number
  readonly success: boolean
  /** The code of the error that ended it; never a message, for those of others may hold values of rows. */
  readonly error: string | null
  /** Null: all tables. */
  readonly tables: readonly string[] | null
}

/** Of all operations there ever were, those too that the history no longer keeps. */
export interface HistoryTotals {
  readonly operations: number
  readonly records: number
  readonly conflicts: number
  /** When the last operation began that succeeded; null: none did. */
  readonly lastSyncTime: Date | null
}

/** A sync every 30 minutes for three weeks; a page of a user interface shows far fewer. About 150 kB. */
export const HISTORY_ENTRIES = 1_000

/**
 * The totals stand in every row, as they were after it: the newest row has them exactly, whatever was trimmed, and one
 * insert changes everything there is to change. Rows are in the order of their `sequence`: a clock may go back.
 */
const HISTORY: OwnTable = {
  name: ownTableName('history'),
  columns: {
    operation: 'TEXT',
    timestamp: 'INTEGER',
    duration_ms: 'REAL',
    records: 'INTEGER',
    pushed: 'INTEGER',
    received: 'INTEGER',
    conflicts: 'INTEGER',
    success: 'INTEGER',
    error: 'TEXT',
    tables: 'TEXT',
    all_operations: 'INTEGER',
    all_records: 'INTEGER',
    all_conflicts: 'INTEGER',
    last_success: 'INTEGER',
  },
}
const COLUMNS = Object.keys(HISTORY.columns)

/** Adds an operation, as the newest whatever its time, and lets the oldest go beyond `HISTORY_ENTRIES`. Atomic. */
export function recordOperation(connection: Connection, entry: HistoryEntry): void {
  transact(connection, 'immediate', () => {
    ensureTable(connection, HISTORY)
    const before = readTotals(connection)
    const at = entry.timestamp.getTime()
    const lastSuccess = entry.success ? at : (before.lastSyncTime?.getTime() ?? null)
    const values: readonly SqlValue[] = [
      entry.operation,
      BigInt(at),
      entry.duration,
      BigInt(entry.recordsProcessed),
      BigInt(entry.pushed),
      BigInt(entry.received),
      BigInt(entry.conflicts),
      entry.success ? 1n : 0n,
      entry.error,
      entry.tables === null ? null : JSON.stringify(entry.tables),
      BigInt(before.operations + 1),
      BigInt(before.records + entry.recordsProcessed),
      BigInt(before.conflicts + entry.conflicts),
      lastSuccess === null ? null : BigInt(lastSuccess),
    ]
    const { lastRowid } = connection
      .prepare(
        `INSERT INTO ${HISTORY.name} (${COLUMNS.join(', ')}) VALUES (${COLUMNS.map(() => '?').join(', ')})`,
      )
      .run(...values)
    connection
      .prepare(`DELETE FROM ${HISTORY.name} WHERE sequence <= ?`)
      .run(lastRowid - BigInt(HISTORY_ENTRIES))
  })
}

/** The newest first. Empty in a file without a history. */
export function readHistory(connection: Connection, limit: number): readonly HistoryEntry[] {
  const select = selectFrom(connection, HISTORY)
  if (select === null) return []
  // A later version may know other operations.
  const known = `operation IN ('seed', 'hydrate', 'sync')`
  const count = Math.min(HISTORY_ENTRIES, Math.max(0, Math.trunc(limit)))
  return connection
    .prepare(`${select} WHERE ${known} ORDER BY sequence DESC LIMIT ?`)
    .all(BigInt(count))
    .map(toEntry)
}

export function readTotals(connection: Connection): HistoryTotals {
  const select = selectFrom(connection, HISTORY)
  const newest =
    select === null ? undefined : connection.prepare(`${select} ORDER BY sequence DESC LIMIT 1`).get()
  const [operations, records, conflicts, lastSuccess] = newest?.slice(-4) ?? []
  return {
    operations: Number(operations ?? 0),
    records: Number(records ?? 0),
    conflicts: Number(conflicts ?? 0),
    lastSyncTime: lastSuccess == null ? null : new Date(Number(lastSuccess)),
  }
}

/**
 * How many conflicts were decided, by a rule, a resolver or a person: of all entries of the inbox, those that do not
 * wait. Findings about references are no conflicts. The inbox keeps every conflict there was, whoever synced, so this
 * is exact where the sum over the operations of one library is not.
 */
export function countResolved(inbox: readonly InboxEntry[]): number {
  return inbox.filter(
    ({ kind, chosen, status }) => kind !== 'integrity' && !(chosen === 'waits' && status === 'open'),
  ).length
}

function toEntry([, ...values]: SqlRow): HistoryEntry {
  const [operation, timestamp, duration, records, pushed, received, conflicts, success, error, tables] =
    values
  return {
    operation: operation === 'seed' || operation === 'hydrate' ? operation : 'sync',
    timestamp: new Date(Number(timestamp)),
    duration: Number(duration),
    recordsProcessed: Number(records),
    pushed: Number(pushed),
    received: Number(received),
    conflicts: Number(conflicts),
    success: success === 1n,
    error: typeof error === 'string' ? error : null,
    tables: typeof tables === 'string' ? (JSON.parse(tables) as readonly string[]) : null,
  }
}
