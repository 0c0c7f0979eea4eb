import { openReplica, type ReplicaConfig } from './create.ts'
import type { SyncDatabase } from './database/database.ts'
import { toSyncError } from './failures.ts'
import { requireSpace } from './space.ts'

export interface MigrateResult {
  /** False: it was under sync already, and nothing was changed. */
  readonly migrated: boolean
  readonly file: string
  readonly space: string
  /** The tables that are synced. */
  readonly tables: readonly string[]
  /** Tables that cannot be, or are not to be, and why. */
  readonly refused: readonly { readonly table: string; readonly reason: string }[]
}

/**
 * Puts a database under sync: Tidemark's own tables and triggers, no column of the application's. The first operation
 * of a manager does it as well; this is for who wants it at a moment of his own, after migrations for one. Idempotent,
 * and needs no cloud. Throws `nothing_to_sync`, `already_attached` where it is with another space, and `unprocessable` for a named table that cannot be synced.
 */
export async function migrate(database: SyncDatabase, config: ReplicaConfig = {}): Promise<MigrateResult> {
  const user = {}
  const replica = await openReplica(database, config, user)
  try {
    const known = await replica.look(user, (open) => open !== null)
    // Only the first time: who works on the file now must not be in the way of what is done already.
    if (!known) await replica.open(user)
    return await replica.look(user, async (open) => {
      if (open !== null) requireSpace(open.space, config.space)
      const schema = await open?.store.schema()
      return {
        migrated: !known,
        file: replica.file,
        space: open?.space ?? '',
        tables: schema?.tables.map(({ name }) => name) ?? [],
        refused: schema?.refused ?? [],
      }
    })
  } catch (error) {
    throw toSyncError(error)
  } finally {
    await replica.leave(user)
  }
}
