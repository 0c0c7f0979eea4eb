import type { Encoded, Fields } from '../../../kernel/values.ts'
import { keyColumn, markTable } from '../capture/names.ts'
import { quoteName, type SqlRow } from '../driver/driver.ts'
import { newBounds, pushBounds, type Bounds, type Template } from './bind.ts'
import { decodeFields, decodeValue, isTooBig, placesOf, selectList, type ReadMode } from './decode.ts'
import { stateTable } from './names.ts'
import { decodeState, STATE_PLACES, stateColumns, type RowState } from './states.ts'
import type { SyncedTable } from './synced-table.ts'

/** Rows of a table with their state, and with their mark where the reading starts from the marks. */
export interface JoinedRow {
  /** Canonical. */
  readonly key: string
  readonly fields: Fields | null
  readonly state: RowState | null
  /** Time of the mark; null when marks are not read. */
  readonly at: number | null
}

export const joinOn = (terms: readonly string[], alias: string): string =>
  terms.map((term, at) => `${term} = ${alias}.${keyColumn(at)}`).join(' AND ')

/** The marked rows, in the order of their keys: all, or those behind a key. */
export function markedRows(table: SyncedTable, after: Bounds | null): Iterable<JoinedRow> {
  const rowTerms = table.keyTerms('t')
  const stateTerms = table.shape.key.map((_, at) => `s.${keyColumn(at)}`)
  const names = table.shape.key.map((_, at) => keyColumn(at))
  const markTerms = names.map((name) => `m.${name}`)
  const sqlOf = (mode: ReadMode, place: (at: number) => string): string => {
    const keys = selectList('m.', names, mode)
    return `SELECT m.at, ${rowTerms[0]} IS NOT NULL, ${stateColumns('s.')}, ${keys}, ${selectList('t.', table.names, mode)}
      FROM ${markTable(table.number)} m
      LEFT JOIN main.${quoteName(table.name)} t ON ${joinOn(rowTerms, 'm')}
      LEFT JOIN ${stateTable(table.number)} s ON ${joinOn(stateTerms, 'm')}
      ${after === null ? '' : `WHERE ${behind(markTerms, place)}`} ORDER BY ${markTerms.join(', ')}`
  }
  return readJoined(table, after === null ? 'marked' : 'marked after', sqlOf, after ?? newBounds())
}

/**
 * The next rows of the table, marked or not, in the order of their keys: behind a key, or from the first on. The limit
 * stands in the statement's text, for it decides how SQLite goes about the order.
 */
export function rowsAfter(table: SyncedTable, after: Bounds | null, limit: number): Iterable<JoinedRow> {
  const terms = table.keyTerms('t')
  const notNull = table.shape.key
    .filter(({ nullable }) => nullable)
    .map(({ name }) => `t.${quoteName(name)} IS NOT NULL`)
  return readJoined(
    table,
    after === null ? 'rows' : 'rows after',
    (mode, place) => {
      const keys = selectList('t.', table.keyNames, mode)
      const conditions = [...notNull, ...(after === null ? [] : [behind(terms, place)])]
      return `SELECT NULL, 1, ${stateColumns('s.')}, ${keys}, ${selectList('t.', table.names, mode)}
      FROM main.${quoteName(table.name)} t LEFT JOIN ${stateTable(table.number)} s ON ${joinOn(terms, 's')}
      ${conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''} ORDER BY ${terms.join(', ')} LIMIT ${limit}`
    },
    after ?? newBounds(),
  )
}

const compared = (terms: readonly string[], how: '>' | '<=', place: (at: number) => string): string =>
  terms.length === 1
    ? `${terms[0]} ${how} ${place(0)}`
    : `(${terms.join(', ')}) ${how} (${terms.map((_, at) => place(at)).join(', ')})`

const behind = (terms: readonly string[], place: (at: number) => string): string =>
  compared(terms, '>', place)

/** Keys found among the next states, and the one up to which they were looked through; null: to the end. */
export interface GoneRows {
  readonly keys: readonly string[]
  readonly to: string | null
}

/**
 * Agreed rows that the table has no more, among the next `limit` states in the order of their keys, and `most` of them
 * at the most. SQLite looks by itself: rows that are there cost a hundredth of what it takes to bring their keys here.
 */
