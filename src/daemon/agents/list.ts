import type { AgentsFile } from './agents-file.ts'
import { readCursor, writeCursor } from './cursor.ts'
import { timeOf } from './schema.ts'
import type { Table } from './tables.ts'

/** Rows of a page unless the caller says. */
const DEFAULT_LIMIT = 100
/** A page ends before its texts have more characters than this: 500 long messages are more than an answer holds. */
const PAGE_CHARS = 8 * 1024 * 1024
/** Before every time that SQLite can hold. */
const FIRST = -(2n ** 63n)
const LAST = 2n ** 63n - 1n

/** What is listed: conditions that all must hold, and what they are about. */
export interface Filter {
  readonly where: string
  readonly value?: string | number | bigint
}

export interface Asked {
  readonly cursor?: string
  readonly limit?: number
}

export interface Page<R> {
  readonly records: readonly R[]
  readonly next: string | null
}

/**
 * One page of a list in order of time and id. A place is the last row that was read, so rows that come meanwhile move
 * nothing. Rows with an id that the contract can't hold are left out.
 *
 * Only the first filter may choose the index: its conditions stand as they are, those of the others behind a plus.
 */
export function listPage<R>(
  file: AgentsFile,
  table: Table<R>,
  filters: readonly Filter[],
  order: 'ASC' | 'DESC',
  { cursor, limit = DEFAULT_LIMIT }: Asked,
): Page<R> {
  const descending = order === 'DESC'
  const from = cursor === undefined ? null : readCursor(table.name, cursor)
  const time = timeOf(table.time)
  const after = descending ? '<' : '>'
  const read = (place: string, by: string, values: readonly unknown[]): Iterable<readonly unknown[]> => {
    const sql = `SELECT ${time}, CAST(id AS BLOB), ${table.select} FROM ${table.name}
      WHERE ${[...filters.map(({ where }) => where), place].join(' AND ')}
        AND typeof(id) = 'text' AND length(id) BETWEEN 1 AND 256 AND octet_length(id) <= 1024
      ORDER BY ${by} LIMIT ?`
    const known = filters.flatMap(({ value }) => (value === undefined ? [] : [value]))
    const rows = file
      .prepare(sql)
      .raw()
      .safeIntegers()
      .iterate(...known, ...values, limit + 1)
    return rows as Iterable<readonly unknown[]>
  }
  // Rows of the same moment, then those behind it: each is one stretch of the index, however many share a moment.
  function* rows(): Iterable<readonly unknown[]> {
    const by = `${time} ${order}, id ${order}`
    if (from === null) return yield* read(`${time} ${after}= ?`, by, [descending ? LAST : FIRST])
    // By the id alone: SQLite would sort them all by a time that it knows to be one, since it is no plain column.
    yield* read(`${time} = ? AND id ${after} CAST(? AS TEXT)`, `id ${order}`, [from.at, from.id])
    yield* read(`${time} ${after} ?`, by, [from.at])
  }
  const records: R[] = []
  let chars = 0
  let place: { readonly at: bigint; readonly id: Uint8Array } | null = null
  for (const [at, id, ...row] of rows()) {
    chars += row.reduce<number>((sum, value) => sum + (typeof value === 'string' ? value.length : 0), 0)
    const isFull = records.length === limit || (records.length > 0 && chars > PAGE_CHARS)
    if (isFull && place !== null) return { records, next: writeCursor(table.name, place) }
    records.push(table.toRecord(row))
    place = { at: at as bigint, id: id as Uint8Array }
  }
  return { records, next: null }
}
