import type { Clock } from '../kernel/clock.ts'
import { placeOf } from '../machine/files.ts'

/** How often it is looked whether an open file still is the one at its path, in milliseconds. */
const LOOK_EVERY_MS = 1_000

/** Watches that a file stays where it is. */
export interface PlaceWatch {
  /** Resolves when another file stands at the path, or none; never once it is closed. */
  readonly replaced: Promise<void>
  close(): void
}

/**
 * Whoever has a file open goes on writing to it after it was replaced or moved away, and notices nothing: the changes
 * of the application would go into a file that nobody syncs.
 */
export function watchPlace(file: string, clock: Clock): PlaceWatch {
  const first = placeOf(file)
  let cancel = (): void => {}
  const replaced = new Promise<void>((resolve) => {
    const look = (): void => {
      if (placeOf(file) !== first) return resolve()
      cancel = clock.after(LOOK_EVERY_MS, look)
    }
    look()
  })
  return { replaced, close: () => cancel() }
}
