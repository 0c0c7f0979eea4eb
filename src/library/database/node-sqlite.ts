import { TidemarkError } from '../../kernel/errors.ts'
import { nodeSqlite } from '../../stores/sqlite/driver/node-sqlite.ts'
import { versionOf } from './better-sqlite3.ts'
import { mainFile, requireVersion, type AppDatabase, type NodeSqliteDatabase } from './database.ts'

export const isNodeSqlite = (value: unknown): value is NodeSqliteDatabase =>
  typeof value === 'object' &&
  value !== null &&
  'isOpen' in value &&
  'location' in value &&
  typeof value.location === 'function'

export function openNodeSqlite(database: NodeSqliteDatabase): AppDatabase {
  if (!database.isOpen) throw new TidemarkError('unprocessable', 'The database is closed')
  requireVersion(versionOf(database))
  return {
    file: mainFile(database.prepare('PRAGMA database_list').all()),
    driver: nodeSqlite,
    handle: database,
    isInside: () => database.isOpen && (database.isTransaction || isReading(database)),
    tools: [],
  }
}

/**
 * Rows of a statement are being read one by one. Outside any transaction that holds a snapshot as well, past which the
 * same connection may write only while nobody else did; SQLite tells of it where it refuses something for it, here a
 * copy to nowhere, which it would not make either way.
 */
function isReading(database: NodeSqliteDatabase): boolean {
  try {
    database.prepare('VACUUM INTO NULL').all()
    return false
  } catch (error) {
    return error instanceof Error && error.message.includes('statements in progress')
  }
}
