import type { Connection, SqlRow, SqlValue, Statement } from '../stores/sqlite/driver/driver.ts'
import { transact } from '../stores/sqlite/driver/driver.ts'
import { ensureTable, ownTableName, selectFrom, type OwnTable } from './own-table.ts'
import type { BookChanges, Operation } from './retry-book.ts'

/** Completed operations go by themselves after this: a month is as far back as anybody looks for what went wrong. */
export const COMPLETED_KEPT_MS = 30 * 24 * 3_600_000

const RETRIES: OwnTable = {
  name: ownTableName('retries'),
  columns: {
    table_name: 'TEXT',
    key: 'TEXT',
    op: 'TEXT',
    status: 'TEXT',
    failures: 'INTEGER',
    entry: 'TEXT',
    code: 'TEXT',
    message: 'TEXT',
    first_at: 'INTEGER',
    last_at: 'INTEGER',
    next_at: 'INTEGER',
    completed_at: 'INTEGER',
  },
  unique: `(key, table_name) WHERE status <> 'completed'`,
}
const COLUMNS = Object.keys(RETRIES.columns)
const { name: TABLE } = RETRIES

/** Old enough to go, where `?, ?` are the time and an age. A clock that went back makes nothing older than it is. */
const OLDER = `status = 'completed' AND max(0, ? - completed_at) >= ?`

/** What the file has of the book; reading makes no table. */
export interface StoredBook {
  /** Those that are not completed, the oldest first. */
  readonly open: readonly Operation[]
  readonly completed: number
  /** Some are older than `COMPLETED_KEPT_MS`. */
  readonly expired: boolean
}

export function readBook(connection: Connection, now: number): StoredBook {
  const select = selectFrom(connection, RETRIES)
  if (select === null) return { open: [], completed: 0, expired: false }
  const open = connection.prepare(`${select} WHERE status IN ('pending', 'failed') ORDER BY sequence`).all()
  const counts = connection
    .prepare(`SELECT count(*), coalesce(sum(${OLDER}), 0) FROM ${TABLE} WHERE status = 'completed'`)
    .get(...olderThan(COMPLETED_KEPT_MS, now))
  return {
    open: open.map(toOperation),
    completed: Number(counts?.[0] ?? 0),
    expired: Number(counts?.[1] ?? 0) > 0,
  }
}

/** The newest first. */
export function readCompleted(connection: Connection, limit: number): readonly Operation[] {
  const select = selectFrom(connection, RETRIES)
  if (select === null) return []
  return connection
    .prepare(`${select} WHERE status = 'completed' ORDER BY completed_at DESC, sequence DESC LIMIT ?`)
    .all(BigInt(limit))
    .map(toOperation)
}

/**
 * Writes the changes, and lets what expired go, in one transaction. False, and nothing is done, when an operation is not
 * as it was read, or a row has been put into the book meanwhile: somebody else was quicker, and counted for himself.
 */
export function saveChanges(connection: Connection, changes: BookChanges, now: number): boolean {
  try {
    transact(connection, 'immediate', () => {
      ensureTable(connection, RETRIES)
      writeChanges(connection, changes)
      removeCompleted(connection, COMPLETED_KEPT_MS, now)
    })
    return true
  } catch (error) {
    if (error === MOVED) return false
    throw error
  }
}

/** Answers how many there were. */
export function removeCompleted(connection: Connection, ageMs: number, now: number): number {
  if (selectFrom(connection, RETRIES) === null) return 0
  return connection.prepare(`DELETE FROM ${TABLE} WHERE ${OLDER}`).run(...olderThan(ageMs, now)).changes
}

const MOVED = new Error('the book has moved')

const olderThan = (ageMs: number, now: number): readonly SqlValue[] => [BigInt(Math.floor(now)), ageMs]

function writeChanges(connection: Connection, { added, changed, removed }: BookChanges): void {
  const same = `sequence = ? AND entry = ? AND status = ? AND failures = ? AND next_at = ?`
  const places = COLUMNS.map(() => '?').join(', ')
  const isNew = `NOT EXISTS (SELECT 1 FROM ${TABLE} WHERE key = ? AND table_name = ? AND status <> 'completed')`
  const insert = connection.prepare(
    `INSERT INTO ${TABLE} (${COLUMNS.join(', ')}) SELECT ${places} WHERE ${isNew}`,
  )
  const update = connection.prepare(
    `UPDATE ${TABLE} SET ${COLUMNS.map((column) => `${column} = ?`).join(', ')} WHERE ${same}`,
  )
  const remove = connection.prepare(`DELETE FROM ${TABLE} WHERE ${same}`)
  for (const one of added) mustChange(insert, [...toValues(one), one.key, one.table])
  for (const { before, after } of changed) mustChange(update, [...toValues(after), ...identity(before)])
  for (const one of removed) mustChange(remove, identity(one))
}

function mustChange(statement: Statement, values: readonly SqlValue[]): void {
  if (statement.run(...values).changes !== 1) throw MOVED
}

/** Enough of an operation to know that nobody has changed it. */
const identity = ({ sequence, entry, status, failures, nextAt }: Operation): readonly SqlValue[] => [
  BigInt(sequence),
  entry,
  status,
  BigInt(failures),
  BigInt(nextAt),
]

const toValues = (one: Operation): readonly SqlValue[] => [
  one.table,
  one.key,
  one.op,
  one.status,
  BigInt(one.failures),
  one.entry,
  one.code,
  one.message,
  BigInt(one.firstAt),
  BigInt(one.lastAt),
  BigInt(one.nextAt),
  one.completedAt === null ? null : BigInt(one.completedAt),
]

function toOperation([sequence, ...values]: SqlRow): Operation {
  const [table, key, op, status, failures, entry, code, message, firstAt, lastAt, nextAt, completedAt] =
    values
  return {
    sequence: Number(sequence),
    table: String(table),
    key: String(key),
    op: op === 'delete' ? 'delete' : 'put',
    status: status === 'pending' || status === 'failed' ? status : 'completed',
    failures: Number(failures),
    entry: String(entry),
    code: String(code),
    message: String(message),
    firstAt: Number(firstAt),
    lastAt: Number(lastAt),
    nextAt: Number(nextAt),
    completedAt: completedAt == null ? null : Number(completedAt),
  }
}
