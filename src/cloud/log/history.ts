import { TidemarkError } from '../../kernel/errors.ts'
import { MAX_TOLD_GENERATIONS } from '../../protocol/limits.ts'
import type { PullRequest } from '../../protocol/pull.ts'
import type { Cursor, CurrentGeneration, Generation } from '../../protocol/records.ts'

/** One history of a space. `generations` are the oldest first, and there is always one. */
export interface History {
  readonly epoch: string
  readonly generations: readonly Generation[]
  readonly head: number
  readonly floor: number
}

export function currentGeneration({ generations }: History): Generation {
  const last = generations.at(-1)
  if (last === undefined) throw new TidemarkError('invariant', 'a space without a generation')
  return last
}

/** The newest generation as a reader is told of it: with those before it, unless its cursor is of this one. */
export function tellGeneration(history: History, cursor: Cursor | null): CurrentGeneration {
  const { id, start } = currentGeneration(history)
  if (cursor?.epoch === history.epoch && cursor.generation === id) return { id, start }
  return { id, start, before: told(history.generations.slice(0, -1)) }
}

const told = (generations: readonly Generation[]): Generation[] =>
  generations.slice(-MAX_TOLD_GENERATIONS).map(({ id, start }) => ({ id, start }))

/**
 * Throws `lost_history` when the cursor does not lie in this history (I11): another epoch, a generation that
 * began in a copy or after the backup, or a version past the end of its generation.
 */
export function checkHistory(history: History, cursor: Cursor): void {
  const { epoch, generations, head } = history
  const place = epoch === cursor.epoch ? generations.findIndex(({ id }) => id === cursor.generation) : -1
  const end = generations[place + 1]?.start ?? head
  if (place >= 0 && Math.max(cursor.version, cursor.high, cursor.read ?? 0) <= end) return
  throw new TidemarkError('lost_history', undefined, { details: { epoch, generations: told(generations) } })
}

/** Throws `cursor_expired` when tombstones above `version` are gone. */
export function checkFloor({ epoch, floor }: History, version: number): void {
  if (version < floor) throw new TidemarkError('cursor_expired', undefined, { details: { epoch, floor } })
}

/** What the log knows of a replica that reads. */
export interface Reader {
  /** Everything up to this version was seen; null for a replica that has pushed but not read. */
  readonly acked: number | null
  /** Milliseconds. */
  readonly seen: number
}

/**
 * The acknowledgement of a replica that begins to hydrate at `head`. It may read only a new table and go on from
 * an older cursor with the others, so one that still counts is never raised here.
 */
export function acknowledgeHydrate(acked: number | null, { floor }: History, head: number): number {
  return acked !== null && acked >= floor ? Math.min(acked, head) : head
}

/** What a pull acknowledges. One of some tables only says nothing of the others: what was acknowledged before stands. */
export const acknowledgePull = (acked: number | null, { cursor, tables }: PullRequest): number =>
  tables === undefined ? cursor.version : Math.min(acked ?? 0, cursor.version)

/**
 * The version up to which tombstones may go because every live replica has seen them. Replicas below the floor
 * read anew anyway and hold nothing up.
 */
export function releasedVersion(readers: Iterable<Reader>, liveSince: number, history: History): number {
  let released = history.head
  for (const { acked, seen } of readers) {
    const seenUpTo = acked ?? history.floor
    if (seen >= liveSince && seenUpTo >= history.floor) released = Math.min(released, seenUpTo)
  }
  return released
}
