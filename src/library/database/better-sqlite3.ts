import Database from 'better-sqlite3'

import { TidemarkError } from '../../kernel/errors.ts'
import {
  betterSqlite3,
  betterSqlite3Of,
  type BetterSqlite3Library,
} from '../../stores/sqlite/driver/better-sqlite3.ts'
import type { Driver } from '../../stores/sqlite/driver/driver.ts'
import { mainFile, requireVersion, type AppDatabase, type BetterSqlite3Database } from './database.ts'

export const isBetterSqlite3 = (value: unknown): value is BetterSqlite3Database =>
  typeof value === 'object' &&
  value !== null &&
  'inTransaction' in value &&
  'pragma' in value &&
  typeof value.pragma === 'function' &&
  'SqliteError' in value.constructor

/** The class of the package: one that the application derives from it may take other arguments, and do more. */
function libraryOf(database: BetterSqlite3Database): BetterSqlite3Library {
  let library: object = database.constructor
  while (!Object.hasOwn(library, 'SqliteError')) library = Object.getPrototypeOf(library) as object
  return library as BetterSqlite3Library
}

const DRIVERS = new WeakMap<object, Driver>()

/** The driver of the copy of better-sqlite3 that made this database: one for all databases of that copy. */
export function driverOfBetterSqlite3(database: BetterSqlite3Database): Driver {
  const library = libraryOf(database)
  if (library === Database) return betterSqlite3
  const driver = DRIVERS.get(library) ?? betterSqlite3Of(library)
  DRIVERS.set(library, driver)
  return driver
}

export function openBetterSqlite3(database: BetterSqlite3Database): AppDatabase {
  if (!database.open) throw new TidemarkError('unprocessable', 'The database is closed')
  requireVersion(versionOf(database))
  return {
    file: mainFile(database.prepare('PRAGMA database_list').all()),
    driver: driverOfBetterSqlite3(database),
    handle: database,
    isInside: () => database.open && database.inTransaction,
    tools: [],
  }
}

export function versionOf(database: { prepare(sql: string): { all(): unknown[] } }): string {
  const [row] = database.prepare('SELECT sqlite_version() AS version').all() as { readonly version: string }[]
  return row?.version ?? ''
}
