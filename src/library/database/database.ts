import { TidemarkError } from '../../kernel/errors.ts'
import { canonicalPath } from '../../machine/files.ts'
import type { Driver } from '../../stores/sqlite/driver/driver.ts'

/**
 * What a manager may be given: a Knex instance, an open database of better-sqlite3 or of `node:sqlite`, or the path
 * of a file that nobody else in this process has open.
 */
export type SyncDatabase = KnexDatabase | BetterSqlite3Database | NodeSqliteDatabase | string

/** Knex on SQLite, as far as it is needed here: any version that has a pool. */
export interface KnexDatabase {
  /** Knex's own client; its type says nothing there either. */
  readonly client: unknown
  raw(sql: string): PromiseLike<unknown>
}

/** A database of better-sqlite3. */
export interface BetterSqlite3Database {
  readonly name: string
  readonly open: boolean
  readonly inTransaction: boolean
  prepare(sql: string): { all(): unknown[] }
  pragma(source: string): unknown
}

/** A database of `node:sqlite`. */
export interface NodeSqliteDatabase {
  readonly isOpen: boolean
  readonly isTransaction: boolean
  prepare(sql: string): { all(): unknown[] }
  location(name?: string): string | null
}

/** An application's database, as Tidemark works beside it. */
export interface AppDatabase {
  /** The main file, by the path by which it is one file. */
  readonly file: string
  /** Opens connections beside the application's, with the application's own copy of SQLite. */
  readonly driver: Driver
  /** What the application has open; null where it gave a path only. */
  readonly handle: object | null
  /**
   * Keeps the application from beginning a transaction, as far as it can; the answer ends that. See `TurnOptions`.
   * `isHolding`: another one is kept from it meanwhile, and must not be for long.
   */
  readonly enter?: (attempt: number, isHolding: boolean) => Promise<() => Promise<void>>
  /** The application has a transaction open; see `TurnOptions`. Absent: it has no connection of its own. */
  readonly isInside?: () => boolean
  /** Tables of the application's tools, which say what this one file is like: never synced. */
  readonly tools: readonly string[]
}

/** The main file in what `PRAGMA database_list` answers. Throws `unprocessable` for a database without one. */
export function mainFile(rows: unknown): string {
  const list = Array.isArray(rows) ? (rows as readonly unknown[]) : []
  const main = list.find((row): row is { readonly file: string } => isMain(row))
  if (main === undefined || main.file === '') {
    throw new TidemarkError(
      'unprocessable',
      'A database in memory cannot be synced: what was sent and what not would be forgotten with it; use a file',
    )
  }
  return canonicalPath(main.file)
}

const isMain = (row: unknown): boolean =>
  typeof row === 'object' &&
  row !== null &&
  'name' in row &&
  row.name === 'main' &&
  'file' in row &&
  typeof row.file === 'string'

/** The oldest SQLite that has what the store's own statements use. */
const OLDEST_SQLITE = [3, 38] as const

/** Throws `unprocessable` where the application's copy of SQLite is too old. */
export function requireVersion(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > OLDEST_SQLITE[0] || (major === OLDEST_SQLITE[0] && minor >= OLDEST_SQLITE[1])) return
  throw new TidemarkError(
    'unprocessable',
    `The application's SQLite is ${version}; ${OLDEST_SQLITE.join('.')} or newer is needed`,
  )
}
