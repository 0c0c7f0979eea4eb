import { MAX_RECORD_ID_CHARS, MAX_SHORT_CHARS, MAX_TEXT_CHARS, MAX_TIME } from '../../protocol/agents.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { readJson } from './json.ts'

/**
 * What may stand in a field of a record. Reading takes anything that another program or device may have put there and
 * answers what fits the contract: a wrong type is null, what is too long is cut. Nothing of that fails.
 */
export type Field = 'ref' | 'short' | 'text' | 'count' | 'time' | 'number' | 'flag' | 'json'

/** Bytes of UTF-8 beyond which JSON is not read: null stands for it. */
const MAX_JSON_BYTES = 32 * 1024 * 1024
/** Of a character in UTF-8. */
const MAX_CHAR_BYTES = 4

/** The field's value in a SELECT: what is too large to be answered is not read at all. */
export function selectField(column: string, field: Field): string {
  const textWithin = (bytes: number, otherwise: string): string =>
    `CASE WHEN typeof(${column}) <> 'text' THEN NULL WHEN octet_length(${column}) <= ${bytes} THEN ${column} ${otherwise} END`
  const cutTo = (chars: number): string =>
    textWithin(chars * MAX_CHAR_BYTES, `ELSE substr(${column}, 1, ${chars})`)
  if (field === 'ref') return textWithin(MAX_RECORD_ID_CHARS * MAX_CHAR_BYTES, '')
  if (field === 'short') return cutTo(MAX_SHORT_CHARS)
  if (field === 'text') return cutTo(MAX_TEXT_CHARS)
  if (field === 'json') return textWithin(MAX_JSON_BYTES, '')
  return `CASE WHEN typeof(${column}) IN ('integer', 'real') THEN ${column} END`
}

/** A selected value as the contract has it; integers come as bigint. */
export function readField(value: unknown, field: Field): unknown {
  switch (field) {
    case 'ref':
      return isRecordId(value) ? value : null
    case 'short':
      return cutText(value, MAX_SHORT_CHARS)
    case 'text':
      return cutText(value, MAX_TEXT_CHARS)
    case 'count':
      return toWhole(value, Number.MAX_SAFE_INTEGER)
    case 'time':
      return toWhole(value, MAX_TIME)
    case 'number':
      return toFinite(value)
    case 'flag':
      return value === 0n ? false : value === 1n ? true : null
    case 'json':
      return typeof value === 'string' ? readJson(value) : null
  }
}

/** A value of an input as it is kept; absent and null are NULL. What a text can't be in UTF-8 becomes U+FFFD. */
export function writeField(value: unknown, field: Field): string | number | bigint | null {
  if (value === undefined || value === null) return null
  if (field === 'json') return JSON.stringify(value)
  if (typeof value === 'boolean') return value ? 1n : 0n
  if (typeof value === 'number')
    return Number.isSafeInteger(value) && field !== 'number' ? BigInt(value) : value
  if (typeof value === 'string') return value.toWellFormed()
  throw new TidemarkError('bad_request', 'a field of the input has a type that the contract does not have')
}

/** The contract counts characters, not units of UTF-16. */
export function isRecordId(value: unknown): value is string {
  if (typeof value !== 'string' || value === '') return false
  return value.length <= MAX_RECORD_ID_CHARS || countChars(value, MAX_RECORD_ID_CHARS) <= MAX_RECORD_ID_CHARS
}

function cutText(value: unknown, chars: number): string | null {
  if (typeof value !== 'string') return null
  if (value.length <= chars || countChars(value, chars) <= chars) return value
  return value.slice(0, unitsOf(value, chars))
}

/** No further than one beyond `enough`. */
function countChars(text: string, enough: number): number {
  let chars = 0
  for (let at = 0; at < text.length && chars <= enough; chars++) at += unitsAt(text, at)
  return chars
}

function unitsOf(text: string, chars: number): number {
  let at = 0
  for (let counted = 0; counted < chars; counted++) at += unitsAt(text, at)
  return at
}

const unitsAt = (text: string, at: number): number => ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1)

function toFinite(value: unknown): number | null {
  const number = typeof value === 'bigint' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : null
}

function toWhole(value: unknown, max: number): number | null {
  const number = toFinite(value)
  return number === null || number < 0 || number > max ? null : Math.trunc(number)
}
