import type { Clock } from '../kernel/clock.ts'
import type { Random } from '../kernel/random.ts'
import type { Folders } from './folders.ts'

/** What is needed of the computer and the process, as arguments. */
export interface Machine {
  readonly folders: Folders
  readonly clock: Clock
  readonly random: Random
  /** Absent: the platform's own. */
  readonly fetch?: typeof globalThis.fetch
}
