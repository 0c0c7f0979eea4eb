import type { InboxEntry, InboxKind } from '../engine/inbox.ts'
import type { Store } from '../engine/store.ts'
import { fieldVersion } from '../protocol/field-version.ts'
import type { WireRecord } from '../protocol/records.ts'
import { COUNTS_PER_MS, toEntityId, toRow, type Row, type RowOf, type Tables } from './conflict.ts'

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
  /** `count` entries are new, or fewer. Those not read yet, the oldest first. */
  readNew(count: number): Promise<readonly InboxEntry[]>
}

export async function readInboxFromNow(store: Store): Promise<InboxReader> {
  const [newest] = await store.listInbox({ limit: 1 })
  let last = newest?.id ?? null
  return {
    async readNew(count) {
      const found: InboxEntry[] = []
      // A conflict that is met again is noted once: there may be fewer than were told, and more from elsewhere.
      for (const entry of await store.listInbox({ limit: count })) {
        if (entry.id === last) break
        found.unshift(entry)
      }
      last = found.at(-1)?.id ?? last
      return found
    },
  }
}
