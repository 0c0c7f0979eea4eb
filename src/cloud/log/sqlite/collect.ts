import { releasedVersion } from '../history.ts'
import { MAX_VERSION } from './schema.ts'
import { readSpace, type Storage } from './space.ts'

/** Tombstones dropped in one transaction: bounds how long a push waits for it. */
const CHUNK = 5_000

/**
 * Drops some tombstones, the oldest first, and raises the floor to the last of them; inside a writing
 * transaction. Answers how many; fewer than a chunk: there are no more.
 */
export function collectChunk(
  storage: Storage,
  id: string,
  options: { readonly liveSince: number; readonly retainSince: number },
): { readonly dropped: number; readonly more: boolean } {
  const { statements } = storage
  const space = readSpace(storage, id)
  const readers = statements.listReaders.all(space.no).map(([acked, seen]) => ({ acked, seen }))
  const released = releasedVersion(readers, options.liveSince, space)
  const gone = statements.tombstones.all(
    space.no,
    0,
    space.no,
    MAX_VERSION,
    released,
    options.retainSince,
    CHUNK,
  )
  const counts = new Map<number, number>()
  let floor = space.floor
  for (const [version, table] of gone) {
    statements.dropRecord.run(space.no, version)
    counts.set(table, (counts.get(table) ?? 0) + 1)
    floor = Math.max(floor, version)
  }
  for (const [table, count] of counts) statements.countTable.run(0, -count, table)
  if (floor !== space.floor) statements.raiseFloor.run(floor, space.no)
  statements.dropAbandoned.run(space.no, space.no, options.liveSince)
  return { dropped: gone.length, more: gone.length === CHUNK }
}
