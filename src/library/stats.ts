import { quoteName } from '../stores/sqlite/driver/driver.ts'
import { countResolved, readHistory, readTotals, type HistoryEntry } from './history.ts'
import type { OpenReplica } from './replica.ts'
import { getStats, type Retries } from './retries.ts'

/** How many operations of the past are told. */
const HISTORY_ENTRIES = 50

/** Origin 004, lines 257-268. */
export interface SyncStats {
  /** Rows of the synced tables. */
  readonly totalRecords: number
  /** When an operation last succeeded; null: none did. */
  readonly lastSyncTime: Date | null
  /** Local changes that the cloud has not taken yet, refused ones that wait for their next try among them. */
  readonly pendingOperations: number
  /**
   * Rows of the cloud that this file's schema does not take as they are (a NOT NULL, a UNIQUE that another row has): kept
   * aside, and taken when they fit.
   */
  readonly parkedRecords: number
  /** Conflicts in which something was decided, by a resolver, a rule or a person. */
  readonly conflictsResolved: number
  /** The newest first. */
  readonly syncHistory: readonly HistoryEntry[]
}

const NOTHING: SyncStats = {
  totalRecords: 0,
  lastSyncTime: null,
  pendingOperations: 0,
  parkedRecords: 0,
  conflictsResolved: 0,
  syncHistory: [],
}

/** Of a file that is not under sync: nothing. */
export async function readStats(
  open: OpenReplica | null,
  rules: Pick<Retries, 'clock' | 'random' | 'maxRetries'>,
): Promise<SyncStats> {
  if (open === null) return NOTHING
  const { store, book } = open
  const { pending } = await getStats({ store, book, ...rules })
  const { parked } = await store.counts()
  const inbox = await store.listInbox({})
  const { tables } = await store.schema()
  return book.read((connection) => ({
    totalRecords: tables.reduce(
      (sum, { name }) => sum + Number(connection.value(`SELECT count(*) FROM main.${quoteName(name)}`)),
      0,
    ),
    lastSyncTime: readTotals(connection).lastSyncTime,
    pendingOperations: pending,
    parkedRecords: parked,
    conflictsResolved: countResolved(inbox),
    syncHistory: readHistory(connection, HISTORY_ENTRIES),
  }))
}
