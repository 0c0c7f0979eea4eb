import type { InboxEntry, InboxKind } from '../engine/inbox.ts'
import type { Store } from '../engine/store.ts'
import { COUNTS_PER_MS } from '../kernel/hlc.ts'
import { fieldVersion } from '../protocol/field-version.ts'
import type { WireRecord } from '../protocol/records.ts'
import { toEntityId, toRow, type Row, type RowOf, type Tables } from './conflict.ts'

/** A place where two values met, and what became of it: of one table, whose name tells the type of its rows. */
export type DetectedConflict<Known extends Tables = { readonly [table: string]: Row }> = {
  readonly [Table in keyof Known & string]: DetectedConflictOf<Table, RowOf<Known, Table>>
}[keyof Known & string]

export interface DetectedConflictOf<Table extends string, Data extends object> {
  /** Of the entry in the inbox. */
  readonly id: string
  /** `field`, `insert`, `rejoined`: a resolver decided; the others: a rule (`docs/guides/library.md`). */
  readonly kind: InboxKind
  readonly entityType: Table
  /** The key of the row; an array where it has several columns. */
  readonly entityId: unknown
  /** The columns in question; empty where the whole row is. */
  readonly fields: readonly (keyof Data & string)[]
  /** Both rows, whole, as they met; null for a deleted one. */
  readonly localData: Data | null
  readonly remoteData: Data | null
  /** Milliseconds since 1970, as a resolver sees them; null where no resolver was asked. */
  readonly localTimestamp: number | null
  /** The same of the other side: of its newest column in question. */
  readonly remoteTimestamp: number | null
  /** What stands now. `waits`: nothing was chosen, the row waits for a decision. */
  readonly resolution: 'local' | 'remote' | 'merged' | 'both' | 'waits'
  /** The name of the resolver, or the rule. */
  readonly resolvedBy: string
  /** A sentence for people. */
  readonly reason: string
  readonly status: 'open' | 'resolved' | 'undone' | 'dismissed'
  readonly detectedAt: Date
}

/** An entry of the inbox in the application's values. `localAt`: when the local row changed, in milliseconds. */
export function toDetectedConflict(entry: InboxEntry, localAt: number | null): DetectedConflict {
  const { remote } = entry
  return {
    id: entry.id,
    kind: entry.kind,
    entityType: entry.table,
    entityId: toEntityId(entry.key),
    fields: entry.columns,
    localData: entry.local === null ? null : toRow(entry.local),
    remoteData: remote?.fields === undefined || remote.deleted === true ? null : toRow(remote.fields),
    localTimestamp: localAt,
    remoteTimestamp: remote === null ? null : newestOf(remote, entry.columns),
    resolution: entry.chosen,
    resolvedBy: entry.by,
    reason: entry.reason,
    status: entry.status,
    detectedAt: new Date(entry.at),
  }
}

function newestOf(record: WireRecord, columns: readonly string[]): number {
  const times = columns.map((column) => fieldVersion(record, column)[1])
  return (times.length === 0 ? record.hlc : Math.max(...times)) / COUNTS_PER_MS
}

/** Reads what comes into the inbox, once each, from a moment on. */
export interface InboxReader {
  /** Those not read yet, the oldest first. */
  readNew(): Promise<readonly InboxEntry[]>
}

/** Entries looked at first; four times as many where the last one known is not among them. */
const FIRST_LOOK = 16

/**
 * By the entries themselves: how many are told of is no measure. A conflict that is met again is noted once, a store
 * notes some things by itself, and before the first are read there may be more.
 */
export async function readInboxFromNow(store: Pick<Store, 'listInbox'>): Promise<InboxReader> {
  const [newest] = await store.listInbox({ limit: 1 })
  let last = newest?.id ?? null
  return {
    async readNew() {
      for (let limit = FIRST_LOOK; ; limit *= 4) {
        const entries = await store.listInbox({ limit })
        const known = entries.findIndex(({ id }) => id === last)
        if (known < 0 && entries.length === limit) continue
        const found = known < 0 ? entries : entries.slice(0, known)
        last = found[0]?.id ?? last
        return found.toReversed()
      }
    },
  }
}
