import type { Clock } from '../kernel/clock.ts'
import { uuidV7, type Random } from '../kernel/random.ts'
import type { Driver, OpenOptions } from '../stores/sqlite/driver/driver.ts'
import type { TableChoice } from '../stores/sqlite/store/attach.ts'
import { attachFile } from '../stores/sqlite/store/open.ts'
import type { Turn } from '../stores/sqlite/store/turn.ts'
import type { Folders } from './folders.ts'
import { guardOf } from './guard.ts'

export interface AttachReplica extends TableChoice {
  readonly file: string
  readonly driver: Driver
  readonly space: string
  readonly clock: Clock
  readonly random: Random
  readonly setup?: NonNullable<OpenOptions['setup']>
  readonly turn?: Turn
}

/**
 * Puts a file under sync under a fresh identity, which this machine knows before the file does: else the first look at
 * it would take it for a file from elsewhere (I13). The caller holds the file's lock. Throws as `attachFile`.
 */
export async function attachReplica(folders: Folders, options: AttachReplica): Promise<void> {
  const replica = uuidV7(options.clock.now(), options.random)
  await guardOf(folders, options.file).record(replica, 0)
  await attachFile({ ...options, replica })
}
