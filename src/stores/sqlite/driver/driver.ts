/**
 * SQLite as the store needs it: one file, one connection, synchronous calls. Two libraries implement it,
 * and `driver.contract.ts` is what both must do.
 *
 * - INTEGER comes back as `bigint`, REAL as `number`, TEXT as `string`, BLOB as `Uint8Array`. Bound the same
 *   way: a `number` is always a REAL, so that nothing is rounded or retyped (I10).
 * - Text that is not well-formed UTF-8 cannot come through a JavaScript string: `values.ts` knows how to
 *   notice it and how to bind it.
 * - Every failure is a `TidemarkError`: see `failure.ts`.
 * - No statement may run on the connection while one of its `iterate` is open.
 */
export type SqlValue = null | bigint | number | string | Uint8Array

/** A row as an array, in the order of the select list; columns of the same name do not hide each other. */
export type SqlRow = readonly SqlValue[]

export interface Driver {
  readonly name: DriverName
  /** Opens a file, or `:memory:`. Rejects an address of a file that is not there unless `create` is set. */
  open(file: string, options?: OpenOptions): Connection
}

export type DriverName = 'better-sqlite3' | 'node-sqlite'

export interface OpenOptions {
  readonly readonly?: boolean
  /** Makes the file when it is not there. Default false. */
  readonly create?: boolean
  /** Milliseconds to wait for a lock. Default `BUSY_MS`. */
  readonly busyMs?: number
  /**
   * Called with the library's own database object before anything else runs: the place to register the
   * functions and collations that the application's schema needs.
   */
  readonly setup?: (database: unknown) => void
}

/** The same time-out as the libraries' own default. */
export const BUSY_MS = 5_000

/**
 * One connection. Opened with `foreign_keys`, `recursive_triggers` off (both libraries would have the first
 * on, and a cascade would reach rows that nobody sent), `trusted_schema` as the library has it, and the
 * defensive flag on.
 */
export interface Connection {
  readonly driver: DriverName
  /** As given to `open`. */
  readonly file: string
  readonly inTransaction: boolean
  /** The library's own database object. */
  readonly native: unknown
  /** Compiles one statement. Throws when it does not compile on this connection. */
  prepare(sql: string): Statement
  /** Runs any number of statements without results. */
  exec(sql: string): void
  /** First column of the first row of a query without parameters; `null` when there is no row. */
  value(sql: string): SqlValue
  close(): void
}

/** A compiled statement. Parameters are positional, in the order of `?`. */
export interface Statement {
  readonly sql: string
  /** Names of the result's columns; empty for a statement without result. */
  readonly columns: readonly string[]
  run(...parameters: readonly SqlValue[]): RunResult
  get(...parameters: readonly SqlValue[]): SqlRow | undefined
  all(...parameters: readonly SqlValue[]): SqlRow[]
  iterate(...parameters: readonly SqlValue[]): IterableIterator<SqlRow>
}

export interface RunResult {
  /** Rows changed by the statement itself, not by its triggers. */
  readonly changes: number
  readonly lastRowid: bigint
}

/**
 * Compiles one statement, made of quoted names only, and forgets it at once. Throws when it does not compile on this
 * connection. A prepared one lives until it is collected, and SQLite visits every living statement whenever the schema
 * changes: thousands of them cost more than the changes themselves.
 */
export const tryStatement = (connection: Connection, sql: string): void =>
  connection.exec(`EXPLAIN QUERY PLAN ${sql}`)

/**
 * Runs `work` in one transaction, committed when it returns and rolled back when it throws. `immediate` takes
 * the write lock at once. Inside an open transaction it is a savepoint instead.
 */
export function transact<T>(connection: Connection, mode: 'deferred' | 'immediate', work: () => T): T {
  const nested = connection.inTransaction
  connection.exec(nested ? 'SAVEPOINT tidemark_transact' : `BEGIN ${mode}`)
  try {
    const result = work()
    connection.exec(nested ? 'RELEASE tidemark_transact' : 'COMMIT')
    return result
  } catch (error) {
    undo(connection, nested)
    throw error
  }
}

/** SQLite may have rolled back by itself (full disk, RAISE(ROLLBACK)); the first error is the one to tell. */
function undo(connection: Connection, nested: boolean): void {
  if (!connection.inTransaction) return
  try {
    connection.exec(nested ? 'ROLLBACK TO tidemark_transact; RELEASE tidemark_transact' : 'ROLLBACK')
  } catch {
    // The connection is beyond use; whoever owns it sees the first error.
  }
}

/** An identifier, quoted. */
export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** A text literal, quoted. The text must not hold NUL. */
export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`
