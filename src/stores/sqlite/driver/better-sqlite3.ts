import { existsSync } from 'node:fs'
import { dirname } from 'node:path'

import Database from 'better-sqlite3'

import { TidemarkError } from '../../../kernel/errors.ts'
import {
  BUSY_MS,
  type Connection,
  type Driver,
  type OpenOptions,
  type RunResult,
  type SqlRow,
  type SqlValue,
  type Statement,
} from './driver.ts'
import { SqliteFailure } from './failure.ts'

/** The class that a copy of the better-sqlite3 package exports. */
export type BetterSqlite3Library = typeof Database

/** The default driver: the SQLite that comes inside the better-sqlite3 package. */
export const betterSqlite3: Driver = betterSqlite3Of(Database)

/**
 * The driver of another copy of the package. Two copies of SQLite in one process don't see each other's locks on a
 * file: who shares a process with an application has to use the application's own.
 */
export function betterSqlite3Of(library: BetterSqlite3Library): Driver {
  return {
    name: 'better-sqlite3',
    open: (file, options = {}) => guard(() => openDatabase(library, file, options)),
  }
}

function openDatabase(library: BetterSqlite3Library, file: string, options: OpenOptions): Connection {
  const memory = file === ':memory:'
  if (!memory && !(options.create === true ? existsSync(dirname(file)) : existsSync(file))) {
    throw new TidemarkError('file_not_found', undefined, { details: { file } })
  }
  const database = new library(file, {
    readonly: options.readonly === true,
    timeout: options.busyMs ?? BUSY_MS,
  })
  try {
    database.defaultSafeIntegers(true)
    options.setup?.(database)
    database.exec('PRAGMA foreign_keys = OFF; PRAGMA recursive_triggers = OFF')
    // Nothing is read from the file before the first query: a file that is no database is told here.
    database.pragma('schema_version')
  } catch (error) {
    database.close()
    throw error
  }
  return new BetterConnection(file, database)
}

class BetterConnection implements Connection {
  readonly driver = 'better-sqlite3'
  readonly file: string
  readonly native: Database.Database

  constructor(file: string, database: Database.Database) {
    this.file = file
    this.native = database
  }

  get inTransaction(): boolean {
    return this.native.inTransaction
  }

  prepare(sql: string): Statement {
    return guard(() => new BetterStatement(this.native.prepare<SqlValue[], SqlRow>(sql)))
  }

  exec(sql: string): void {
    guard(() => this.native.exec(sql))
  }

  value(sql: string): SqlValue {
    return this.prepare(sql).get()?.[0] ?? null
  }

  close(): void {
    this.native.close()
  }
}

class BetterStatement implements Statement {
  readonly #statement: Database.Statement<SqlValue[], SqlRow>
  readonly columns: readonly string[]

  constructor(statement: Database.Statement<SqlValue[], SqlRow>) {
    this.#statement = statement.reader ? statement.raw(true) : statement
    this.columns = statement.reader ? statement.columns().map((column) => column.name) : []
  }

  get sql(): string {
    return this.#statement.source
  }

  run(...parameters: readonly SqlValue[]): RunResult {
    try {
      const result = this.#statement.run(...parameters)
      return { changes: result.changes, lastRowid: BigInt(result.lastInsertRowid) }
    } catch (error) {
      throw toFailure(error)
    }
  }

  get(...parameters: readonly SqlValue[]): SqlRow | undefined {
    try {
      return this.#statement.get(...parameters)
    } catch (error) {
      throw toFailure(error)
    }
  }

  all(...parameters: readonly SqlValue[]): SqlRow[] {
    try {
      return this.#statement.all(...parameters)
    } catch (error) {
      throw toFailure(error)
    }
  }

  iterate(...parameters: readonly SqlValue[]): IterableIterator<SqlRow> {
    return new RowIterator(guard(() => this.#statement.iterate(...parameters)))
  }
}

/** The library's own iterator with our errors: a generator around it would cost as much as reading the row. */
class RowIterator implements IterableIterator<SqlRow> {
  readonly #rows: IterableIterator<SqlRow>

  constructor(rows: IterableIterator<SqlRow>) {
    this.#rows = rows
  }

  next(): IteratorResult<SqlRow> {
    try {
      return this.#rows.next()
    } catch (error) {
      throw toFailure(error)
    }
  }

  return(): IteratorResult<SqlRow> {
    return this.#rows.return?.() ?? { value: undefined, done: true }
  }

  [Symbol.iterator](): this {
    return this
  }
}

function guard<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw toFailure(error)
  }
}

function toFailure(error: unknown): unknown {
  return isSqliteError(error) ? new SqliteFailure(error.code, error.message) : error
}

/** By its name: every copy of the package has a class of its own. */
const isSqliteError = (error: unknown): error is Error & { readonly code: string } =>
  error instanceof Error && error.name === 'SqliteError' && 'code' in error && typeof error.code === 'string'
