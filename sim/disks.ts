import type { Disk, DiskOptions } from './disk.ts'
import { createMemoryDisk } from './memory-disk.ts'
import type { StoreKind } from './plan.ts'
import { createSqliteDisk } from './sqlite-disk.ts'

/** A disk with the simulated application's tables on it, attached to the space. */
export const openDisk = (kind: StoreKind, options: DiskOptions): Promise<Disk> =>
  kind === 'memory' ? createMemoryDisk(options) : createSqliteDisk(options)
