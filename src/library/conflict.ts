import type { Conflict } from '../engine/resolvers.ts'
import { COUNTS_PER_MS } from '../kernel/hlc.ts'
import { decodeJs } from '../kernel/js-values.ts'
import { keyValues } from '../kernel/keys.ts'
import type { Encoded, Fields } from '../kernel/values.ts'

/** A row as the application knows it: column → value. Integers past 2^53 are bigints, blobs bytes. */
export type Row = { readonly [column: string]: unknown }

/** Tables of an application and their rows, for types only: an interface or a type, table → row. */
export type Tables = object

/** The rows of a table. */
export type RowOf<Known extends Tables, Table extends keyof Known> = Known[Table] extends object
  ? Known[Table]
  : Row

/** What both sides changed, as a resolver sees it: of one table, whose name tells the type of its rows. */
export type SyncConflict<Known extends Tables = { readonly [table: string]: Row }> = {
  readonly [Table in keyof Known & string]: ConflictOf<Table, RowOf<Known, Table>>
}[keyof Known & string]

export interface ConflictOf<Table extends string, Data extends object> {
  /** `field`: both edited; `insert`: both inserted under one key; `rejoined`: after a restored cloud. */
  readonly kind: 'field' | 'insert' | 'rejoined'
  readonly entityType: Table
  /** The key of the row; an array where it has several columns. */
  readonly entityId: unknown
  /** The columns in question: the others are merged already. */
  readonly fields: readonly (keyof Data & string)[]
  /** Both rows, whole. */
  readonly localData: Data
  readonly remoteData: Data
  /** Milliseconds since 1970, with a fraction that keeps the order of two changes of one millisecond. */
  readonly localTimestamp: number
  /** The same of the other side: of the newest column in question. */
  readonly remoteTimestamp: number
  /** When the other side changed a column in question, in the same unit. */
  readonly remoteTimestamps: { readonly [column: string]: number }
}

/** A conflict of whatever table: what a resolver that fits every application looks at. */
export interface AnyConflict {
  readonly fields: readonly string[]
  readonly localData: object
  readonly remoteData: object
  readonly localTimestamp: number
  readonly remoteTimestamp: number
  readonly remoteTimestamps: { readonly [column: string]: number }
}

/** The conflict of the engine in the application's values. */
export function toSyncConflict(conflict: Conflict): SyncConflict {
  const times = Object.entries(conflict.remoteTimes).map(([column, time]) => [column, time / COUNTS_PER_MS])
  return {
    kind: conflict.kind,
    entityType: conflict.table,
    entityId: toEntityId(conflict.key),
    fields: conflict.columns,
    localData: toRow(conflict.local),
    remoteData: toRow(conflict.remote),
    localTimestamp: conflict.localAt / COUNTS_PER_MS,
    remoteTimestamp: Math.max(0, ...Object.values(conflict.remoteTimes)) / COUNTS_PER_MS,
    remoteTimestamps: Object.fromEntries(times) as { readonly [column: string]: number },
  }
}

/** The value of a key in its canonical text; an array where it has several columns. */
export function toEntityId(key: string): unknown {
  const ids = keyValues(key).map(decodeJs)
  return ids.length === 1 ? ids[0] : ids
}

export const toRow = (fields: Fields): Row =>
  Object.fromEntries(
    Object.entries(fields).map(([column, value]: [string, Encoded]) => [column, decodeJs(value)]),
  )
