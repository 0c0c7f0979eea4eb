import type { Clock } from '../src/kernel/clock.ts'
import type { Random } from '../src/kernel/random.ts'
import type { Store } from '../src/engine/store.ts'
import type { Application } from './application.ts'
import type { Variant } from './shape.ts'
import type { DiskView } from './view.ts'

/** A replica's database file as the simulation handles it: opened, killed, copied, taken back in time. */
export interface Disk {
  /** The application's own connection. */
  readonly application: Application
  /** No room is left: whoever writes is refused. */
  full: boolean
  /** A connection of the engine's, with the clock of its process. */
  open(clock: Clock): Promise<Store>
  /** The engine's process died: what it had open is gone, an open transaction rolls back. */
  kill(): void
  /** A copy of everything committed. */
  image(): DiskImage
  /** The file becomes an older one. Nothing has it open. */
  restore(image: DiskImage): Promise<void>
  /** Past the store's methods, without touching anything; the same object as long as nothing was committed. */
  view(): DiskView
  /** Closes everything for good. */
  destroy(): void
}

/** Opaque to all but the kind of disk that made it. */
export interface DiskImage {
  readonly content: unknown
  /** What the disk held: read without opening it. */
  readonly view: DiskView
}

export interface DiskOptions {
  readonly replica: string
  readonly space: string
  readonly path: string
  /** Milliseconds since 1970, as this machine believes: what the triggers read. */
  readonly now: () => number
  readonly random: Random
  readonly variant: Variant
  readonly from?: DiskImage
}
