import type { Row, Tables } from './conflict.ts'
import type { DetectedConflict } from './detected.ts'

export type SyncOperation = 'seed' | 'hydrate' | 'sync'

/** Counts of rows. */
export interface TableCounts {
  /** Local changes that the cloud took. */
  readonly pushed: number
  /** Rows of the cloud that were written here. */
  readonly received: number
  readonly conflicts: number
}

/** What one operation did. */
export interface SyncResult<Known extends Tables = { readonly [table: string]: Row }> {
  readonly operation: SyncOperation
  /** Rows that went either way. */
  readonly recordsProcessed: number
  readonly pushed: number
  readonly received: number
  /** Rows that the cloud refused for good meanwhile: see `RetryQueue`. */
  readonly refused: number
  /** Where two values met, and what became of it; each is in the inbox as well. */
  readonly conflicts: readonly DetectedConflict<Known>[]
  /** By table; those in which nothing happened are absent. */
  readonly tables: { readonly [Table in keyof Known & string]?: TableCounts }
  readonly startedAt: Date
  /** Milliseconds. */
  readonly duration: number
}