export function goneAfter(table: SyncedTable, after: Bounds | null, limit: number, most: number): GoneRows {
  const names = table.keyNames.map((_, at) => keyColumn(at))
  const terms = names.map((name) => `s.${name}`)
  const keys = selectList('s.', names, 'exact')
  const from = `FROM ${stateTable(table.number)} s`
  const order = `ORDER BY ${terms.join(', ')}`
  const start = (place: (at: number) => string) => (after === null ? 'TRUE' : behind(terms, place))
  const read = (query: Template, bounds: Bounds): readonly string[] =>
    [...query.iterate(bounds)].map((row) => {
      const values = names.map((_, at) => decodeValue(row, at * placesOf('exact'), 'exact', table.encoding))
      return table.keyOfValues(values as readonly Encoded[])
    })
  const last = table.query(
    after === null ? 'end of states' : 'end of states after',
    (place) => `SELECT ${keys} ${from} WHERE ${start(place)} ${order} LIMIT 1 OFFSET ${limit - 1}`,
  )
  const [end = null] = read(last, after ?? newBounds())
  const to = end === null ? null : table.bindKey(end)
  const gone = table.query(
    `gone${after === null ? '' : ' after'}${to === null ? '' : ' up to'}`,
    (place) => `SELECT ${keys} ${from} WHERE s.image IS NOT NULL AND ${start(place)}
      ${to === null ? '' : `AND ${compared(terms, '<=', (at) => place(at + (after === null ? 0 : terms.length)))}`}
      AND NOT EXISTS (SELECT 1 FROM main.${quoteName(table.name)} t WHERE ${joinOn(table.keyTerms('t'), 's')})
      ${order} LIMIT ${most}`,
  )
  const bounds = after === null ? newBounds() : pushBounds(newBounds(), after)
  const found = read(gone, to === null ? bounds : pushBounds(bounds, to))
  return { keys: found, to: found.length < most ? end : (found.at(-1) ?? null) }
}

/** SQL of an INSERT source: keys, and a place for a time, of the rows that fulfil a condition on `t`. */
export function rowKeysSql(table: SyncedTable, condition: string): string {
  const keys = table.keyNames.map((name) => `t.${quoteName(name)}`)
  const notNull = table.shape.key
    .filter(({ nullable }) => nullable)
    .map(({ name }) => `t.${quoteName(name)} IS NOT NULL`)
  const where = [...notNull, condition].join(' AND ')
  return `SELECT ${keys.join(', ')}, ? FROM main.${quoteName(table.name)} t WHERE ${where}`
}

/** SQL that marks the keys of such a source; the time is the source's first parameter. */
export function markSql(table: SyncedTable, source: string): string {
  const keys = table.shape.key.map((_, at) => keyColumn(at)).join(', ')
  return `INSERT INTO ${markTable(table.number)} (${keys}, at) ${source} ON CONFLICT DO NOTHING`
}

const FIRST = 2 + STATE_PLACES

/** Reads fast; from the row on at which that is not exact, again, exactly. */
function* readJoined(
  table: SyncedTable,
  what: string,
  sqlOf: (mode: ReadMode, place: (at: number) => string) => string,
  bounds: Bounds,
): Generator<JoinedRow> {
  let done = 0
  for (const mode of ['fast', 'exact'] as const) {
    let skip = done
    let whole = true
    try {
      for (const row of table.query(`${what} ${mode}`, (place) => sqlOf(mode, place)).iterate(bounds)) {
        if (skip-- > 0) continue
        const joined = decodeJoined(table, row, mode)
        if (joined === undefined) {
          whole = false
          break
        }
        done++
        yield joined
      }
    } catch (error) {
      if (mode === 'exact' || !isTooBig(error)) throw error
      whole = false
    }
    if (whole) return
  }
}

function decodeJoined(table: SyncedTable, row: SqlRow, mode: ReadMode): JoinedRow | undefined {
  const { encoding } = table
  const values: Encoded[] = []
  for (let at = 0; at < table.keyNames.length; at++) {
    const value = decodeValue(row, FIRST + at * placesOf(mode), mode, encoding)
    if (value === undefined) return undefined
    values.push(value)
  }
  const exists = row[1] !== 0n && row[1] !== null
  const from = FIRST + values.length * placesOf(mode)
  const fields = exists ? decodeFields(row, from, table.names, mode, encoding) : null
  if (fields === undefined) return undefined
  const at = row[0] == null ? null : Number(row[0])
  return { key: table.keyOfValues(values), fields, state: decodeState(row, 2), at }
}
