import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Random } from '../../kernel/random.ts'
import type { Bus } from '../bus.ts'
import { MemoryBus } from '../bus/memory.ts'
import type { Directory } from '../directory.ts'
import { openSqliteDirectory } from '../directory/sqlite.ts'
import { alone, type Exclusive } from '../exclusive.ts'
import type { Log } from '../log/log.ts'
import { openSqliteLog } from '../log/sqlite.ts'
import { silentMetrics, type Metrics } from '../metrics.ts'
import type { Place } from './place.ts'

/** The one file of a cloud, inside its data folder. */
export const CLOUD_FILE = 'cloud.db'
/** Only its owner may look into the folder. */
const FOLDER_MODE = 0o700

export interface Storage extends AsyncDisposable {
  readonly log: Log
  readonly directory: Directory
  /** What tells this node's commits to the others, and theirs to it. */
  readonly bus: Bus
  /** Turns between the nodes that share the storage. */
  readonly exclusive: Exclusive
  /** Throws when the storage does not answer, or could not take a write. */
  check(): Promise<void>
}

export interface StorageOptions {
  readonly clock: Clock
  readonly random?: Random
  readonly logger?: Logger
  readonly metrics?: Metrics
}

/**
 * Opens log and directory. A data folder is made when it is not there, a database brought up to date.
 * Rejects with `in_use`, `not_a_database`, `needs_upgrade`, `unavailable`, `database_refused`, `bad_usage`.
 */
export async function openStorage(place: Place, options: StorageOptions): Promise<Storage> {
  if ('data' in place) return openFolder(place.data, options)
  const { openPostgresStorage } = await import('./postgres-storage.ts')
  return openPostgresStorage(place.database, options)
}

/** The accounts and tokens of a cloud; running nodes see changes at once. Makes the place as `openStorage` does. */
export async function openDirectory(place: Place, clock: Clock): Promise<Directory> {
  if ('data' in place) {
    mkdirSync(place.data, { recursive: true, mode: FOLDER_MODE })
    return openSqliteDirectory({ file: join(place.data, CLOUD_FILE), clock })
  }
  const { openDirectoryOnly } = await import('./postgres-storage.ts')
  return openDirectoryOnly(place.database, clock)
}

/** Whether a cloud is there already. To look makes nothing. */
export async function isCloudAt(place: Place): Promise<boolean> {
  if ('data' in place) return existsSync(join(place.data, CLOUD_FILE))
  const { isCloudIn } = await import('./postgres-storage.ts')
  return isCloudIn(place.database)
}

/**
 * Begins a generation in every space of a database, and answers how many there are: for what its nodes cannot notice
 * by themselves. Throws `bad_usage` for a folder, where each start of the cloud begins one.
 */
export async function beginGenerations(place: Place, clock: Clock): Promise<number> {
  if ('data' in place)
    throw new TidemarkError(
      'bad_usage',
      'a cloud in a folder begins a generation with each start: stop it and start it again',
    )
  const { beginGenerationsIn } = await import('./postgres-storage.ts')
  return beginGenerationsIn(place.database, clock)
}

async function openFolder(
  data: string,
  { clock, metrics = silentMetrics }: StorageOptions,
): Promise<Storage> {
  mkdirSync(data, { recursive: true, mode: FOLDER_MODE })
  const file = join(data, CLOUD_FILE)
  const log = await openSqliteLog({ file, clock, metrics })
  try {
    const directory = await openSqliteDirectory({ file, clock })
    return {
      log,
      directory,
      bus: new MemoryBus().join(),
      exclusive: alone,
      check: () => checkStorage(log, directory),
      async [Symbol.asyncDispose]() {
        await directory[Symbol.asyncDispose]()
        await log[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await log[Symbol.asyncDispose]()
    throw error
  }
}

/** A name that no space has: to find nothing is an answer. */
const NOWHERE = '-'

async function checkStorage(log: Log, directory: Directory): Promise<void> {
  await directory.findSpace(NOWHERE, NOWHERE)
  await log.status(NOWHERE).catch((error: unknown) => {
    if (error instanceof TidemarkError && error.code === 'space_not_found') return
    throw error
  })
}
