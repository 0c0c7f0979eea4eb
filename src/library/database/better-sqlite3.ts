import Database from 'better-sqlite3'

import { sleep, type Clock } from '../../kernel/clock.ts'
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

const DRIVERS = new WeakMap<object, Driver>()

/** The driver of the copy of better-sqlite3 that made this database: one for all databases of that copy. */
export function driverOfBetterSqlite3(database: BetterSqlite3Database): Driver {
  const library = database.constructor as unknown as BetterSqlite3Library
  if (library === Database) return betterSqlite3
  const driver = DRIVERS.get(library) ?? betterSqlite3Of(library)
  DRIVERS.set(library, driver)
  return driver
}

export function openBetterSqlite3(
  database: BetterSqlite3Database,
  clock: Clock,
  waitMs: number,
): AppDatabase {
  if (!database.open) throw new TidemarkError('unprocessable', 'The database is closed')
  requireVersion(versionOf(database))
  return {
    file: mainFile(database.prepare('PRAGMA database_list').all()),
    driver: driverOfBetterSqlite3(database),
    handle: database,
    enter: () => waitOutside(() => database.open && database.inTransaction, clock, waitMs),
    tools: [],
  }
}

export function versionOf(database: { prepare(sql: string): { all(): unknown[] } }): string {
  const [row] = database.prepare('SELECT sqlite_version() AS version').all() as { readonly version: string }[]
  return row?.version ?? ''
}

/** Milliseconds between two looks at a transaction that is held over an `await`. */
const LOOK_MS = 5

/**
 * Waits for the end of the application's transaction: one that has read already could not write any more if somebody
 * else wrote meanwhile. Nothing is kept out: the work that follows is synchronous.
 */
export async function waitOutside(
  isInside: () => boolean,
  clock: Clock,
  waitMs: number,
): Promise<() => void> {
  const until = clock.now() + waitMs
  while (isInside()) {
    if (clock.now() >= until) throw heldTooLong(waitMs)
    await sleep(clock, LOOK_MS)
  }
  return () => {}
}

export const heldTooLong = (waitMs: number, cause?: unknown): TidemarkError =>
  new TidemarkError(
    'database_locked',
    `A transaction of the application has been open for ${Math.round(waitMs / 1_000)} s; a sync that is awaited inside a transaction cannot end`,
    { cause },
  )
