import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

import { TidemarkError } from '../kernel/errors.ts'

/** A small text file that is always whole: written beside, fsynced, renamed; readable by its owner only. */
export function writePrivateFile(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const beside = `${path}.${process.pid}.new`
  const file = openSync(beside, 'w', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(beside, path)
}

/** The file's text, null when there is none. */
export function readPrivateFile(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Age after which a lock file is a dead process's: a change takes milliseconds. */
const STALE_LOCK_MS = 10_000
const LOCK_TRIES = 200
const LOCK_PAUSE_MS = 10

/** Reads, changes and writes a file while no other process does: two changes at once are both kept. */
export function changePrivateFile(
  path: string,
  now: () => number,
  change: (text: string | null) => string,
): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const lock = `${path}.lock`
  for (let attempt = 0; !tryLock(lock, now); attempt++) {
    if (attempt >= LOCK_TRIES)
      throw new TidemarkError('in_use', 'another process keeps changing the same file')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_PAUSE_MS)
  }
  try {
    writePrivateFile(path, change(readPrivateFile(path)))
  } finally {
    rmSync(lock, { force: true })
  }
}

function tryLock(lock: string, now: () => number): boolean {
  try {
    closeSync(openSync(lock, 'wx', 0o600))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  try {
    if (now() - statSync(lock).mtimeMs > STALE_LOCK_MS) rmSync(lock, { force: true })
  } catch {
    // Gone meanwhile: the next try will have it.
  }
  return false
}
