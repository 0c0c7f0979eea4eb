import { resolveEntry, undoEntry, dismissEntry } from '../engine/conflicts.ts'
import type { Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Random } from '../kernel/random.ts'
import type { Folders } from '../machine/folders.ts'
import { AutoSync } from './auto-sync.ts'
import { changeSettings, type SyncSettings } from './config.ts'
import type { Row, RowOf, Tables } from './conflict.ts'
import { toDetectedConflict, type DetectedConflict } from './detected.ts'
import { callSafely, Listeners, type SyncEventName, type SyncListener } from './events.ts'
import { toSyncError, TROUBLES } from './failures.ts'
import { checkHealth, type HealthReport } from './health.ts'
import { runOperation } from './operation.ts'
import type { ProgressListener, SyncProgress } from './progress.ts'
import { getLocalDevice, type CloudSyncProvider, type LocalDevice, type SyncProvider } from './provider.ts'
import type { OpenReplica, Replica } from './replica.ts'
import { encodeRow, type ConflictResolver } from './resolvers.ts'
import type { SyncOperation, SyncResult } from './result.ts'
import { readStats, type SyncStats } from './stats.ts'

/** What can be given beside the settings, and changed with them. */
export interface Resolving<Known extends Tables> {
  /** Decides where nothing else is given. Default: the newer value, column by column. */
  readonly resolver?: ConflictResolver<Known> | undefined
  /** Resolvers of single tables. */
  readonly resolvers?:
    | { readonly [Table in keyof Known & string]?: ConflictResolver<Pick<Known, Table>> }
    | undefined
}

export interface OperationControl {
  /** Ends the operation: what the cloud took already stays, the rest waits. */
  readonly signal?: AbortSignal | undefined
}

/** A cloud and where it is. */
export interface Cloud extends CloudSyncProvider {
  readonly endpoint: string
}

