import { dismissEntry, undoEntry } from '../engine/conflicts.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { requireAsked, type AskedOperation } from './asked.ts'
import { AutoSync } from './auto-sync.ts'
import { changeSettings, noCloud, SETTING_NAMES, type SyncSettings } from './config.ts'
import type { Row, RowOf, Tables } from './conflict.ts'
import type { DetectedConflict } from './detected.ts'
import { callSafely, Listeners, type SyncEventName, type SyncListener } from './events.ts'
import { toSyncError, TROUBLES } from './failures.ts'
import { requireFit, requireKnown } from './given.ts'
import { checkHealth, type HealthReport } from './health.ts'
import { chooseSide, readConflicts, type ConflictFilter } from './inbox.ts'
import { startLive } from './live.ts'
import { runOperation } from './operation.ts'
import type { Cloud, ManagerParts, OperationControl, Resolving } from './parts.ts'
import type { ProgressListener, SyncProgress } from './progress.ts'
import { getLocalDevice, type LocalDevice, type SyncProvider } from './provider.ts'
import type { OpenReplica } from './replica.ts'
import type { ConflictResolver } from './resolvers.ts'
import { INSIDE_RESOLVER, isInsideResolver } from './resolving.ts'
import type { SyncOperation, SyncResult } from './result.ts'
import { readStats, type SyncStats } from './stats.ts'

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
  /** How often a cloud was to be connected with, and which of those times it is connected by. */
  #connecting = 0
  #connected = 0
  #isLive = false
  /** Clouds with which something was exchanged. */
  readonly #met = new WeakSet<Cloud>()
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
      intervalMs: () => this.#settings.autoSyncInterval * 60_000,
      dueMs: () => this.#dueMs(),
      // Without a cloud there is nothing to fail: one may be connected later.
      sync: async () => (this.#cloud === null ? null : this.performSync()),
    })
    if (this.#settings.autoSyncEnabled) this.#auto.start()
    this.#refreshLive()
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
    if (this.#waiting !== null && !isInsideResolver(this.#parts.replica.file)) return this.#waiting
    const forget = () => {
      if (this.#waiting === sync) this.#waiting = null
    }
    const sync = this.#run('sync', { onTurn: forget })
    this.#waiting = sync
    void sync.finally(forget).catch(() => {})
    return sync
  }

  /** Syncs now, and then every `autoSyncInterval`; with `live` also whenever something changes, here or there. */
  startAutoSync(): void {
    this.#requireOpen()
    this.#settings = { ...this.#settings, autoSyncEnabled: true }
    this.#auto.start()
    this.#refreshLive()
  }

  /** A sync under way goes on to its end. */
  stopAutoSync(): void {
    this.#settings = { ...this.#settings, autoSyncEnabled: false }
    this.#auto.stop()
    this.#refreshLive()
  }

  /** Takes effect at once. Throws `bad_usage`, and nothing is changed then. */
  updateConfig(changes: Partial<SyncSettings> & Resolving<Known>): void {
    this.#requireOpen()
    // Undefined is fit for what may be left out; this may not.
    requireFit({ changes: changes === undefined ? null : changes })
    requireKnown(changes, CHANGEABLE)
    requireFit({ resolver: changes.resolver, resolvers: changes.resolvers })
    const before = this.#settings
    this.#settings = changeSettings(before, changes)
    this.#parts.replica.maxRetries = this.#settings.maxRetries
    if ('resolver' in changes) this.#resolving = { ...this.#resolving, resolver: changes.resolver }
    if ('resolvers' in changes) this.#resolving = { ...this.#resolving, resolvers: changes.resolvers }
    const { autoSyncEnabled, autoSyncInterval } = this.#settings
    if (autoSyncEnabled && !this.#auto.isRunning) this.#auto.start()
    else if (!autoSyncEnabled) this.#auto.stop()
    else if (autoSyncInterval !== before.autoSyncInterval) this.#auto.replan()
    this.#refreshLive()
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
    requireFit({ endpoint: endpoint ?? null, token: token ?? undefined })
    const connecting = ++this.#connecting
    const cloud = this.#parts.openCloud(endpoint, token ?? null)
    await cloud.face.validateConnection({ signal: this.#closing.signal })
    const { lastFailure } = cloud.face
    if (lastFailure !== null && TROUBLES[lastFailure.code] === 'credentials') throw lastFailure
    this.#requireOpen()
    // Of several that were asked for, the last one that answered well is it, in whatever order they answer.
    if (connecting > this.#connected) [this.#connected, this.#cloud] = [connecting, cloud]
    this.#refreshLive()
    if (this.#auto.isRunning) this.#auto.restart()
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
    const { clock, random } = this.#parts
    const { maxRetries } = this.#settings
    return this.#look((open) => readStats(open, { clock, random, maxRetries }))
  }

  /** The conflict inbox, the newest first. */
  async getConflicts(filter: ConflictFilter = {}): Promise<readonly DetectedConflict<Known>[]> {
    requireFit({ filter })
    requireFit({ ...filter })
    const found = await this.#look((open) => (open === null ? [] : readConflicts(open, filter)))
    return found as unknown as readonly DetectedConflict<Known>[]
  }

  /**
   * Gives a conflict a side, or a row of its own: these values of columns, the local ones of the others. An edit like
   * any other, which reaches every device. Throws `not_found`, and `bad_usage` for any other choice.
   */
  async resolveConflict(
    id: string,
    choice: 'local' | 'remote' | Partial<RowOf<Known, keyof Known & string>>,
  ): Promise<void> {
    await this.#settle((open) => chooseSide(open, id, choice))
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
  #dueMs(): number {
    return this.#nextRetryAt === null ? Number.POSITIVE_INFINITY : this.#nextRetryAt - this.#parts.clock.now()
  }

  #requireOpen(): void {
    if (this.#closed !== null) throw new TidemarkError('aborted', 'The manager was closed')
  }

  #look<T>(work: (open: OpenReplica | null) => Promise<T> | T): Promise<T> {
    this.#requireOpen()
    const { replica, user } = this.#parts
    return replica.look(user, work)
  }

  async #settle(work: (open: OpenReplica) => Promise<void>): Promise<void> {
    await this.#look((open) => {
      if (open === null) throw new TidemarkError('not_found', 'There is no such conflict')
      return work(open)
    })
  }

  async #run(operation: SyncOperation, given: AskedOperation<Known>): Promise<SyncResult<Known>> {
    const { clock } = this.#parts
    try {
      this.#requireOpen()
      const asked = requireAsked(given)
      if (isInsideResolver(this.#parts.replica.file)) throw new TidemarkError('bad_usage', INSIDE_RESOLVER)
      const cloud = this.#cloud
      if (cloud === null) throw noCloud(this.#parts.isTurnedOff)
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
    const { replica, user, space, clock, logger } = this.#parts
    const signals = [this.#closing.signal, ...(control?.signal === undefined ? [] : [control.signal])]
    const begin = () => {
      onTurn?.()
      this.#listeners.emit('sync_started', clock.now(), { operation, tables: entityTypes ?? null })
    }
    const asked = { user, space, endpoint: cloud.endpoint, signal: AbortSignal.any(signals), begin }
    return replica.perform(asked, async (open, signal) => {
      const options = {
        ...this.#rules(cloud),
        ...(resolver === undefined
          ? {}
          : { resolver: resolver as unknown as ConflictResolver, resolvers: undefined }),
        operation,
        tables: entityTypes,
        isFirst: !this.#met.has(cloud),
        onProgress: (progress: SyncProgress) => {
          if (onProgress !== undefined) callSafely(logger, () => onProgress(progress))
          this.#listeners.emit('sync_progress', clock.now(), { operation, progress })
        },
      }
      const result = await runOperation(open, options, signal)
      this.#met.add(cloud)
      return result as unknown as SyncResult<Known>
    })
  }

  /** How every engine of this manager works, by the settings of now. */
  #rules(cloud: Cloud) {
    const { merge, clock, random, logger } = this.#parts
    const { batchSize, maxRetries } = this.#settings
    // What the types of the tables are is the application's word: nothing below depends on them.
    const { resolver, resolvers } = this.#resolving as unknown as Resolving<{ readonly [table: string]: Row }>
    return {
      resolver,
      resolvers: resolvers as { readonly [table: string]: ConflictResolver } | undefined,
      batchSize,
      merge,
      maxRetries,
      provider: cloud.engine,
      clock,
      random,
      logger,
      onConflict: (conflict: DetectedConflict) =>
        this.#listeners.emit(
          'conflict_detected',
          clock.now(),
          conflict as unknown as DetectedConflict<Known>,
        ),
      onRetries: (nextRetryAt: number | null) => {
        this.#nextRetryAt = nextRetryAt
        // After a sync by hand, the timer of before does not know of it.
        if (nextRetryAt !== null) this.#auto.replan()
      },
    }
  }

  /** Begins or ends what goes on between operations, or begins it anew with other settings. */
  #refreshLive(): void {
    const { replica, user, clock } = this.#parts
    const cloud = this.#cloud
    if (!this.#settings.live || !this.#auto.isRunning || cloud === null) {
      if (this.#isLive) replica.keepLive(user, null)
      this.#isLive = false
      return
    }
    this.#isLive = true
    const operation = 'sync'
    const fail = (error: unknown) =>
      this.#listeners.emit('sync_error', clock.now(), { operation, error: toSyncError(error) })
    replica.keepLive(user, async (open) => {
      // What an operation would refuse to join is not joined between two.
      if (!this.#met.has(cloud)) return null
      return startLive(open, {
        ...this.#rules(cloud),
        pollMs: this.#settings.autoSyncInterval * 60_000,
        onStart: () => this.#listeners.emit('sync_started', clock.now(), { operation, tables: null }),
        onResult: (result) =>
          this.#listeners.emit('sync_completed', clock.now(), {
            operation,
            result: result as unknown as SyncResult<Known>,
          }),
        onError: fail,
      }).catch((error: unknown) => {
        fail(error)
        throw error
      })
    })
  }
}

const CHANGEABLE = [...SETTING_NAMES, 'resolver', 'resolvers']
