import type { Encoded, Fields } from '../../../kernel/values.ts'
import { MAX_ROW_BYTES } from '../../../protocol/limits.ts'
import type { SqlValue } from '../driver/driver.ts'

/**
 * Values past this are not read, only measured: as base64, and as JSON once more, they must stay below what a string
 * of JavaScript can hold. Their rows are far too large to be carried, so that nobody misses the values.
 */
export const MAX_READ_BYTES = 8 * MAX_ROW_BYTES

/**
 * What stands in a row for a value that is not read. It equals no value that was ever agreed, and SQLite has no such
 * value: a row that is written back with it is refused as a whole, never cut short.
 */
const TAG = '$large'

/**
 * The stand-in for what a driver read; null for a value to be read as usual. `type` is SQLite's own where the size may
 * have been read instead of the value.
 */
export function largeValue(value: SqlValue, type?: SqlValue): Encoded | null {
  if (typeof value === 'string') return value.length > MAX_READ_BYTES ? standIn(value.length) : null
  if (value === null || typeof value === 'number') return null
  if (typeof value === 'bigint') return type === 'text' || type === 'blob' ? standIn(Number(value)) : null
  return value.byteLength > MAX_READ_BYTES ? standIn(value.byteLength) : null
}

const standIn = (bytes: number): Encoded => ({ [TAG]: String(bytes) })

/** The bytes that a stand-in stands for; 0 for any other value. */
export function largeBytes(value: Encoded): number {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 0
  const bytes = (value as Fields)[TAG]
  return typeof bytes === 'string' ? Number(bytes) : 0
}

/** True when the row has a value that was not read. */
export const hasLarge = (fields: Fields | null): boolean =>
  fields !== null && Object.values(fields).some((value) => largeBytes(value) > 0)
