import type { Disk, DiskOptions } from './disk.ts'
import { createMemoryDisk } from './memory-disk.ts'
import type { StoreKind } from './plan.ts'

/** A disk with the simulated application's tables on it, attached to the space. */
export async function openDisk(kind: StoreKind, options: DiskOptions): Promise<Disk> {
  if (kind === 'memory') return createMemoryDisk(options)
  throw new RangeError('the SQLite store is not built yet')
}
