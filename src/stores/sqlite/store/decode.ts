import type { Encoded, Fields } from '../../../kernel/values.ts'
import { quoteName, type SqlRow, type SqlValue } from '../driver/driver.ts'
import { SqliteFailure } from '../driver/failure.ts'
import { encodeTextBytes, encodeValue, type TextEncoding } from '../values.ts'
import { largeValue, MAX_READ_BYTES } from './large.ts'

/**
 * Rows are read twice where they must be: `fast` as the driver gives them; `exact` with each text as its bytes,
 * for rows with text that may have lost bytes on its way through a JavaScript string (I10), and values that no string
 * can hold by their size only.
 */
export type ReadMode = 'fast' | 'exact'

/** The driver gives no value that large; a reading in mode `exact` does not ask for it. */
export const isTooBig = (error: unknown): boolean =>
  error instanceof SqliteFailure && error.sqlite === 'SQLITE_TOOBIG'

/** The select list of these columns. `alias` is a table's name in the query, with its dot; or empty. */
export function selectList(alias: string, names: readonly string[], mode: ReadMode): string {
  return names
    .map((name) => {
      const column = `${alias}${quoteName(name)}`
      if (mode === 'fast') return column
      // Neither function loads the value.
      return `typeof(${column}), CASE WHEN octet_length(${column}) > ${MAX_READ_BYTES} THEN octet_length(${column})
        WHEN typeof(${column}) = 'text' THEN CAST(${column} AS BLOB) ELSE ${column} END`
    })
    .join(', ')
}

/** How many places of a result one value takes. */
export const placesOf = (mode: ReadMode): number => (mode === 'fast' ? 1 : 2)

/** `names` from a row, at place `from`. Undefined when the row must be read in mode `exact`. */
export function decodeFields(
  row: SqlRow,
  from: number,
  names: readonly string[],
  mode: ReadMode,
  encoding: TextEncoding,
): Fields | undefined {
  const fields = newFields(names)
  const places = placesOf(mode)
  for (let at = 0; at < names.length; at++) {
    const place = from + at * places
    const large = largeValue(row[place + places - 1] as SqlValue, mode === 'exact' ? row[place] : undefined)
    const value = large ?? decodeValue(row, place, mode, encoding)
    if (value === undefined) return undefined
    fields[names[at] as string] = value
  }
  return fields
}

/** An object without a prototype only where a column has the name of something every object has: they are slower. */
function newFields(names: readonly string[]): { [name: string]: Encoded } {
  let odd = oddNames.get(names)
  if (odd === undefined) oddNames.set(names, (odd = names.some((name) => name in {})))
  return odd ? (Object.create(null) as { [name: string]: Encoded }) : {}
}

const oddNames = new WeakMap<readonly string[], boolean>()

/** One value; in mode `exact` its type stands before it. */
export function decodeValue(
  row: SqlRow,
  at: number,
  mode: ReadMode,
  encoding: TextEncoding,
): Encoded | undefined {
  if (mode === 'fast') return encodeValue(row[at] as SqlValue, encoding)
  const value = row[at + 1] as SqlValue
  return row[at] === 'text' ? encodeTextBytes(value as Uint8Array, encoding) : encodeValue(value, encoding)
}
