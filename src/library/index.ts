/** The public face of `tidemark`: sync for an application's own SQLite database. */
export { debounceSync, type DebouncedSync, type DebounceOptions } from './debounce.ts'
export { createSyncManager, type ReplicaConfig, type SyncConfig } from './create.ts'
export { isSyncAvailable, type SyncSettings } from './config.ts'
export type { AnyConflict, ConflictOf, Row, RowOf, SyncConflict, Tables } from './conflict.ts'
export type {
  BetterSqlite3Database,
  KnexDatabase,
  NodeSqliteDatabase,
  SyncDatabase,
} from './database/database.ts'
export type { DetectedConflict, DetectedConflictOf } from './detected.ts'
export type { SyncEvent, SyncEventName, SyncEvents, SyncListener } from './events.ts'
export type { HealthReport } from './health.ts'
export type { HistoryEntry } from './history.ts'
export type { ConflictFilter } from './inbox.ts'
export type { SyncManager } from './manager.ts'
export type { OperationControl, Resolving } from './parts.ts'
export { migrate, type MigrateResult } from './migrate.ts'
export type { ProgressListener, SyncProgress } from './progress.ts'
export type { LocalDevice, RegisteredDevice, SyncProvider } from './provider.ts'
export {
  ConflictResolverFactory,
  ConflictResolvers,
  toEngineResolver,
  type ConflictAnswer,
  type ConflictResolver,
} from './resolvers.ts'
export type { SyncOperation, SyncResult, TableCounts } from './result.ts'
export { RetryQueue, type RetryQueueConfig } from './retry-queue.ts'
export type { RetryOperation, RetryStats } from './retries.ts'
export type { SyncStats } from './stats.ts'
export { TidemarkError, type ErrorCode } from '../kernel/errors.ts'
