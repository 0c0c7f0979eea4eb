import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'

/** The path by which one file is one file. */
export function canonicalPath(file: string): string {
  try {
    return realpathSync(file)
  } catch {
    return resolve(file)
  }
}

/** A short name for a file's own lock, status and socket. */
export const fileTag = (file: string): string =>
  createHash('sha256').update(canonicalPath(file)).digest('hex').slice(0, 16)
