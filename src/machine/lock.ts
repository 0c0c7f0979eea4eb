import { join } from 'node:path'

import Database from 'better-sqlite3'

import { TidemarkError } from '../kernel/errors.ts'
import { SqliteFailure } from '../stores/sqlite/driver/failure.ts'
import { makePrivateFolder } from './folders.ts'

/** A lock between processes that dies with its holder, however it dies. */
export interface ProcessLock {
  release(): void
}

/**
 * Takes the lock `name` in a folder. The lock is an exclusive transaction on a small SQLite file, which the
 * operating system lets go when the process ends; a note of the holder's process id lies in a second one.
 * Throws `in_use` naming the holder.
 */
export function takeLock(folder: string, name: string): ProcessLock {
  const path = join(makePrivateFolder(folder), `${name}.lock`)
  const lock = new Database(path, { timeout: 0 })
  const note = new Database(`${path}.pid`, { timeout: 1_000 })
  try {
    note.exec(
      'CREATE TABLE IF NOT EXISTS holder (one INTEGER PRIMARY KEY CHECK (one = 1), pid INTEGER NOT NULL)',
    )
    try {
      lock.exec('BEGIN EXCLUSIVE')
    } catch (error) {
      if (!isHeld(error)) throw error
      const pid = note.prepare<[], number>('SELECT pid FROM holder').pluck().get()
      throw new TidemarkError('in_use', `process ${pid ?? 'unknown'} is already at work here`, {
        details: { pid },
      })
    }
    note
      .prepare('INSERT INTO holder VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET pid = excluded.pid')
      .run(process.pid)
  } catch (error) {
    lock.close()
    throw toLockError(error)
  } finally {
    note.close()
  }
  return { release: () => void lock.close() }
}

const isHeld = (error: unknown): boolean =>
  error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY')

/** A disk that is full, or a folder that cannot be written, is nobody who holds the lock. */
const toLockError = (error: unknown): unknown =>
  error instanceof Database.SqliteError ? new SqliteFailure(error.code, error.message) : error
