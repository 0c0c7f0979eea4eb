import type Database from 'better-sqlite3'

import type { Approval, ApprovalStatus } from '../../protocol/approvals.ts'
import { guarded } from '../agents/database.ts'
import type { Place } from '../agents/cursor.ts'
import { OTHER_STATUS, timeOf } from '../agents/schema.ts'
import { defineTable } from '../agents/tables.ts'

/**
 * Approvals of other devices, from their copies in `agents.db`. Anybody may have written anything there: what is read is
 * cut to what the contract can hold, and is never more than something to look at.
 */
const COPIES = defineTable<ForeignCopy>('approvals', {
  session_id: 'ref',
  tool_call_id: 'ref',
  tool_name: 'short',
  tool_input: 'json',
  context_type: 'short',
  status: 'short',
  comment: 'text',
  updated_input: 'json',
  decided_by: 'short',
  created_at: 'time',
  expires_at: 'time',
  decided_at: 'time',
})

interface ForeignCopy {
  readonly id: string
  readonly session_id: string | null
  readonly tool_call_id: string | null
  readonly tool_name: string | null
  readonly tool_input: unknown
  readonly context_type: string | null
  readonly status: string | null
  readonly comment: string | null
  readonly updated_input: unknown
  readonly decided_by: string | null
  readonly created_at: number | null
  readonly expires_at: number | null
  readonly decided_at: number | null
}

const KNOWN: readonly ApprovalStatus[] = ['pending', 'approved', 'denied', 'expired']
/** What the contract has no word for is shown as what nobody can do anything with. */
const statusOf = (status: string | null): ApprovalStatus =>
  KNOWN.find((known) => known === status) ?? 'cancelled'

const toApproval = (copy: ForeignCopy): Approval => ({
  ...copy,
  tool_name: copy.tool_name ?? '',
  status: statusOf(copy.status),
  context_size: null,
  created_at: copy.created_at ?? 0,
  owned: false,
})

/** A row of a list, with its place in it and how long its texts are. */
export interface Placed {
  readonly approval: Approval
  readonly place: Place
  readonly chars: number
}

export interface Wanted {
  readonly status?: ApprovalStatus
  readonly session_id?: string
}

const VALID_ID = "typeof(id) = 'text' AND length(id) BETWEEN 1 AND 256 AND octet_length(id) <= 1024"
const TIME = timeOf('created_at')
/** Behind all that there are. */
const LAST = 2n ** 63n - 1n

export const charsOf = (row: readonly unknown[]): number =>
  row.reduce<number>((sum, value) => sum + (typeof value === 'string' ? value.length : 0), 0)

export function findForeign(database: Database.Database, id: string): Approval | null {
  return guarded(() => {
    const row = database
      .prepare<[string], readonly unknown[]>(
        `SELECT ${COPIES.select} FROM approvals WHERE id = ? AND ${VALID_ID}`,
      )
      .raw()
      .safeIntegers()
      .get(id)
    return row === undefined ? null : toApproval(COPIES.toRecord(row))
  })
}

/** Newest first, behind `from`. Those that `isOwn` knows are left out: their place is another table (D2). */
export function* foreignRows(
  database: Database.Database,
  { status, session_id }: Wanted,
  from: Place | null,
  isOwn: (id: string) => boolean,
): Generator<Placed> {
  const filters = [
    ...(session_id === undefined ? [] : [{ where: 'session_id = ?', value: session_id }]),
    ...(status === undefined
      ? []
      : [status === 'cancelled' ? { where: OTHER_STATUS } : { where: 'status = ?', value: status }]),
  ]
  const read = (place: string, values: readonly unknown[]): Iterable<readonly unknown[]> =>
    database
      .prepare<unknown[], readonly unknown[]>(
        `SELECT ${TIME}, CAST(id AS BLOB), ${COPIES.select} FROM approvals
         WHERE ${[...filters.map(({ where }) => where), place, VALID_ID].join(' AND ')}
         ORDER BY ${TIME} DESC, id DESC`,
      )
      .raw()
      .safeIntegers()
      .iterate(...filters.flatMap(({ value }) => (value === undefined ? [] : [value])), ...values)
  // Those of the same moment, then those behind it: each is one stretch of the index.
  function* raw(): Iterable<readonly unknown[]> {
    if (from === null) return yield* read(`${TIME} <= ?`, [LAST])
    yield* read(`${TIME} = ? AND id < CAST(? AS TEXT)`, [from.at, from.id])
    yield* read(`${TIME} < ?`, [from.at])
  }
  for (const [at, id, ...row] of raw()) {
    if (typeof at !== 'bigint' || !(id instanceof Uint8Array)) continue
    // First of all: most copies are of this daemon's own.
    if (isOwn(String(row[0]))) continue
    yield { approval: toApproval(COPIES.toRecord(row)), place: { at, id }, chars: charsOf(row) }
  }
}
