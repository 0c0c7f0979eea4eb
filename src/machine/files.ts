import { createHash } from 'node:crypto'
import { realpathSync, statSync } from 'node:fs'
import { resolve } from 'node:path'

/** The path by which one file is one file. */
export function canonicalPath(file: string): string {
  try {
    return realpathSync(file)
  } catch {
    return resolve(file)
  }
}

/** Which file stands at a path, whatever its name; null: none. */
export function placeOf(file: string): string | null {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? null : `${found.dev}:${found.ino}`
}

/** A short name for a file's own lock, status and socket. */
export const fileTag = (file: string): string =>
  createHash('sha256').update(canonicalPath(file)).digest('hex').slice(0, 16)
