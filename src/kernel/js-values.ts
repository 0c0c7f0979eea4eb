import { base64ToBytes, bytesToBase64 } from './base64.ts'
import { BUFFER_ELEMENT_BYTES, isIntTag, MAX_BIGINT_DIGITS } from './js-forms.ts'
import {
  encodeBytes,
  encodeInt,
  encodeReal,
  encodeText,
  isPlainObject,
  MAX_VALUE_DEPTH,
  sameValue,
  type Encoded,
} from './values.ts'
import { wtf8ToString } from './wtf8.ts'

/**
 * A value of a browser store as its encoding. Carries null, booleans, numbers, bigints, strings, `Date`,
 * `ArrayBuffer` and its views, `undefined`, and arrays and plain objects of these. A safe integer is an
 * INTEGER, as in every other store.
 *
 * `before` is the encoding the value had when it was last agreed on: where JavaScript cannot see a difference
 * (a REAL 1.0 is the number 1, text of broken UTF-8 is some string), an untouched value keeps that form (I10).
 *
 * Throws `RangeError` for what cannot be carried exactly; the message names the kind, never the value.
 */
export function encodeJs(value: unknown, before?: Encoded): Encoded {
  const encoded = encodeAny(value, 0)
  return before === undefined ? encoded : keepForm(encoded, before)
}

/** The value of a valid encoding. Integers outside ±(2^53 − 1) are bigints. */
export function decodeJs(encoded: Encoded): unknown {
  if (encoded === null || typeof encoded !== 'object') return encoded
  if (isList(encoded)) return encoded.map(decodeJs)
  const tag = tagOf(encoded)
  if (tag === null) return decodeObject(encoded)
  const body = encoded[tag] as Encoded
  if (tag === '$object') return decodeObject(body as { readonly [key: string]: Encoded })
  if (tag === '$js') return decodeJsForm(body as readonly string[])
  const text = body as string
  if (tag === '$int') return BigInt(text)
  if (tag === '$real') return Number(text)
  if (tag === '$bytes') return base64ToBytes(text)
  return tag === '$text' ? wtf8ToString(base64ToBytes(text)) : new Date(text)
}

function encodeAny(value: unknown, depth: number): Encoded {
  if (depth > MAX_VALUE_DEPTH) throw new RangeError(`nested deeper than ${MAX_VALUE_DEPTH}`)
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'string') return encodeText(value)
  if (typeof value === 'number') return encodeNumber(value)
  if (typeof value === 'bigint') return encodeBigint(value)
  if (value === undefined) return { $js: ['undefined'] }
  if (typeof value !== 'object') throw new RangeError(`a ${typeof value} cannot be carried`)
  if (Array.isArray(value)) return encodeArray(value, depth)
  const name = className(value)
  if (name === 'Date') return encodeDate(value as Date)
  if (name === 'ArrayBuffer') return encodeBuffer(name, new Uint8Array(value as ArrayBuffer))
  if (ArrayBuffer.isView(value)) {
    return encodeBuffer(name, new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
  }
  return encodeObject(value, depth)
}

function encodeNumber(value: number): Encoded {
  return Number.isSafeInteger(value) && !Object.is(value, -0) ? value : encodeReal(value)
}

function encodeBigint(value: bigint): Encoded {
  if (isIntTag(value)) return encodeInt(value)
  const text = value.toString()
  if (text.length > MAX_BIGINT_DIGITS)
    throw new RangeError(`a bigint of more than ${MAX_BIGINT_DIGITS} digits`)
  return { $js: ['bigint', text] }
}

function encodeArray(values: readonly unknown[], depth: number): Encoded {
  if (Object.keys(values).length !== values.length) throw new RangeError('an array with holes or names')
  return values.map((item) => encodeAny(item, depth + 1))
}

function encodeObject(value: object, depth: number): Encoded {
  if (!isPlainObject(value)) throw new RangeError('an object of a class that cannot be carried')
  const keys = Object.keys(value)
  if (keys.some((key) => key.includes('\0') || !key.isWellFormed()))
    throw new RangeError('an object key is not text')
  const fields = Object.fromEntries(keys.map((key) => [key, encodeAny(value[key], depth + 1)]))
  return keys.some((key) => key.startsWith('$')) ? { $object: fields } : fields
}

/** By its tag, not `instanceof`: values may come from another frame. */
const className = (value: object) => Object.prototype.toString.call(value).slice('[object '.length, -1)

function encodeDate(value: Date): Encoded {
  return { $date: Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString() }
}

function encodeBuffer(name: string, bytes: Uint8Array): Encoded {
  if (name === 'Uint8Array') return encodeBytes(bytes)
  if (!Object.hasOwn(BUFFER_ELEMENT_BYTES, name)) throw new RangeError('a buffer of an unknown class')
  return { $js: [name, bytesToBase64(bytes)] }
}

function decodeObject(fields: { readonly [key: string]: Encoded }): unknown {
  return Object.fromEntries(Object.entries(fields).map(([key, item]) => [key, decodeJs(item)]))
}

function decodeJsForm([name, text]: readonly string[]): unknown {
  if (name === undefined || text === undefined) return undefined
  if (name === 'bigint') return BigInt(text)
  const bytes = base64ToBytes(text)
  if (name === 'ArrayBuffer') return bytes.buffer
  const View = (globalThis as { readonly [name: string]: unknown })[name]
  if (typeof View !== 'function') throw new RangeError('a buffer of a class that this platform lacks')
  return Reflect.construct(View, [bytes.buffer])
}

/** `encoded`, but in the form of `before` wherever JavaScript reads the two as the same value. */
function keepForm(encoded: Encoded, before: Encoded): Encoded {
  if (sameValue(encoded, before)) return before
  if (isList(encoded) && isList(before)) return encoded.map((item, at) => keepItem(item, before[at]))
  const fields = plainFields(encoded)
  const known = plainFields(before)
  if (fields !== null && known !== null) {
    const entries = Object.entries(fields).map(([key, item]) => {
      return [key, keepItem(item, Object.hasOwn(known, key) ? known[key] : undefined)] as const
    })
    const kept = Object.fromEntries(entries)
    return fields === encoded ? kept : { $object: kept }
  }
  if (isList(before) || known !== null) return encoded
  return sameValue(encoded, encodeAny(decodeJs(before), 0)) ? before : encoded
}

const keepItem = (item: Encoded, before: Encoded | undefined) =>
  before === undefined ? item : keepForm(item, before)

const isList = (value: Encoded): value is readonly Encoded[] => Array.isArray(value)

/** The one `$` key of a tagged value. */
function tagOf(value: { readonly [key: string]: Encoded }): string | null {
  for (const key in value) return key.startsWith('$') ? key : null
  return null
}

/** The fields of an encoded plain object, null for any other value. */
function plainFields(value: Encoded): { readonly [key: string]: Encoded } | null {
  if (value === null || typeof value !== 'object' || isList(value)) return null
  const tag = tagOf(value)
  if (tag === null) return value
  return tag === '$object' ? (value['$object'] as { readonly [key: string]: Encoded }) : null
}
