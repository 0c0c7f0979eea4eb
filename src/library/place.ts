import { statSync } from 'node:fs'

/** A file as the system knows it, whatever its name. */
export interface Place {
  readonly device: number
  readonly inode: number
}

/** Null where there is none now. */
export function placeOf(file: string): Place | null {
  const found = statSync(file, { throwIfNoEntry: false })
  return found === undefined ? null : { device: found.dev, inode: found.ino }
}

/** A file that is gone for a moment is not another one yet. */
export const isSamePlace = (before: Place | null, now: Place | null): boolean =>
  now === null || (before?.device === now.device && before.inode === now.inode)
