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
    isInside: () => database.isOpen && database.isTransaction,
    tools: [],
  }
}
