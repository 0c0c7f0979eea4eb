import type { Encoded } from '../../../kernel/values.ts'
import type { Affinity } from '../shape/shape.ts'

/**
 * Text that a column of numbers stores as one: a whole literal, with SQLite's own white space around it. No more than
 * that: a day such as `2024-01-05` stays text, and where it is a key its row would be parked everywhere.
 */
const NUMBER = /^[\t-\r ]*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[\t-\r ]*$/

/**
 * True when a column of this affinity stores the value as it is. Where another replica declared another type, it
 * may not: such a row is read back, so that its image is what really stands there and is no edit.
 */
export function isKept(value: Encoded, affinity: Affinity): boolean {
  if (typeof value === 'string') return affinity === 'TEXT' || affinity === 'BLOB' || !NUMBER.test(value)
  if (value === null || affinity === 'BLOB') return true
  if (typeof value === 'number') {
    return affinity === 'TEXT' ? false : affinity !== 'REAL' || !Number.isInteger(value)
  }
  if (typeof value !== 'object' || Array.isArray(value) || '$bytes' in value) return true
  // A real integer becomes an INTEGER under INTEGER and NUMERIC; an integer a REAL under REAL. Such a column keeps
  // whole numbers as integers on the disk, and those have no −0.
  if ('$real' in value) return affinity === 'REAL' && value['$real'] !== '-0'
  if ('$int' in value) return affinity === 'INTEGER' || affinity === 'NUMERIC'
  return affinity === 'TEXT'
}

/** True when a key value stays the same key: a number may change its type, but text and numbers never meet. */
export function isSameKeyValue(value: Encoded, affinity: Affinity): boolean {
  if (typeof value === 'string') return affinity === 'TEXT' || affinity === 'BLOB' || !NUMBER.test(value)
  if (affinity !== 'TEXT') return true
  return (
    typeof value !== 'number' &&
    (typeof value !== 'object' || value === null || !('$int' in value || '$real' in value))
  )
}
