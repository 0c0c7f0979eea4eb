import { decideMutation } from './decide.ts'
import { acknowledgeHydrate, releasedVersion } from './history.ts'
import { judgeTurn } from './turns.ts'

/** Takes a lock that others wait for; the answer gives it back. */
export type Lock = () => Promise<() => void>

/**
 * The steps on which the guarantees of a log rest, each by itself, so that a simulation can show that it would
 * notice were one of them wrong. A log that serves is never given others than these.
 */
export interface MemoryRules {
  /** Takes the space's lock for one writing transaction. */
  readonly lock: (take: Lock) => Promise<() => void>
  /** The version that the next change follows, once the lock is held (I4). */
  readonly headForWriting: (space: { readonly id: string; readonly head: number }, changes: number) => number
  /** Whether a push is new, a repeat or of another copy (I3, I13). */
  readonly judgeTurn: typeof judgeTurn
  readonly decide: typeof decideMutation
  /** Records and head of one pull, both of one moment (I4). `pause` lets other transactions go on. */
  readonly readSnapshot: <R, H>(
    records: () => R,
    head: () => H,
    pause: () => Promise<void>,
  ) => Promise<readonly [R, H]>
  /** What a replica acknowledges by beginning to hydrate, so that the floor does not pass it (I11). */
  readonly acknowledgeHydrate: typeof acknowledgeHydrate
  readonly releasedVersion: typeof releasedVersion
}

export const MEMORY_RULES: MemoryRules = {
  lock: (take) => take(),
  headForWriting: ({ head }) => head,
  judgeTurn,
  decide: decideMutation,
  readSnapshot: async (records, head) => [records(), head()],
  acknowledgeHydrate,
  releasedVersion,
}
