import Database from 'better-sqlite3'

import { TidemarkError } from '../../../kernel/errors.ts'
import { onStorage, toStorageError } from './failure.ts'
import { realPath } from './file.ts'

/**
 * Makes this process the only server of a cloud's file, until the returned function is called or the process is
 * gone, however it goes: the lock is the operating system's, on a file beside it. Two servers would give the
 * same versions twice. Other processes may still open the file itself and write the directory.
 *
 * Throws `in_use` with the holder's process id in the details.
 */
export function lockCloudFile(file: string): () => void {
  return onStorage(() => {
    const database = new Database(`${realPath(file)}.lock`, { timeout: 0 })
    try {
      hold(database)
    } catch (error) {
      const pid = readHolder(database)
      database.close()
      if (!(error instanceof Database.SqliteError) || !error.code.startsWith('SQLITE_BUSY')) throw error
      throw new TidemarkError('in_use', 'another process serves this cloud', {
        cause: error,
        details: { file, pid },
      })
    }
    return () => database.close()
  })
}

/**
 * An open write transaction is the lock: others can read who holds it, none can begin to write. The name is
 * committed first, so that it can be read, then the lock is taken again; who comes in between has it instead.
 */
function hold(database: Database.Database): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    database.exec('CREATE TABLE IF NOT EXISTS holder (pid INTEGER NOT NULL) STRICT; DELETE FROM holder')
    database.prepare('INSERT INTO holder (pid) VALUES (?)').run(process.pid)
    database.exec('COMMIT')
  } catch (error) {
    // On a full disk the lock holds without a name.
    if (toStorageError(error).code !== 'disk_full') throw error
    if (database.inTransaction) database.exec('ROLLBACK')
  }
  database.exec('BEGIN IMMEDIATE')
}

function readHolder(database: Database.Database): number | null {
  try {
    return database.prepare<[], number>('SELECT pid FROM holder').pluck().get() ?? null
  } catch {
    return null
  }
}
