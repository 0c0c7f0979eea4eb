import { existsSync, mkdirSync, realpathSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'

import Database from 'better-sqlite3'

import { TidemarkError } from '../../../kernel/errors.ts'
import { onStorage } from './failure.ts'
import { hasTables, migrate, type Migration } from './migrate.ts'

/** "TmCl": what tells a cloud's storage from any other database. */
const APPLICATION_ID = 0x546d436c
/** How long a writer waits for one in another process: the command line makes a token in milliseconds. */
const BUSY_MS = 5_000
/** Memory of one connection's page cache. */
const CACHE_KIB = 8_192
/** Pages of the write-ahead log after which it is written back: small enough that no push waits long for it. */
const CHECKPOINT_PAGES = 4_000
const JOURNAL_LIMIT_BYTES = 64 * 1024 * 1024

/**
 * Opens the file that holds log and directory, makes it when it is not there, and brings the tables of `part` up
 * to date. Every commit is on the disk when it returns. Throws `not_a_database` for a file of something else,
 * `needs_upgrade` for one that a newer version wrote.
 */
export function openCloudFile(
  file: string,
  part: { readonly name: string; readonly migrations: readonly Migration[] },
): Database.Database {
  return onStorage(() => {
    const path = realPath(file)
    const database = new Database(path, { timeout: BUSY_MS })
    try {
      // Only a file without pages takes it.
      database.pragma('page_size = 8192')
      database.pragma('journal_mode = WAL')
      database.pragma('synchronous = FULL')
      database.pragma('foreign_keys = OFF')
      database.pragma('recursive_triggers = OFF')
      database.pragma(`cache_size = -${CACHE_KIB}`)
      database.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
      database.pragma(`journal_size_limit = ${JOURNAL_LIMIT_BYTES}`)
      database.pragma('temp_store = MEMORY')
      claimFile(database, path)
      migrate(database, part.name, part.migrations)
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
}

/**
 * Opens the file only to look: it is neither made nor brought up to date, and whoever serves it goes on. Throws
 * `file_not_found`, `not_a_database`, `needs_upgrade`, and `space_not_found` where nothing of this part was ever written.
 */
export function openForReading(
  file: string,
  part: { readonly name: string; readonly migrations: readonly Migration[] },
): Database.Database {
  return onStorage(() => {
    if (!existsSync(file)) throw new TidemarkError('file_not_found', undefined, { details: { file } })
    // Not `readonly`: that leaves the files of the write-ahead log behind.
    const database = new Database(file, { timeout: BUSY_MS, fileMustExist: true })
    try {
      database.pragma('query_only = ON')
      database.pragma(`cache_size = -${CACHE_KIB}`)
      if (!isOurs(database)) throw notOurs(file)
      if (!hasTables(database, part.name, part.migrations)) throw new TidemarkError('space_not_found')
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
}

const isOurs = (database: Database.Database): boolean =>
  database.pragma('application_id', { simple: true }) === APPLICATION_ID

const notOurs = (file: string): TidemarkError =>
  new TidemarkError('not_a_database', 'the file is a database, but not of a Tidemark cloud', {
    details: { file },
  })

/** A database that holds anything else is left alone. */
function claimFile(database: Database.Database, path: string): void {
  if (isOurs(database)) return
  database.exec('BEGIN IMMEDIATE')
  try {
    const objects = database.prepare<[], number>('SELECT count(*) FROM sqlite_schema').pluck().get() ?? 0
    if (!isOurs(database) && objects > 0) throw notOurs(path)
    database.pragma(`application_id = ${APPLICATION_ID}`)
    database.exec('COMMIT')
  } finally {
    if (database.inTransaction) database.exec('ROLLBACK')
  }
}

/** The file grows no larger than `bytes`; one that is larger already keeps its size. */
export function limitSize(database: Database.Database, bytes: number): void {
  const page = Number(database.pragma('page_size', { simple: true }))
  database.pragma(`max_page_count = ${Math.max(1, Math.floor(bytes / page))}`)
}

/** One path for a file, by whatever link it is reached. Makes its folder. */
export function realPath(file: string): string {
  const path = resolve(file)
  mkdirSync(dirname(path), { recursive: true })
  return existsSync(path) ? realpathSync(path) : join(realpathSync(dirname(path)), basename(path))
}
