import { resolve } from 'node:path'

import type { Provider } from '../engine/provider.ts'
import { systemClock } from '../kernel/clock.ts'
import { systemRandom } from '../kernel/random.ts'
import { findCloud, readSettings, type SyncSettings } from './config.ts'
import { foldersOf, openReplica, type ReplicaConfig } from './create.ts'
import type { SyncDatabase } from './database/database.ts'
import { toSyncError } from './failures.ts'
import { requireFit } from './given.ts'
import { createCloudSyncProvider } from './provider.ts'
import {
  clearCompleted,
  clearFailed,
  getStats,
  listOperations,
  retryAllFailed,
  type Retries,
  type RetryOperation,
  type RetryStats,
} from './retries.ts'

/** `maxRetries`: default that of a manager of this process on the same file, else `SYNC_MAX_RETRIES`, else 3. */
export interface RetryQueueConfig extends ReplicaConfig, Partial<Pick<SyncSettings, 'maxRetries'>> {
  /** For `clearFailed`, which asks the cloud. Default: `TIDEMARK_ENDPOINT` and `TIDEMARK_TOKEN`. */
  readonly endpoint?: string | undefined
  readonly token?: string | undefined
}

/**
 * Local changes that wait: those to be sent, and those that the cloud refused. Works beside a manager, and without
 * one. Nothing is held between two calls. A file that is not under sync has an empty queue.
 */
export class RetryQueue {
  readonly #database: SyncDatabase
  readonly #config: RetryQueueConfig

  constructor(database: SyncDatabase, config: RetryQueueConfig = {}) {
    // A relative path is one of now, wherever the process goes.
    this.#database = typeof database === 'string' ? resolve(database) : database
    this.#config = typeof config?.home === 'string' ? { ...config, home: resolve(config.home) } : config
  }

  getStats(): Promise<RetryStats> {
    return this.#with({ pending: 0, failed: 0, completed: 0, total: 0 }, getStats)
  }

  /** Every operation that is not completed, then the completed, the newest first. */
  async list(limit?: number): Promise<readonly RetryOperation[]> {
    requireFit({ limit })
    return this.#with([], (retries) => listOperations(retries, limit))
  }

  /** Forgets operations that were completed this many hours ago or longer. Answers how many. */
  clearCompleted(hours: number): Promise<number> {
    return this.#with(0, (retries) => clearCompleted(retries, hours))
  }

  /** Marks every failed operation again: the next sync sends it. Answers how many. */
  retryAllFailed(): Promise<number> {
    return this.#with(0, retryAllFailed)
  }

  /**
   * Gives the failed operations up: each row becomes what the cloud has, or goes where the cloud has none. Asks the
   * cloud: rejects with `Not connected` and does nothing where it cannot. Answers how many.
   */
  clearFailed(signal: AbortSignal = new AbortController().signal): Promise<number> {
    return this.#with(0, async (retries, space) => clearFailed(retries, this.#openProvider(space), signal))
  }

  #openProvider(space: string): Provider | null {
    const { environment = process.env, clock = systemClock, random = systemRandom } = this.#config
    const cloud = findCloud(this.#config, environment)
    if (cloud === null) return null
    const folders = foldersOf(this.#config)
    return createCloudSyncProvider({ ...cloud, space, folders, clock, random }).engine
  }

  async #with<T>(nothing: T, work: (retries: Retries, space: string) => Promise<T>): Promise<T> {
    requireFit({ config: this.#config })
    const { environment = process.env, clock = systemClock, random = systemRandom } = this.#config
    const { maxRetries } = readSettings(this.#config, environment)
    const user = {}
    const replica = await openReplica(this.#database, this.#config, user)
    try {
      return await replica.look(user, async (open) => {
        if (open === null) return nothing
        return work(
          {
            store: open.store,
            book: open.book,
            clock,
            random,
            maxRetries: this.#config.maxRetries ?? replica.maxRetries ?? maxRetries,
          },
          open.space,
        )
      })
    } catch (error) {
      throw toSyncError(error)
    } finally {
      await replica.leave(user)
    }
  }
}
