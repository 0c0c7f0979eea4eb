import { quoteName } from '../driver/driver.ts'
import type { Shape } from '../shape/shape.ts'
import { FLAG_TABLE, keyColumn, markTable } from './names.ts'

/**
 * Hybrid time of now (milliseconds × 1,000), in SQL that SQLite 3.24 knows: other processes' older libraries
 * run these triggers. A day number is exact to 40 µs in this century.
 */
export const CLOCK_SQL = 'CAST((julianday() - 2440587.5) * 86400000000.0 AS INTEGER)'

/** The one row of the flag table, when nothing is being applied. */
export const FLAG_ROW = `${quoteName(FLAG_TABLE)} AS f`
export const NOT_APPLYING = 'f."id" = 1 AND f."applying" = 0'

/** The receive rule of a hybrid clock: later than the wall clock says and than everything seen. */
export const markTime = (clock: string): string => `max(${clock}, f."floor" + 1)`

/**
 * A row number is the key of the mark table's own b-tree. The affinities keep every value as it is in the
 * key column, and equal keys meet as they do there.
 */
export function markTableSql(shape: Shape, number: number): string {
  const table = quoteName(markTable(number))
  if (shape.rowidAlias) return `CREATE TABLE ${table} ("k0" INTEGER PRIMARY KEY, "at" INTEGER)`
  const keys = shape.key.map((key, index) => {
    const affinity = shape.columns[key.at]?.affinity ?? 'BLOB'
    return `"${keyColumn(index)}" ${affinity} NOT NULL COLLATE ${key.collation}`
  })
  const names = shape.key.map((_, index) => `"${keyColumn(index)}"`).join(', ')
  return `CREATE TABLE ${table} (${keys.join(', ')}, "at" INTEGER, PRIMARY KEY (${names})) WITHOUT ROWID`
}

/**
 * `INSERT INTO marks … SELECT …` that nothing can make fail: `OR IGNORE` and `OR REPLACE` would be overridden
 * by the statement that fires the trigger, an upsert is not. A further mark of a row is always later.
 * `select` begins after SELECT, gives the key values and the time, and has a WHERE, or the upsert would not parse.
 */
export function markStatement(shape: Shape, number: number, select: string): string {
  const names = shape.key.map((_, index) => `"${keyColumn(index)}"`).join(', ')
  return (
    `INSERT INTO ${quoteName(markTable(number))} (${names}, "at") SELECT ${select}` +
    ` ON CONFLICT (${names}) DO UPDATE SET "at" = max("at" + 1, excluded."at");`
  )
}

/** Rows with a NULL in the key have no identity and are not captured. */
export function keyIsWhole(shape: Shape, row: string): string {
  const nullable = shape.key.filter((key) => key.nullable)
  return nullable.map((key) => ` AND ${row}.${quoteName(key.name)} IS NOT NULL`).join('')
}

export const keyOfRow = (shape: Shape, row: string): string =>
  shape.key.map((key) => `${row}.${quoteName(key.name)}`).join(', ')

/** The names by which SET may mean the row number. */
export function rowidNames(shape: Shape): readonly string[] {
  const columns = new Set(shape.columns.map((column) => column.name.toLowerCase()))
  return ['rowid', 'oid', '_rowid_'].filter((name) => !columns.has(name))
}
