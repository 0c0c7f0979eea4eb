import type { Encoded, Fields } from '../../../kernel/values.ts'
import { keyColumn, markTable } from '../capture/names.ts'
import { quoteName, type SqlRow } from '../driver/driver.ts'
import { newBounds } from './bind.ts'
import { decodeFields, decodeValue, placesOf, selectList, type ReadMode } from './decode.ts'
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

/** All marked rows, in the order of their keys. */
export function markedRows(table: SyncedTable): Iterable<JoinedRow> {
  const rowTerms = table.keyTerms('t')
  const stateTerms = table.shape.key.map((_, at) => `s.${keyColumn(at)}`)
  return readJoined(table, 'marked', (mode) => {
    const keys = selectList(
      'm.',
      table.shape.key.map((_, at) => keyColumn(at)),
      mode,
    )
    return `SELECT m.at, ${rowTerms[0]} IS NOT NULL, ${stateColumns('s.')}, ${keys}, ${selectList('t.', table.names, mode)}
      FROM ${markTable(table.number)} m
      LEFT JOIN main.${quoteName(table.name)} t ON ${joinOn(rowTerms, 'm')}
      LEFT JOIN ${stateTable(table.number)} s ON ${joinOn(stateTerms, 'm')}`
  })
}

/** All rows of the table, marked or not. */
export function allRows(table: SyncedTable): Iterable<JoinedRow> {
  const terms = table.keyTerms('t')
  const notNull = table.shape.key
    .filter(({ nullable }) => nullable)
    .map(({ name }) => `t.${quoteName(name)} IS NOT NULL`)
  return readJoined(table, 'all', (mode) => {
    const keys = selectList('t.', table.keyNames, mode)
    return `SELECT NULL, 1, ${stateColumns('s.')}, ${keys}, ${selectList('t.', table.names, mode)}
      FROM main.${quoteName(table.name)} t LEFT JOIN ${stateTable(table.number)} s ON ${joinOn(terms, 's')}
      ${notNull.length > 0 ? `WHERE ${notNull.join(' AND ')}` : ''}`
  })
}

/** SQL of an INSERT source: keys, and a place for a time, of agreed rows that the table has no more. */
export function goneRowsSql(table: SyncedTable): string {
  const keys = table.shape.key.map((_, at) => `s.${keyColumn(at)}`)
  return `SELECT ${keys.join(', ')}, ? FROM ${stateTable(table.number)} s WHERE s.image IS NOT NULL AND NOT EXISTS
    (SELECT 1 FROM main.${quoteName(table.name)} t WHERE ${joinOn(table.keyTerms('t'), 's')})`
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
  sqlOf: (mode: ReadMode) => string,
): Generator<JoinedRow> {
  let done = 0
  for (const mode of ['fast', 'exact'] as const) {
    let skip = done
    let whole = true
    for (const row of table.query(`${what} ${mode}`, () => sqlOf(mode)).iterate(newBounds())) {
      if (skip-- > 0) continue
      const joined = decodeJoined(table, row, mode)
      if (joined === undefined) {
        whole = false
        break
      }
      done++
      yield joined
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
