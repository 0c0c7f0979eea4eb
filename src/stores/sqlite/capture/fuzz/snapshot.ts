import { keyOf } from '../../../../kernel/keys.ts'
import { encodeBytes, encodeInt, encodeReal, type Encoded } from '../../../../kernel/values.ts'
import { quoteName } from '../../driver/driver.ts'
import type { Shape } from '../../shape/shape.ts'
import { encodeTextBytes } from '../../values.ts'
import { keyColumn, markTable, TABLES_TABLE } from '../names.ts'

/** Queries whose answers are lines of plain text, so that a library and a program of SQLite can be asked alike. */
export const LIST_TABLES = `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_tidemark\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name`

/** The type and exact bytes of a value; long ones by their length and ends. */
const exact = (name: string): string =>
  `typeof(${name}) || ':' || CASE WHEN ${name} IS NULL THEN '' WHEN typeof(${name}) = 'real' THEN printf('%!.17g', ${name})` +
  ` WHEN length(${name}) > 500 THEN 'long' || length(${name}) || hex(substr(${name}, 1, 9)) ELSE hex(CAST(${name} AS BLOB)) END`

export const rowsSql = (table: string, columns: readonly string[], order = true): string =>
  `SELECT ${columns.map((name) => exact(quoteName(name))).join(" || '|' || ")} FROM ${quoteName(table)}${order ? ' ORDER BY 1' : ''}`

/** Marks, as `time|key|key`. */
export const marksSql = (number: number, shape: Shape): string =>
  `SELECT "at" || '|' || ${shape.key.map((_, at) => exact(keyColumn(at))).join(" || '|' || ")} FROM ${quoteName(markTable(number))}`

export const SWEEPS_SQL = `SELECT "name" FROM ${quoteName(TABLES_TABLE)} WHERE "sweep" = 1`
export const OTHERS_SQL = `SELECT type || ' ' || name || ' ' || ifnull(sql, '') FROM sqlite_master WHERE name NOT LIKE '\\_tidemark\\_%' ESCAPE '\\' AND tbl_name NOT LIKE '\\_tidemark\\_%' ESCAPE '\\' ORDER BY rowid`
export const STANDING_SQL = `SELECT changes() || ' ' || last_insert_rowid()`

/** A line of `rowsSql` as a key text and the whole line; null when a key value is NULL. */
export function keyOfLine(line: string, columns: readonly string[], shape: Shape): string | null {
  const cells = line.split('|')
  const values = shape.key.map((key) => decode(cells[columns.indexOf(key.name)] ?? 'null:'))
  return values.includes(null)
    ? null
    : keyOf(
        values,
        shape.key.map((key) => key.collation),
      )
}

export function markOfLine(line: string, shape: Shape): { readonly key: string; readonly at: number } {
  const [at, ...cells] = line.split('|')
  const key = keyOf(
    cells.map(decode),
    shape.key.map((column) => column.collation),
  )
  return { key, at: Number(at) }
}

function decode(cell: string): Encoded {
  const [type, text] = [cell.slice(0, cell.indexOf(':')), cell.slice(cell.indexOf(':') + 1)]
  if (type === 'null') return null
  if (type === 'real')
    return encodeReal(text === 'Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text))
  const bytes = Buffer.from(text, 'hex')
  if (type === 'integer') return encodeInt(BigInt(bytes.toString('latin1')))
  return type === 'text' ? encodeTextBytes(bytes, 'UTF-8') : encodeBytes(bytes)
}
