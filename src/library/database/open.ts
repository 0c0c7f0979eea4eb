import { readdirSync, statSync } from 'node:fs'

import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { canonicalPath } from '../../machine/files.ts'
import { betterSqlite3 } from '../../stores/sqlite/driver/better-sqlite3.ts'
import { isBetterSqlite3, openBetterSqlite3 } from './better-sqlite3.ts'
import type { AppDatabase, SyncDatabase } from './database.ts'
import { isKnex, openKnex } from './knex.ts'
import { isNodeSqlite, openNodeSqlite } from './node-sqlite.ts'

/**
 * Finds the file of what the application works with, and how to work beside it. Throws `unprocessable` for a
 * database in memory, another library or a copy of SQLite that is too old; `file_not_found` for a path.
 */
export async function openDatabase(
  database: SyncDatabase,
  { clock, waitMs }: { readonly clock: Clock; readonly waitMs: number },
): Promise<AppDatabase> {
  if (typeof database === 'string') return openFile(database)
  if (isKnex(database)) return openKnex(database, clock, waitMs)
  if (isBetterSqlite3(database)) return openBetterSqlite3(database)
  if (isNodeSqlite(database)) return openNodeSqlite(database)
  throw new TidemarkError(
    'unprocessable',
    'The database is none that can be synced: give a Knex instance, a database of better-sqlite3 or node:sqlite, or a path',
  )
}

function openFile(path: string): AppDatabase {
  const file = canonicalPath(path)
  if (!statSync(file, { throwIfNoEntry: false })?.isFile())
    throw new TidemarkError('file_not_found', undefined, { details: { file } })
  return { file, driver: betterSqlite3, handle: null, tools: [] }
}

/**
 * Throws `in_use` where this process has the file open already, as far as the system tells: another copy of SQLite
 * would not see the locks of this one. Whoever has it open hands over the connection.
 */
export function requireUnopened(file: string): void {
  const wanted = statSync(file)
  for (const name of listDescriptors()) {
    const found = statSync(`/proc/self/fd/${name}`, { throwIfNoEntry: false })
    if (found?.ino !== wanted.ino || found.dev !== wanted.dev) continue
    throw new TidemarkError(
      'in_use',
      'This process has the file open already: hand over that connection in place of the path, so that one copy of SQLite serves both',
      { details: { file, pid: process.pid } },
    )
  }
}

function listDescriptors(): readonly string[] {
  try {
    return readdirSync('/proc/self/fd')
  } catch {
    return []
  }
}
