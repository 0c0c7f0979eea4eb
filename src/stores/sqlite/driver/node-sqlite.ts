import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'

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
import { resultName } from './result-codes.ts'

/** The SQLite that is part of Node.js: no native package is needed. */
export const nodeSqlite: Driver = {
  name: 'node-sqlite',
  open: (file, options = {}) => guard(() => openDatabase(file, options)),
}

function openDatabase(file: string, options: OpenOptions): Connection {
  const memory = file === ':memory:'
  if (!memory && !(options.create === true ? existsSync(dirname(file)) : existsSync(file))) {
    throw new TidemarkError('file_not_found', undefined, { details: { file } })
  }
  // Not imported: Node 22 warns of an experiment with the first look at it, also those who never use this driver.
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
  const database: DatabaseSync & Defensive = new DatabaseSync(file, {
    readOnly: options.readonly === true,
    enableForeignKeyConstraints: false,
  })
  try {
    database.enableDefensive?.(true)
    options.setup?.(database)
    const busyMs = Math.trunc(options.busyMs ?? BUSY_MS)
    database.exec(
      `PRAGMA busy_timeout = ${busyMs}; PRAGMA foreign_keys = OFF; PRAGMA recursive_triggers = OFF`,
    )
    const connection = new NodeConnection(file, database)
    refuseTruncation(connection)
    connection.value('PRAGMA schema_version')
    return connection
  } catch (error) {
    database.close()
    throw error
  }
}

/** On by default since Node 24.12; before that the method or the flag itself may be missing. */
interface Defensive {
  enableDefensive?(active: boolean): void
}

/** A library that cuts text at NUL, as Node's before 24.16, would change values unseen (I10). */
function refuseTruncation(connection: Connection): void {
  if (connection.value("SELECT 'a' || char(0) || 'b'") === 'a\0b') return
  throw new TidemarkError('node_sqlite_too_old', undefined, { details: { node: process.version } })
}

class NodeConnection implements Connection {
  readonly driver = 'node-sqlite'
  readonly file: string
  readonly native: DatabaseSync

  constructor(file: string, database: DatabaseSync) {
    this.file = file
    this.native = database
  }

  get inTransaction(): boolean {
    return this.native.isTransaction
  }

  prepare(sql: string): Statement {
    return guard(() => {
      const statement = this.native.prepare(sql)
      statement.setReadBigInts(true)
      statement.setReturnArrays(true)
      return new NodeStatement(sql, statement)
    })
  }

  exec(sql: string): void {
    guard(() => this.native.exec(sql))
  }

  value(sql: string): SqlValue {
    return this.prepare(sql).get()?.[0] ?? null
  }

  close(): void {
    if (this.native.isOpen) this.native.close()
  }
}

class NodeStatement implements Statement {
  readonly sql: string
  readonly columns: readonly string[]
  readonly #statement: StatementSync

  constructor(sql: string, statement: StatementSync) {
    this.sql = sql
    this.#statement = statement
    this.columns = statement.columns().map((column) => column.name)
  }

  run(...parameters: readonly SqlValue[]): RunResult {
    try {
      const result = this.#statement.run(...parameters)
      return { changes: Number(result.changes), lastRowid: BigInt(result.lastInsertRowid) }
    } catch (error) {
      throw toFailure(error)
    }
  }

  /** Also undefined for a row with a text longer than a string can be: `all` and `iterate` tell it from no row. */
  get(...parameters: readonly SqlValue[]): SqlRow | undefined {
    try {
      return asRow(this.#statement.get(...parameters))
    } catch (error) {
      throw toFailure(error)
    }
  }

  all(...parameters: readonly SqlValue[]): SqlRow[] {
    try {
      return asRows(this.#statement.all(...parameters) ?? tooBig())
    } catch (error) {
      throw toFailure(error)
    }
  }

  *iterate(...parameters: readonly SqlValue[]): IterableIterator<SqlRow> {
    let rows: Iterator<unknown> | null = null
    try {
      rows = this.#statement.iterate(...parameters)
      for (;;) {
        const step = (rows.next() as IteratorResult<unknown> | undefined) ?? tooBig()
        if (step.done === true) return
        yield asRow(step.value) as SqlRow
      }
    } catch (error) {
      throw toFailure(error)
    } finally {
      rows?.return?.()
    }
  }
}

/** The library gives nothing at all, and no error, where a text is longer than a string can be. */
function tooBig(): never {
  throw new SqliteFailure('SQLITE_TOOBIG', 'a text is longer than a string can be')
}

/** `setReturnArrays` makes every row an array, which the types of the library do not say. */
const asRow = (row: unknown): SqlRow | undefined => row as SqlRow | undefined
const asRows = (rows: unknown): SqlRow[] => rows as SqlRow[]

function guard<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw toFailure(error)
  }
}

function toFailure(error: unknown): unknown {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return error
  return new SqliteFailure(resultName(error.errcode), error.message)
}
