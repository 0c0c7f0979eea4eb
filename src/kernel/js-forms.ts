import { base64ToBytes, isCanonicalBase64 } from './base64.ts'

/**
 * Values of JavaScript that have no other encoding: `{"$js":["undefined"]}`, `{"$js":["bigint","7"]}` (one
 * that `$int` does not carry) and `{"$js":["Float32Array","AACAPw=="]}` (a buffer other than a `Uint8Array`,
 * as its little-endian bytes).
 */

/** Bytes of one element, by the name of the buffer's class. */
export const BUFFER_ELEMENT_BYTES: { readonly [name: string]: number } = {
  ArrayBuffer: 1,
  DataView: 1,
  Int8Array: 1,
  Uint8ClampedArray: 1,
  Int16Array: 2,
  Uint16Array: 2,
  Float16Array: 2,
  Int32Array: 4,
  Uint32Array: 4,
  Float32Array: 4,
  Float64Array: 8,
  BigInt64Array: 8,
  BigUint64Array: 8,
}

/** Digits past which a bigint is refused: to read one costs the square of its length. */
export const MAX_BIGINT_DIGITS = 1_000

/** What is wrong with the body of a `$js` tag, or null. */
export function jsFormFault(body: unknown): string | null {
  if (!Array.isArray(body)) return '$js holds no array'
  const [name, text] = body as readonly unknown[]
  if (name === 'undefined') return body.length === 1 ? null : '$js undefined holds more'
  if (body.length !== 2 || typeof name !== 'string' || typeof text !== 'string')
    return '$js is not a pair of texts'
  if (name === 'bigint') return bigintFault(text)
  const size = Object.hasOwn(BUFFER_ELEMENT_BYTES, name) ? BUFFER_ELEMENT_BYTES[name] : undefined
  if (size === undefined) return '$js names no known kind'
  if (!isCanonicalBase64(text)) return '$js is not canonical base64'
  return base64ToBytes(text).length % size === 0 ? null : '$js holds part of an element'
}

function bigintFault(text: string): string | null {
  if (!/^(?:0|-?[1-9][0-9]*)$/.test(text)) return '$js bigint is not canonical'
  if (text.length > MAX_BIGINT_DIGITS) return `$js bigint has more than ${MAX_BIGINT_DIGITS} digits`
  return isIntTag(BigInt(text)) ? '$js bigint holds what $int carries' : null
}

/** True for the integers that `$int` carries: 64 bits, and outside ±(2^53 − 1). */
export function isIntTag(value: bigint): boolean {
  const isSafe = value >= -9007199254740991n && value <= 9007199254740991n
  return !isSafe && value >= INT64_MIN && value <= INT64_MAX
}

export const INT64_MIN = -(2n ** 63n)
export const INT64_MAX = 2n ** 63n - 1n
