import { base64ToBytes, bytesToBase64, isCanonicalBase64 } from './base64.ts'
import { INT64_MAX, INT64_MIN, jsFormFault } from './js-forms.ts'
import { isPlainText, stringToWtf8 } from './wtf8.ts'

/**
 * Typed values in the one form that store, engine, wire and cloud share.
 *
 * An `Encoded` value is plain JSON. Strings, safe integers, fractional numbers, booleans, null, arrays and
 * plain objects stand for themselves; what JSON cannot say exactly is an object with one `$` key:
 *
 *   {"$int":"9007199254740993"}   a 64-bit integer outside ±(2^53 − 1)
 *   {"$real":"1"}                 a double that JSON would turn into an integer: integral, −0, ±Infinity, NaN
 *   {"$bytes":"AAE="}             a blob, base64
 *   {"$text":"/w=="}              text that is not well-formed Unicode or holds NUL, as base64 of its bytes
 *   {"$date":"2026-01-29T14:30:00.000Z"}  a date (browser stores)
 *   {"$object":{…}}               a plain object of which a key starts with `$`
 *   {"$js":["bigint","7"]}        what only JavaScript has (`kernel/js-forms.ts`)
 *
 * Every value has exactly one encoding, so that equality of values is equality of encodings (I10). A plain
 * integral number is an INTEGER; REAL 1.0 is `{"$real":"1"}`. The engine and the cloud never decode.
 */
export type Encoded =
  | null
  | boolean
  | number
  | string
  | readonly Encoded[]
  | { readonly [key: string]: Encoded }

/** Column name → value. */
export type Fields = { readonly [column: string]: Encoded }

/** Sets a property, one called `__proto__` too: an assignment would lose it. */
export function setOwn<T>(object: { [name: string]: T }, name: string, value: T): void {
  if (name !== '__proto__') object[name] = value
  else Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true })
}

/** True when two encodings stand for the same value, bit for bit. */
export function sameValue(a: Encoded | undefined, b: Encoded | undefined): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (!isArray(a) && !isArray(b)) return sameFields(a, b)
  if (!isArray(a) || !isArray(b) || a.length !== b.length) return false
  return a.every((item, at) => sameValue(item, b[at]))
}

/** True when both sides have the same columns with the same values. */
export function sameFields(a: Fields, b: Fields): boolean {
  const columns = Object.keys(a)
  if (columns.length !== Object.keys(b).length) return false
  for (const column of columns) {
    if (!Object.hasOwn(b, column) || !sameValue(a[column], b[column])) return false
  }
  return true
}

