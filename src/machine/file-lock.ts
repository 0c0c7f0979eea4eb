import { existsSync, rmSync } from 'node:fs'

import Database from 'better-sqlite3'

import { TidemarkError } from '../kernel/errors.ts'
import { SqliteFailure } from '../stores/sqlite/driver/failure.ts'
import { canonicalPath, fileTag } from './files.ts'
import { runFolder, type Folders } from './folders.ts'
import { takeLock, type ProcessLock } from './lock.ts'

/**
 * An empty file beside the database: only what lies there is the same for every folder of settings, every user and
 * every container that reaches the database.
 */
const besideOf = (file: string): string => `${canonicalPath(file)}-tidemark`

/**
 * The files that are locked in this process. Known to every copy of this package in it: two copies may each bring an
 * SQLite of their own, and those do not see each other's locks.
 */
const LOCKED = Symbol.for('tidemark.locked')
const shared = globalThis as { [LOCKED]?: Set<string> }
const locked = (shared[LOCKED] ??= new Set())

/**
 * Keeps every other Tidemark from working on a file, until it is released or the process ends. Throws `in_use`: with
 * the process id where it is one of the same folders.
 */
export function lockFile(folders: Folders, file: string): ProcessLock {
  const path = canonicalPath(file)
  const ours = takeLock(runFolder(folders), fileTag(path))
  try {
    if (locked.has(path)) throw inUse(path)
    const beside = existsSync(path) ? lockBeside(path) : null
    locked.add(path)
    return {
      release() {
        locked.delete(path)
        beside?.release()
        ours.release()
      },
    }
  } catch (error) {
    ours.release()
    throw error
  }
}

/** Takes away what a lock leaves beside the file. The caller holds it. */
export const removeFileLock = (file: string): void => rmSync(besideOf(file), { force: true })

function lockBeside(file: string): ProcessLock {
  const lock = new Database(besideOf(file), { timeout: 0 })
  try {
    lock.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    lock.close()
    if (!(error instanceof Database.SqliteError)) throw error
    if (!error.code.startsWith('SQLITE_BUSY')) throw new SqliteFailure(error.code, error.message)
    throw inUse(file, error)
  }
  return { release: () => void lock.close() }
}

const inUse = (file: string, cause?: unknown): TidemarkError =>
  new TidemarkError(
    'in_use',
    'Another Tidemark, with another folder of its own, of another user, or another copy of it in this process, is already at work on this file',
    { details: { file }, cause },
  )
