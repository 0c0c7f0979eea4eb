import { keyOf } from '../../../../kernel/keys.ts'
import type { Encoded, Fields } from '../../../../kernel/values.ts'
import { quoteName } from '../../driver/driver.ts'
import type { ShapeIndex } from '../../shape/shape.ts'
import { newBounds, pushValue, Template, type Bounds } from '../bind.ts'
import { collationOf, computeTerms, isPlain, termSql } from '../claims.ts'
import { decodeValue, placesOf, selectList, type ReadMode } from '../decode.ts'
import { trialTable } from '../names.ts'
import type { SyncedTable } from '../synced-table.ts'
import { Unfit } from '../unfit.ts'
import { wholeRow } from './target.ts'

export interface Blocker {
  readonly index: ShapeIndex
  readonly key: string
}

/** Other rows that hold a unique value of this one, by the index's own terms, collations and condition. */
export function findBlockers(table: SyncedTable, key: string, fields: Fields): readonly Blocker[] {
  const whole = wholeRow(table, fields)
  return table.shape.unique.flatMap((index) => {
    const values = termsOf(table, index, whole)
    if (values === null || values.includes(null)) return []
    return holdersOf(table, index, values)
      .filter((holder) => holder !== key)
      .map((holder) => ({ index, key: holder }))
  })
}

/** True when both rows hold the same value in the index. */
export function sharesValue(table: SyncedTable, index: ShapeIndex, a: Fields, b: Fields): boolean {
  const [one, other] = [a, b].map((fields) => {
    const values = termsOf(table, index, wholeRow(table, fields))
    return values === null || values.includes(null) ? null : keyOf(values, index.terms.map(collationOf))
  })
  return one !== null && one === other
}

/** What a row that is not in the table would hold in the index; null when the index leaves it out. */
function termsOf(table: SyncedTable, index: ShapeIndex, fields: Fields): readonly Encoded[] | null {
  if (isPlain(table, index)) return index.terms.map(({ column }) => fields[column ?? ''] ?? null)
  const name = trialTable(table.number, table.shape.fingerprint)
  const trial = `temp.${name}`
  fillTrial(table, name, fields)
  return computeTerms(
    table,
    index,
    (list) => new Template(table.connection, () => `SELECT ${list} FROM ${trial}`),
    newBounds(),
  )
}

/** Puts one row, alone, into a table that has the columns of this one and none of its rules. */
function fillTrial(table: SyncedTable, trial: string, fields: Fields): void {
  const columns = table.shape.columns.map(({ name, type, collation, generated }) => {
    const computed =
      generated === null ? '' : ` AS (${generated.as}) ${generated.stored ? 'STORED' : 'VIRTUAL'}`
    return `${quoteName(name)} ${type} COLLATE ${quoteName(collation)}${computed}`
  })
  const strict = table.shape.strict ? ' STRICT' : ''
  table.connection.exec(`CREATE TEMP TABLE IF NOT EXISTS ${trial} (${columns.join(', ')})${strict}`)
  table.connection.exec(`DELETE FROM temp.${trial}`)
  const bounds = newBounds()
  for (const name of table.names) {
    if (!pushValue(bounds, fields[name] ?? null, table.encoding))
      throw new Unfit('a value that SQLite does not have')
  }
  const list = table.names.map(quoteName).join(', ')
  new Template(
    table.connection,
    (place) =>
      `INSERT INTO temp.${trial} (${list}) VALUES (${table.names.map((_, at) => place(at)).join(', ')})`,
  ).run(bounds)
}

/** Keys of the rows that hold these values: one, or the index would not be unique. */
function holdersOf(table: SyncedTable, index: ShapeIndex, values: readonly Encoded[]): readonly string[] {
  const bounds = newBounds()
  for (const value of values) if (!pushValue(bounds, value, table.encoding)) return []
  const where = (place: (at: number) => string) =>
    [
      ...index.terms.map(
        (term, at) => `${termSql(term)} COLLATE ${quoteName(term.collation)} = ${place(at)}`,
      ),
      ...(index.where === null ? [] : [`(${index.where})`]),
    ].join(' AND ')
  for (const mode of ['fast', 'exact'] as const) {
    const keys = readKeys(table, bounds, where, mode)
    if (keys !== undefined) return keys
  }
  return []
}

function readKeys(
  table: SyncedTable,
  bounds: Bounds,
  where: (place: (at: number) => string) => string,
  mode: ReadMode,
): readonly string[] | undefined {
  const rows = new Template(
    table.connection,
    (place) =>
      `SELECT ${selectList('', table.keyNames, mode)} FROM main.${quoteName(table.name)} WHERE ${where(place)} LIMIT 2`,
  ).all(bounds)
  const keys: string[] = []
  for (const row of rows) {
    const values = table.keyNames.map((_, at) => decodeValue(row, at * placesOf(mode), mode, table.encoding))
    if (values.includes(undefined)) return undefined
    if (!values.includes(null)) keys.push(table.keyOfValues(values as readonly Encoded[]))
  }
  return keys
}
