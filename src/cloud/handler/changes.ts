import { TidemarkError } from '../../kernel/errors.ts'
import { MAX_KEY_BYTES, utf8Bytes } from '../../kernel/keys.ts'
import { encodingFault } from '../../kernel/values.ts'
import { MAX_CLAIM_CHARS, MAX_COLUMNS, MAX_NAME_CHARS, MAX_ROW_BYTES } from '../../protocol/limits.ts'
import type { Change } from '../../protocol/records.ts'
import { isCleanText } from './check.ts'

/**
 * What a schema cannot say about changes. A fault refuses the whole request with `unprocessable` and its place:
 * the sender halves until the faulty row is alone (I9). Nothing that gets past here can be refused by a storage
 * or by another replica for its form (I10).
 */
export function checkChanges(changes: readonly Change[], bodyBytes: number): void {
  const weigh = bodyBytes > MAX_ROW_BYTES
  for (const [index, change] of changes.entries()) {
    const fault = changeFault(change)
    if (fault !== null) {
      throw new TidemarkError('unprocessable', `Change ${index} cannot be taken: ${fault}`, {
        details: { change: index, rule: fault },
      })
    }
    if (weigh && utf8Bytes(JSON.stringify(change.fields ?? {})) > MAX_ROW_BYTES) {
      throw new TidemarkError('payload_too_large', `Change ${index} is larger than ${MAX_ROW_BYTES} bytes`, {
        details: { change: index },
      })
    }
  }
}

function changeFault(change: Change): string | null {
  if (!isCleanText(change.table)) return 'the table name holds NUL or a lone surrogate'
  if (!isCleanText(change.key)) return 'the key holds NUL or a lone surrogate'
  if (utf8Bytes(change.key) > MAX_KEY_BYTES) return `the key is longer than ${MAX_KEY_BYTES} bytes`
  if (change.op === 'delete' && change.fields !== undefined) return 'a delete carries no fields'
  if (change.op === 'put' && change.fields === undefined) return 'a put carries fields'
  return (
    (change.fields === undefined ? null : fieldsFault(change.fields)) ??
    (change.claims === undefined ? null : claimsFault(change.claims))
  )
}

/** What is wrong with a row's columns and values, or null; never names a value. */
export function fieldsFault(fields: { readonly [column: string]: unknown }): string | null {
  const columns = Object.keys(fields)
  if (columns.length > MAX_COLUMNS) return `more than ${MAX_COLUMNS} columns`
  for (const column of columns) {
    if (column.length > MAX_NAME_CHARS || !isCleanText(column))
      return 'a column name is too long, or holds NUL or a lone surrogate'
    const fault = encodingFault(fields[column])
    if (fault !== null) return `a value is ${fault}`
  }
  return null
}

/** Compiled record schemas pass over names with a line feed, so claims are looked at here. */
function claimsFault(claims: { readonly [index: string]: unknown }): string | null {
  for (const [index, value] of Object.entries(claims)) {
    if (index.length === 0 || index.length > MAX_NAME_CHARS || !isCleanText(index))
      return 'a claim has no usable name'
    if (value === null) continue
    if (typeof value !== 'string' || value.length > 2 * MAX_CLAIM_CHARS || !isCleanText(value))
      return 'a claim is no text that can be kept'
  }
  return null
}
