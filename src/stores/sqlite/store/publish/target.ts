import type { Hlc } from '../../../../kernel/hlc.ts'
import type { Fields } from '../../../../kernel/values.ts'
import type { WireRecord } from '../../../../protocol/records.ts'
import type { Bounds } from '../bind.ts'
import { differs, isAgreed, type Standing } from '../standing.ts'
import type { SyncedTable } from '../synced-table.ts'

/** One row of a publication: what it becomes, and what stands when it cannot. */
export interface Target {
  readonly key: string
  /** Null when no row of the table can have this key. */
  readonly bounds: Bounds | null
  /** Null: the cloud has neither row nor tombstone. */
  readonly record: WireRecord | null
  /**
   * - `record`: a clean row becomes the record. - `take`: a row with local changes does, they are given up.
   * - `keep`: the row becomes `fields`, what differs from the record stays dirty.
   */
  readonly kind: 'record' | 'take' | 'keep'
  /** The row to be, for `keep`; else the record's own fields are. */
  readonly fields: Fields | null
  /** The time of the local change, for `keep`. */
  readonly at: Hlc
  /** False: a parked record that is tried again. */
  readonly fresh: boolean
}

/** Why a row cannot stand. `own`: its table's rules refuse it, whatever other rows there are. */
export interface Obstacle {
  readonly reason: string
  readonly own: boolean
}

/** What a publication has done so far. */
export interface Outcome {
  applied: number
  /** The same by name of the table; no table without any. */
  readonly tables: Map<string, number>
  parked: number
  /** Keys of rows that were written or deleted, by number of the table; null: nobody asks. */
  readonly touched: Map<number, Set<string>> | null
}

export function touch(outcome: Outcome, table: SyncedTable, key: string): void {
  if (outcome.touched === null) return
  const keys = outcome.touched.get(table.number)
  if (keys === undefined) outcome.touched.set(table.number, new Set([key]))
  else keys.add(key)
}

/**
 * The row a target makes, null when there shall be none. Columns that a record lacks are left out: they get their
 * defaults from SQLite. `now`: the row of before, for `keep`.
 */
export function rowAfter(table: SyncedTable, target: Target, now: Fields | null): Fields | null {
  if (target.kind === 'keep') {
    return target.fields === null ? null : table.own({ ...now, ...carried(table, table.own(target.fields)) })
  }
  const { record } = target
  return record === null || record.deleted === true ? null : carried(table, table.own(record.fields ?? {}))
}

/** Columns that `fields` lacks as the default fills them in. */
export function wholeRow(table: SyncedTable, fields: Fields): Fields {
  return table.isWhole(fields) ? fields : table.own({ ...table.defaults, ...fields })
}

function carried(table: SyncedTable, fields: Fields): Fields {
  if (table.extraOf(fields) === null) return fields
  return table.own(
    Object.fromEntries(
      table.names.filter((name) => fields[name] !== undefined).map((name) => [name, fields[name] ?? null]),
    ),
  )
}

/** True when a row gives way to any other: the cloud has a newer one that is parked, and nothing local is unsent. */
export function isStale(row: Standing): boolean {
  return row.parked !== null && row.heldAt === null && (row.markedAt === null || !differs(row))
}

/** True when this agreed row gives way to the smaller key of another agreed one. */
export const givesWay = (row: Standing, to: string): boolean => to < row.key && isAgreed(row)
