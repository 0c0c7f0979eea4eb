import { systemClock, type Clock } from '../../../kernel/clock.ts'
import { TidemarkError } from '../../../kernel/errors.ts'
import { systemRandom, uuidV7, type Random } from '../../../kernel/random.ts'
import { switchToWal } from '../capture/capture.ts'
import type { Connection, Driver, OpenOptions } from '../driver/driver.ts'
import {
  attachConnection,
  detachConnection,
  isAttached,
  planAttach,
  type AttachPlan,
  type Identity,
  type TableChoice,
} from './attach.ts'
import { Meta, STORE_FORMAT } from './meta.ts'
import { createStore, type SqliteStore } from './store.ts'
import { atOnce, type Turn } from './turn.ts'

/** How a file is reached: by its path, through a connection of the store's own, or through one that is open already. */
export type FileAccess =
  | ({ readonly file: string; readonly driver: Driver } & Pick<OpenOptions, 'busyMs' | 'setup'>)
  /** The application's own connection, shared: for databases in memory. It stays open. */
  | { readonly connection: Connection }

export interface SqliteStoreSettings {
  readonly clock?: Clock
  readonly random?: Random
  /** SQL for the wall clock's milliseconds since 1970, for the triggers. A simulation gives its own. */
  readonly clockExpression?: string
  /** When work of the store may begin (`turn.ts`): for an application that keeps the file open in this process. */
  readonly turn?: Turn
}

/** Opens the store of an attached file. Throws `not_attached`, `file_not_found`, `not_a_database`, `needs_upgrade`. */
export function openSqliteStore(options: FileAccess & SqliteStoreSettings): SqliteStore {
  const { connection, close } = reach(options)
  try {
    if (!isAttached(connection)) throw new TidemarkError('not_attached')
    if (new Meta(connection).get('format') > STORE_FORMAT) {
      throw new TidemarkError('needs_upgrade', 'A newer version of Tidemark has put this file under sync')
    }
    return createStore({
      connection,
      clock: options.clock ?? systemClock,
      random: options.random ?? systemRandom,
      ...(options.clockExpression === undefined ? {} : { clockExpression: options.clockExpression }),
      ...(options.turn === undefined ? {} : { turn: options.turn }),
      owned: !('connection' in options),
      close,
    })
  } catch (error) {
    close()
    throw error
  }
}

/**
 * Puts a file under sync: every row of its tables is marked. Throws `already_attached`, `nothing_to_sync`,
 * `unprocessable` for a named table that cannot be synced.
 */
export async function attachFile(
  options: FileAccess &
    SqliteStoreSettings &
    TableChoice & { readonly space: string; readonly replica?: string },
): Promise<AttachPlan & Identity> {
  const { turn = atOnce } = options
  // Before the file is in WAL, even opening it may have to wait for a transaction.
  const { connection, close } = await turn(() => reach(options))
  try {
    const { clock = systemClock, random = systemRandom } = options
    const identity = { space: options.space, replica: options.replica ?? uuidV7(clock.now(), random) }
    const choice = {
      ...(options.tables === undefined ? {} : { tables: options.tables }),
      ...(options.exclude === undefined ? {} : { exclude: options.exclude }),
      ...(options.bookkeeping === undefined ? {} : { bookkeeping: options.bookkeeping }),
      ...(options.tools === undefined ? {} : { tools: options.tools }),
    }
    const plan = await turn(() => {
      const planned = attachConnection(connection, identity, choice)
      switchToWal(connection)
      return planned
    })
    // The first look at the schema installs capture and marks what is there.
    await using store = openSqliteStore({ ...options, connection })
    await store.schema()
    return { ...plan, ...identity }
  } finally {
    close()
  }
}

/** What attaching a file would sync and refuse. */
export function inspectFile(options: FileAccess & TableChoice): AttachPlan {
  const { connection, close } = reach(options)
  try {
    return planAttach(connection, options)
  } finally {
    close()
  }
}

/** Takes a file out of sync; see `detachConnection`. */
export function detachFile(options: FileAccess): { readonly journalRestored: boolean } {
  const { connection, close } = reach(options)
  try {
    return { journalRestored: detachConnection(connection) }
  } finally {
    close()
  }
}

function reach(access: FileAccess): { readonly connection: Connection; readonly close: () => void } {
  if ('connection' in access) return { connection: access.connection, close: () => {} }
  const { file, driver, busyMs, setup } = access
  const connection = driver.open(file, {
    ...(busyMs === undefined ? {} : { busyMs }),
    ...(setup === undefined ? {} : { setup }),
  })
  // Trials of rows and defaults must not touch the disk. The system caches the file too: 8 MB are plenty.
  connection.exec('PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8000')
  return { connection, close: () => connection.close() }
}