/** JSON with object keys sorted by code unit: the text that hashes and keys are made from. */
export function canonicalJson(value: Encoded): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const entries = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key] as Encoded)}`)
  return `{${entries.join(',')}}`
}

const isArray = (value: Encoded): value is readonly Encoded[] => Array.isArray(value)

/** Encodes a 64-bit integer. Throws `RangeError` outside int64. */
export function encodeInt(value: bigint): Encoded {
  if (value >= -9007199254740991n && value <= 9007199254740991n) return Number(value)
  if (value < INT64_MIN || value > INT64_MAX) throw new RangeError('integer outside 64 bits')
  return { $int: value.toString() }
}

/** Encodes a double. Integral doubles keep their type: 1.0 is not 1. */
export function encodeReal(value: number): Encoded {
  if (!Number.isInteger(value)) return Number.isFinite(value) ? value : { $real: String(value) }
  return { $real: Object.is(value, -0) ? '-0' : String(value) }
}

/** Encodes text; well-formed text without NUL stands for itself. */
export function encodeText(value: string): Encoded {
  if (!value.includes('\0') && value.isWellFormed()) return value
  return { $text: bytesToBase64(stringToWtf8(value)) }
}

/** Encodes text given as its bytes: UTF-8 as a rule, but SQLite takes and gives back any bytes as text. */
export function encodeTextBytes(bytes: Uint8Array): Encoded {
  return isPlainText(bytes) ? UTF8.decode(bytes) : { $text: bytesToBase64(bytes) }
}

const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** Encodes a blob. */
export function encodeBytes(value: Uint8Array): Encoded {
  return { $bytes: bytesToBase64(value) }
}

const TAGS = new Set(['$int', '$real', '$bytes', '$text', '$date', '$object', '$js'])
/** Nesting past which a value is refused: deep JSON costs stack in every reader. */
export const MAX_VALUE_DEPTH = 32

/**
 * What is wrong with an encoding that came from outside, or null when it is canonical.
 * The text names the rule, never the value.
 */
export function encodingFault(value: unknown, depth = 0): string | null {
  if (depth > MAX_VALUE_DEPTH) return `nested deeper than ${MAX_VALUE_DEPTH}`
  if (value === null || typeof value === 'boolean') return null
  if (typeof value === 'string') return textFault(value)
  if (typeof value === 'number') return numberFault(value)
  if (typeof value !== 'object') return 'not a JSON value'
  if (Array.isArray(value)) return firstFault(value, depth)
  if (!isPlainObject(value)) return 'not a JSON value'
  const keys = Object.keys(value)
  if (keys.some((key) => textFault(key) !== null)) return 'a key is not well-formed text'
  const [only] = keys
  if (only !== undefined && keys.some((key) => key.startsWith('$'))) {
    if (keys.length !== 1 || !TAGS.has(only)) return 'an object key starts with $ (use {"$object":…})'
    return tagFault(only, value[only], depth)
  }
  return firstFault(Object.values(value), depth)
}

/** True for objects as literals and `JSON.parse` make them; a `Date` or a `Map` is none. */
export function isPlainObject(value: object): value is { readonly [key: string]: unknown } {
  const prototype: unknown = Object.getPrototypeOf(value)
  // Not compared with `Object.prototype`: each frame of a browser has its own.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function firstFault(values: readonly unknown[], depth: number): string | null {
  for (const item of values) {
    const fault = encodingFault(item, depth + 1)
    if (fault !== null) return fault
  }
  return null
}

function textFault(value: string): string | null {
  if (value.includes('\0')) return 'NUL in plain text (use {"$text":…})'
  return value.isWellFormed() ? null : 'a lone surrogate in plain text (use {"$text":…})'
}

function numberFault(value: number): string | null {
  if (!Number.isFinite(value) || Object.is(value, -0))
    return 'a number that JSON cannot carry (use {"$real":…})'
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    return 'an integer past 2^53 (use {"$int":…} or {"$real":…})'
  return null
}

function tagFault(tag: string, body: unknown, depth: number): string | null {
  if (tag === '$object') {
    if (typeof body !== 'object' || body === null || !isPlainObject(body)) return '$object holds no object'
    if (!Object.keys(body).some((key) => key.startsWith('$'))) return '$object without a key that needs it'
    if (Object.keys(body).some((key) => textFault(key) !== null)) return 'a key is not well-formed text'
    return firstFault(Object.values(body), depth)
  }
  if (tag === '$js') return jsFormFault(body)
  if (typeof body !== 'string') return `${tag} holds no string`
  if (tag === '$int') return intFault(body)
  if (tag === '$real') return realFault(body)
  if (tag === '$date') return isCanonicalDate(body) ? null : '$date is not an ISO instant in UTC'
  if (!isCanonicalBase64(body)) return `${tag} is not canonical base64`
  if (tag === '$text' && isPlainText(base64ToBytes(body))) return '$text holds text that is plain'
  return null
}

function intFault(body: string): string | null {
  if (!/^-?[1-9][0-9]{15,18}$/.test(body)) return '$int is not a canonical 64-bit integer outside ±2^53'
  const int = BigInt(body)
  if (int < INT64_MIN || int > INT64_MAX) return '$int is outside 64 bits'
  return typeof encodeInt(int) === 'number' ? '$int holds a safe integer' : null
}

function realFault(body: string): string | null {
  const real = body === '-0' ? -0 : Number(body)
  const encoded = encodeReal(real)
  const canonical = typeof encoded === 'object' && encoded !== null && (encoded as Fields)['$real'] === body
  return canonical ? null : '$real is not the canonical form of an integral or non-finite double'
}

function isCanonicalDate(body: string): boolean {
  if (body === 'Invalid Date') return true
  const time = Date.parse(body)
  return Number.isFinite(time) && new Date(time).toISOString() === body
}
