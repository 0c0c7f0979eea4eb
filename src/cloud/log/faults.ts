import type { ErrorCode } from '../../kernel/errors.ts'
import { MAX_KEY_BYTES, utf8Bytes } from '../../kernel/keys.ts'
import { encodingFault } from '../../kernel/values.ts'
import { MAX_COLUMNS, MAX_ROW_BYTES } from '../../protocol/limits.ts'
import type { Change } from '../../protocol/records.ts'

/** Why one row is refused for good, while the others go on (I9). Names the rule, never a value. */
export interface Fault {
  readonly code: ErrorCode
  readonly message: string
}

const fault = (message: string, code: ErrorCode = 'unprocessable'): Fault => ({ code, message })

/** What is wrong with a change, whatever the cloud holds; null when nothing is. */
export function changeFault(change: Change): Fault | null {
  const place = placeFault(change)
  if (place !== null) return place
  if (change.op === 'delete') return null
  if (change.fields === undefined) return fault('a put without fields')
  return fieldsFault(change.fields)
}

/** What is wrong with the texts by which rows and holders of unique values are looked up; null when nothing is. */
export function placeFault({ table, key, claims }: Pick<Change, 'table' | 'key' | 'claims'>): Fault | null {
  const found = tableFault(table) ?? keyFault(key)
  if (found !== null || claims === undefined) return found
  for (const [index, value] of Object.entries(claims)) {
    if (!isPlain(index) || (value !== null && !isPlain(value)))
      return fault('a claim is no well-formed text within the bounds of claims')
  }
  return null
}

/** What is wrong with the name of a table; null when nothing is. */
export function tableFault(table: string): Fault | null {
  return isPlainName(table) ? null : fault('the name of the table is not well-formed text')
}

/** What is wrong with a key text; null when nothing is. */
export function keyFault(key: string): Fault | null {
  if (!isPlain(key)) return fault('the key is not well-formed text')
  if (!fits(key, MAX_KEY_BYTES)) return fault(`the key is longer than ${MAX_KEY_BYTES} bytes`)
  return null
}

/** What is wrong with names and values; null when nothing is. */
export function fieldsFault(fields: { readonly [column: string]: unknown }): Fault | null {
  const columns = Object.keys(fields)
  if (columns.length > MAX_COLUMNS) return fault(`the row has more than ${MAX_COLUMNS} columns`)
  for (const column of columns) {
    if (!isPlainName(column)) return fault('the name of a column is not well-formed text')
    const found = encodingFault(fields[column])
    if (found !== null) return fault(`column ${JSON.stringify(column)}: ${found}`)
  }
  return null
}

/** `text` is the JSON of a row's fields. */
export function sizeFault(text: string): Fault | null {
  if (fits(text, MAX_ROW_BYTES)) return null
  return fault(`the row is larger than ${MAX_ROW_BYTES} bytes`, 'payload_too_large')
}

/** Neither NUL nor a lone surrogate: storage keeps such text as it is. */
const isPlain = (text: string): boolean => !text.includes('\0') && text.isWellFormed()

/** Names that were looked at before: the same few come with every row. */
const plainNames = new Set<string>()
const MAX_PLAIN_NAMES = 4_096
const MAX_PLAIN_NAME_CHARS = 64

function isPlainName(name: string): boolean {
  if (plainNames.has(name)) return true
  if (!isPlain(name)) return false
  if (name.length <= MAX_PLAIN_NAME_CHARS) {
    if (plainNames.size >= MAX_PLAIN_NAMES) plainNames.clear()
    plainNames.add(name)
  }
  return true
}

/** UTF-8 takes one to three bytes for each unit, so most texts need no count. */
function fits(text: string, bytes: number): boolean {
  if (text.length > bytes) return false
  return text.length * 3 <= bytes || utf8Bytes(text) <= bytes
}
