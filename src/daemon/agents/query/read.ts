import Database from 'better-sqlite3'

import { TidemarkError } from '../../../kernel/errors.ts'
import { SqliteFailure } from '../../../stores/sqlite/driver/failure.ts'
import { findPlace } from './place.ts'

export type QueryValue = null | bigint | number | string | Uint8Array

/** Rows are told in pieces of about this many characters and bytes. */
const PIECE_SIZE = 1_000_000
const PIECE_ROWS = 500
/** Beyond this a query fails: it keeps what it sorts in memory, so that no row lies in a file meanwhile. */
const HEAP_BYTES = 1024 * 1024 * 1024
const BUSY_MS = 5_000

export interface QueryPiece {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly QueryValue[])[]
  /** There are more rows than were asked for. Only the last piece says so. */
  readonly cut: boolean
}

/**
 * Answers one statement of SQL, at least one piece. What keeps it from writing is how the file is opened, not what the
 * statement looks like: read-only, which holds for every file that it could attach too. SQLite itself says of the
 * compiled statement whether it writes (VACUUM INTO makes another file even then) and whether it answers rows; what does
 * not is refused before it runs.
 */
export function* readQuery(file: string, sql: string, limit: number): Iterable<QueryPiece> {
  const database = openReadOnly(file)
  try {
    const statement = prepare(database, sql)
    const columns = statement.columns().map(({ name }) => name)
    let rows: (readonly QueryValue[])[] = []
    let [size, count] = [0, 0]
    for (const row of statement.iterate()) {
      if (count++ === limit) return yield { columns, rows, cut: true }
      rows.push(row)
      size += row.reduce<number>((sum, value) => sum + sizeOf(value), 0)
      if (size < PIECE_SIZE && rows.length < PIECE_ROWS) continue
      yield { columns, rows, cut: false }
      ;[rows, size] = [[], 0]
    }
    yield { columns, rows, cut: false }
  } catch (error) {
    throw toFailure(database, sql, error)
  } finally {
    database.close()
  }
}

const sizeOf = (value: QueryValue): number =>
  typeof value === 'string' || value instanceof Uint8Array ? value.length : 8

/** What is opened so is read-only, and so is every file that its SQL could attach. */
export function openReadOnly(file: string): Database.Database {
  try {
    const database = new Database(file, { readonly: true, fileMustExist: true, timeout: BUSY_MS })
    try {
      database.pragma('query_only = ON')
      database.pragma('trusted_schema = OFF')
      database.pragma('temp_store = MEMORY')
      database.pragma(`hard_heap_limit = ${HEAP_BYTES}`)
      database.pragma('schema_version')
      return database
    } catch (error) {
      database.close()
      throw error
    }
  } catch (error) {
    if (!(error instanceof Database.SqliteError)) throw error
    const { code, message } = new SqliteFailure(error.code, error.message)
    throw new TidemarkError(code, message, { details: { file } })
  }
}

function prepare(
  database: Database.Database,
  sql: string,
): Database.Statement<unknown[], readonly QueryValue[]> {
  const statement = database.prepare<unknown[], readonly QueryValue[]>(sql)
  if (!statement.reader || !statement.readonly) {
    throw new TidemarkError(
      'bad_usage',
      statement.readonly ? 'the statement answers no rows' : 'the statement would write: a query only reads',
    )
  }
  return statement.raw().safeIntegers()
}

/** The words are of SQLite, which names what it does not know; whoever asks sees the rows anyway. */
function toFailure(database: Database.Database, sql: string, error: unknown): unknown {
  if (error instanceof Database.SqliteError) {
    const { code, message } = error
    if (code === 'SQLITE_NOMEM')
      return new TidemarkError('unprocessable', 'the query needs more than 1 GiB of memory')
    if (!code.startsWith('SQLITE_ERROR')) return new SqliteFailure(code, message)
    const place = findPlace(sql, message, (text) => complaintOf(database, text))
    if (place === null) return new TidemarkError('bad_usage', message)
    const { line, column } = place
    return new TidemarkError('bad_usage', `${message} (line ${line}, column ${column})`, {
      details: { line, column },
    })
  }
  // What the library itself refuses, in words of its own.
  const words = error instanceof TypeError || error instanceof RangeError ? error.message : ''
  if (/more than one statement/.test(words))
    return new TidemarkError('bad_usage', 'there is more than one statement: ask one at a time')
  if (/no statements/.test(words)) return new TidemarkError('bad_usage', 'there is no statement')
  if (/parameter/.test(words))
    return new TidemarkError(
      'bad_usage',
      'the statement has parameters, and there is nothing to put in for them',
    )
  return error
}

/** What SQLite says against a text; null when nothing. */
function complaintOf(database: Database.Database, sql: string): string | null {
  try {
    database.prepare(sql)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : null
  }
}
