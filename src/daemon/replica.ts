import { statSync } from 'node:fs'

import { SyncEngine } from '../engine/engine.ts'
import type { Provider } from '../engine/provider.ts'
import type { Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import { betterSqlite3 } from '../stores/sqlite/driver/better-sqlite3.ts'
import { openSqliteStore } from '../stores/sqlite/store/open.ts'
import type { SqliteStore } from '../stores/sqlite/store/store.ts'
import { ANY_CLOUD, cloudTag, readStatus, type AttachmentStatus } from './attachments.ts'
import { createProvider } from '../machine/cloud.ts'
import type { Credentials } from '../machine/device.ts'
import { canonicalPath } from '../machine/files.ts'
import type { Folders } from '../machine/folders.ts'
import { guardOf } from '../machine/guard.ts'
import { borrowFile } from './borrow.ts'
import type { Machine } from '../machine/machine.ts'

/** One attached file with its engine, not started yet. */
export interface Replica extends AsyncDisposable {
  readonly file: string
  readonly space: string
  readonly store: SqliteStore
  readonly engine: SyncEngine
  readonly provider: Provider
  /** `cloudTag` of its connection. */
  readonly cloud: string
  /** What an earlier process last knew of it. */
  readonly earlier: AttachmentStatus | null
}

/**
 * Opens an attached file. The caller holds its lock (`runner.ts`). A space that is not the one it was in step with is
 * taken for the same cloud that has lost everything, and offered every row, only at the endpoint and with the token of
 * before: else it may be another account's, and the engine stops with `needs_merge`. `join` offers in any case.
 */
export async function openReplica(
  options: Machine & {
    readonly file: string
    readonly connection: Credentials
    readonly pollMs?: number | undefined
    readonly batchRows?: number | undefined
    readonly afterRestore?: 'rejoin' | 'overwrite' | undefined
    readonly otherSpace?: 'join' | undefined
    readonly signal?: AbortSignal | undefined
    readonly logger?: Logger | undefined
  },
): Promise<Replica> {
  const { folders, clock, random, pollMs, batchRows, afterRestore, logger } = options
  const file = requireFile(options.file)
  const store = openSqliteStore({ file, driver: betterSqlite3, clock, random })
  try {
    const { space } = await store.state()
    const earlier = readStatus(folders, file)
    const cloud = cloudTag(options.connection)
    const joins = options.otherSpace === 'join' || earlier?.cloud === cloud || earlier?.cloud === ANY_CLOUD
    const provider = await createProvider(options, options.connection, options.signal)
    const engine = new SyncEngine({
      store,
      provider,
      guard: guardOf(folders, file),
      clock,
      random,
      otherSpace: joins ? 'join' : 'refuse',
      ...(pollMs === undefined ? {} : { pollMs }),
      ...(batchRows === undefined ? {} : { batchRows }),
      ...(afterRestore === undefined ? {} : { afterRestore }),
      ...(logger === undefined ? {} : { logger }),
    })
    return {
      file,
      space,
      store,
      engine,
      provider,
      cloud,
      earlier,
      async [Symbol.asyncDispose]() {
        await engine[Symbol.asyncDispose]()
        await store[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await store[Symbol.asyncDispose]()
    throw error
  }
}

/**
 * The store alone, to look at or to settle something. Safe beside a running engine: each call is a transaction. With
 * `borrow` no engine is there meanwhile, and the file is locked.
 */
export async function openStoreOf(
  folders: Folders,
  file: string,
  options: { readonly borrow?: Clock } = {},
): Promise<SqliteStore> {
  const path = requireFile(file)
  const lock = options.borrow === undefined ? null : await borrowFile(folders, path, options.borrow)
  try {
    const store = openSqliteStore({ file: path, driver: betterSqlite3 })
    if (lock === null) return store
    return {
      ...store,
      async [Symbol.asyncDispose]() {
        await store[Symbol.asyncDispose]()
        lock.release()
      },
    }
  } catch (error) {
    lock?.release()
    throw error
  }
}

/** The path by which an existing file is one file. Throws `file_not_found`, and `not_a_database` for a folder. */
export function requireFile(file: string): string {
  const found = statSync(file, { throwIfNoEntry: false })
  if (found === undefined) throw new TidemarkError('file_not_found', undefined, { details: { file } })
  if (!found.isFile()) throw new TidemarkError('not_a_database', undefined, { details: { file } })
  return canonicalPath(file)
}