export interface ManagerParts<Known extends Tables> extends Resolving<Known> {
  readonly replica: Replica
  /** What the replica knows this manager by. */
  readonly user: object
  readonly settings: SyncSettings
  readonly cloud: Cloud | null
  readonly openCloud: (endpoint: string, token: string | null) => Cloud
  readonly space: string | undefined
  readonly merge: boolean
  readonly folders: Folders
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/**
 * Keeps one database in step with a cloud, when it is asked to. One operation at a time: those that are asked for
 * meanwhile wait for their turn. Local work never waits for the network.
 */
export class SyncManager<
  Known extends Tables = { readonly [table: string]: Row },
> implements AsyncDisposable {
  readonly #parts: ManagerParts<Known>
  readonly #listeners: Listeners<Known>
  readonly #auto: AutoSync
  readonly #closing = new AbortController()
  #settings: SyncSettings
  #resolving: Resolving<Known>
  #cloud: Cloud | null
  /** A sync of `performSync` that has not begun. */
  #waiting: Promise<SyncResult<Known>> | null = null
  #closed: Promise<void> | null = null
  #nextRetryAt: number | null = null
  readonly #atWork = new Set<Promise<unknown>>()

  /** @internal Made by `createSyncManager`. */
  constructor(parts: ManagerParts<Known>) {
    this.#parts = parts
    this.#settings = parts.settings
    parts.replica.maxRetries = parts.settings.maxRetries
    this.#resolving = { resolver: parts.resolver, resolvers: parts.resolvers }
    this.#cloud = parts.cloud
    this.#listeners = new Listeners(parts.logger)
    this.#auto = new AutoSync({
      clock: parts.clock,
      random: parts.random,
      intervalMs: () => this.#intervalMs(),
      // Without a cloud there is nothing to fail: one may be connected later.
      sync: async () => (this.#cloud === null ? null : this.performSync()),
    })
    if (this.#settings.autoSyncEnabled) this.#auto.start()
  }

  /**
   * Sends what the file has and the cloud has not; reads nothing but what a conflict meets. All operations reject with
   * a `TidemarkError`: `not_connected`, `network` and others with `Not connected`, `unauthorized` and others with
   * `Authentication` in their message, `in_use` where another process syncs the file, `aborted`.
   */
  seed(
    entityTypes?: readonly (keyof Known & string)[],
    onProgress?: ProgressListener,
    control?: OperationControl,
  ): Promise<SyncResult<Known>> {
    return this.#run('seed', { entityTypes, onProgress, control })
  }

  /** Reads what the cloud has and the file has not; sends nothing. */
  hydrate(
    entityTypes?: readonly (keyof Known & string)[],
    onProgress?: ProgressListener,
    control?: OperationControl,
  ): Promise<SyncResult<Known>> {
    return this.#run('hydrate', { entityTypes, onProgress, control })
  }

  /** Both. `resolver` decides this time, in place of those of the configuration. */
  sync(
    entityTypes?: readonly (keyof Known & string)[],
    resolver?: ConflictResolver<Known>,
    onProgress?: ProgressListener,
    control?: OperationControl,
  ): Promise<SyncResult<Known>> {
    return this.#run('sync', { entityTypes, resolver, onProgress, control })
  }

  /** A whole sync by the configuration. While one waits for its turn, that one is the answer. */
  performSync(control?: OperationControl): Promise<SyncResult<Known>> {
    if (control?.signal !== undefined) return this.#run('sync', { control })
    if (this.#waiting !== null) return this.#waiting
    const forget = () => {
      if (this.#waiting === sync) this.#waiting = null
    }
    const sync = this.#run('sync', { onTurn: forget })
    this.#waiting = sync
    void sync.finally(forget).catch(() => {})
    return sync
  }

  /** Syncs now, and then every `autoSyncInterval`. */
  startAutoSync(): void {
    this.#requireOpen()
    this.#settings = { ...this.#settings, autoSyncEnabled: true }
    this.#auto.start()
  }

  /** A sync under way goes on to its end. */
  stopAutoSync(): void {
    this.#settings = { ...this.#settings, autoSyncEnabled: false }
    this.#auto.stop()
  }

  /** Takes effect at once. Throws `bad_usage`, and nothing is changed then. */
  updateConfig(changes: Partial<SyncSettings> & Resolving<Known>): void {
    this.#requireOpen()
    const before = this.#settings
    this.#settings = changeSettings(before, changes)
    this.#parts.replica.maxRetries = this.#settings.maxRetries
    if ('resolver' in changes) this.#resolving = { ...this.#resolving, resolver: changes.resolver }
    if ('resolvers' in changes) this.#resolving = { ...this.#resolving, resolvers: changes.resolvers }
    const { autoSyncEnabled, autoSyncInterval } = this.#settings
    if (autoSyncEnabled && !this.#auto.isRunning) this.#auto.start()
    else if (!autoSyncEnabled) this.#auto.stop()
    else if (autoSyncInterval !== before.autoSyncInterval) this.#auto.replan()
  }

  getConfig(): SyncSettings {
    return this.#settings
  }

  addEventListener<Name extends SyncEventName>(name: Name, listener: SyncListener<Name, Known>): void {
    this.#listeners.add(name, listener)
  }

  removeEventListener<Name extends SyncEventName>(name: Name, listener: SyncListener<Name, Known>): void {
    this.#listeners.remove(name, listener)
  }

  /** The cloud; null where none is configured. */
  getProvider(): SyncProvider | null {
    return this.#cloud?.face ?? null
  }

  /**
   * Connects with a Tidemark cloud, in place of the one before. Rejects where the cloud refuses the token; one that
   * cannot be reached is connected with later.
   */
  async createCloudProvider(endpoint: string, token?: string): Promise<SyncProvider> {
    this.#requireOpen()
    const cloud = this.#parts.openCloud(endpoint, token ?? null)
    await cloud.face.validateConnection({ signal: this.#closing.signal })
    const { lastFailure } = cloud.face
    if (lastFailure !== null && TROUBLES[lastFailure.code] === 'credentials') throw lastFailure
    this.#requireOpen()
    this.#cloud = cloud
    return cloud.face
  }

  async getLocalDevice(): Promise<LocalDevice> {
    return getLocalDevice(this.#parts)
  }

  async healthCheck(): Promise<HealthReport> {
    return checkHealth(this.getProvider())
  }

  /** Of a file that is not under sync yet: nothing. */
  async getSyncStats(): Promise<SyncStats> {
    const { replica, clock, random } = this.#parts
    const { maxRetries } = this.#settings
    return replica.look(this.#parts.user, (open) => readStats(open, { clock, random, maxRetries }))
  }

  /** The conflict inbox, the newest first. */
  async getConflicts(
    filter: { readonly open?: boolean; readonly limit?: number } = {},
  ): Promise<readonly DetectedConflict<Known>[]> {
    const entries = await this.#parts.replica.look(
      this.#parts.user,
      (open) => open?.store.listInbox(filter) ?? [],
    )
    return entries.map((entry) => toDetectedConflict(entry, null) as unknown as DetectedConflict<Known>)
  }

  /** Gives a conflict a side, or a row of its own; an edit like any other, which reaches every device. */
  async resolveConflict(
    id: string,
    choice: 'local' | 'remote' | Partial<RowOf<Known, keyof Known & string>>,
  ): Promise<void> {
    await this.#settle(async ({ store }) => {
      if (typeof choice === 'string') return resolveEntry(store, id, choice)
      const entry = await store.readInbox(id)
      return resolveEntry(store, id, { row: encodeRow(choice, entry?.local, entry?.remote?.fields) })
    })
  }

  /** Puts back what lost. */
  async undoConflict(id: string): Promise<void> {
    await this.#settle(({ store }) => undoEntry(store, id))
  }

  /** Takes note, and changes nothing. */
  async dismissConflict(id: string): Promise<void> {
    await this.#settle(({ store }) => dismissEntry(store, id))
  }

  /** Ends everything: an operation at work is cancelled, timers go, the file is let go. Twice is as once. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#auto.stop()
    this.#closing.abort(new TidemarkError('aborted', 'The manager was closed'))
    await Promise.allSettled(this.#atWork)
    await this.#parts.replica.leave(this.#parts.user)
  }

  /** A refused row may be due before the interval is over. */
  #intervalMs(): number {
    const interval = this.#settings.autoSyncInterval * 60_000
    if (this.#nextRetryAt === null) return interval
    return Math.min(interval, Math.max(0, this.#nextRetryAt - this.#parts.clock.now()))
  }

  #requireOpen(): void {
    if (this.#closed !== null) throw new TidemarkError('aborted', 'The manager was closed')
  }

  async #settle(work: (open: OpenReplica) => Promise<void>): Promise<void> {
    this.#requireOpen()
    await this.#parts.replica.look(this.#parts.user, (open) => {
      if (open === null) throw new TidemarkError('not_found', 'There is no such conflict')
      return work(open)
    })
  }

  async #run(operation: SyncOperation, asked: AskedOperation<Known>): Promise<SyncResult<Known>> {
    const { clock } = this.#parts
    try {
      this.#requireOpen()
      const cloud = this.#cloud
      if (cloud === null) throw new TidemarkError('not_connected', NO_CLOUD)
      const result = await this.#track(this.#perform(operation, asked, cloud))
      this.#listeners.emit('sync_completed', clock.now(), { operation, result })
      return result
    } catch (thrown) {
      const error = toSyncError(thrown)
      this.#listeners.emit('sync_error', clock.now(), { operation, error })
      throw error
    }
  }

  /** Closing waits for it. */
  async #track<T>(work: Promise<T>): Promise<T> {
    this.#atWork.add(work)
    try {
      return await work
    } finally {
      this.#atWork.delete(work)
    }
  }

  #perform(
    operation: SyncOperation,
    { entityTypes, resolver, onProgress, control, onTurn }: AskedOperation<Known>,
    cloud: Cloud,
  ): Promise<SyncResult<Known>> {
    const { replica, user, space, merge, clock, random, logger } = this.#parts
    const signals = [this.#closing.signal, ...(control?.signal === undefined ? [] : [control.signal])]
    const begin = () => {
      onTurn?.()
      this.#listeners.emit('sync_started', clock.now(), { operation, tables: entityTypes ?? null })
    }
    const asked = { user, space, endpoint: cloud.endpoint, signal: AbortSignal.any(signals), begin }
    return replica.perform(asked, async (open, signal) => {
      const { batchSize, maxRetries } = this.#settings
      const options = {
        operation,
        tables: entityTypes,
        // What the types of the tables are is the application's word: nothing below depends on them.
        resolver: (resolver ?? this.#resolving.resolver) as unknown as ConflictResolver | undefined,
        resolvers: (resolver === undefined ? this.#resolving.resolvers : undefined) as unknown as
          | { readonly [table: string]: ConflictResolver }
          | undefined,
        batchSize,
        maxRetries,
        merge,
        provider: cloud.engine,
        clock,
        random,
        logger,
        onProgress: (progress: SyncProgress) => {
          if (onProgress !== undefined) callSafely(logger, () => onProgress(progress))
          this.#listeners.emit('sync_progress', clock.now(), { operation, progress })
        },
        onConflict: (conflict: DetectedConflict) =>
          this.#listeners.emit(
            'conflict_detected',
            clock.now(),
            conflict as unknown as DetectedConflict<Known>,
          ),
        onRetries: (nextRetryAt: number | null) => {
          this.#nextRetryAt = nextRetryAt
        },
      }
      return (await runOperation(open, options, signal)) as unknown as SyncResult<Known>
    })
  }
}

const NO_CLOUD =
  'Not connected: no cloud is configured; give `endpoint` to createSyncManager or set TIDEMARK_ENDPOINT'

interface AskedOperation<Known extends Tables> {
  readonly entityTypes?: readonly (keyof Known & string)[] | undefined
  readonly resolver?: ConflictResolver<Known> | undefined
  readonly onProgress?: ProgressListener | undefined
  readonly control?: OperationControl | undefined
  readonly onTurn?: () => void
}
