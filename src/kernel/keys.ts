import { base64ToBytes } from './base64.ts'
import { canonicalJson, encodeInt, encodeTextBytes, type Encoded } from './values.ts'

/** Collations that fold a key. Any other collation makes a table unfit for sync unless its hook folds. */
export type Collation = 'BINARY' | 'NOCASE' | 'RTRIM'

/** Bytes of UTF-8 past which a key cannot be carried; the row is held with a reason. */
export const MAX_KEY_BYTES = 1_024

/**
 * The canonical text of a key: a JSON array of the key values, folded as SQLite compares them, so that two
 * spellings of one key are one text. Numbers: 1 and 1.0 meet, 0 and −0 too. NOCASE folds ASCII up to the first
 * NUL and compares only the length of what follows it, RTRIM drops trailing spaces. The spelling itself travels as data. Throws `RangeError` when a value is null.
 */
export function keyOf(values: readonly Encoded[], collations: readonly Collation[] = []): string {
  return canonicalJson(values.map((value, at) => foldKeyValue(value, collations[at] ?? 'BINARY')))
}

/** The values of a key text, folded. */
export function keyValues(key: string): readonly Encoded[] {
  return JSON.parse(key) as readonly Encoded[]
}

/** One value of a key, or of a unique claim, as its collation compares it. */
export function foldKeyValue(value: Encoded, collation: Collation): Encoded {
  if (value === null) throw new RangeError('a key value is null')
  if (typeof value === 'string') return foldText(value, collation)
  if (typeof value !== 'object' || Array.isArray(value)) return value
  const { $real: real, $text: text } = value as { readonly [key: string]: Encoded }
  if (typeof real === 'string') return foldReal(real, value)
  return typeof text === 'string' && collation !== 'BINARY'
    ? foldTextBytes(base64ToBytes(text), collation)
    : value
}

/** SQLite compares an INTEGER and a REAL exactly, so a real is the integer it equals, where there is one. */
function foldReal(text: string, value: Encoded): Encoded {
  const real = Number(text)
  if (!Number.isInteger(real) || real < -(2 ** 63) || real >= 2 ** 63) return value
  return encodeInt(BigInt(real))
}

function foldText(text: string, collation: Collation): string {
  if (collation === 'NOCASE') return text.replace(/[A-Z]+/g, (run) => run.toLowerCase())
  return collation === 'RTRIM'
    ? text.slice(
        0,
        lengthWithoutSpaces(text.length, (at) => text.charCodeAt(at)),
      )
    : text
}

/** Text that holds NUL or is not UTF-8; both collations of SQLite work on bytes. */
function foldTextBytes(bytes: Uint8Array, collation: 'NOCASE' | 'RTRIM'): Encoded {
  if (collation === 'RTRIM') {
    return encodeTextBytes(
      bytes.subarray(
        0,
        lengthWithoutSpaces(bytes.length, (at) => bytes[at]),
      ),
    )
  }
  const nul = bytes.indexOf(0)
  const folded = bytes.map((byte) => (byte >= UPPER_A && byte <= UPPER_Z ? byte + 32 : byte))
  return encodeTextBytes(nul < 0 ? folded : folded.fill(0, nul))
}

const SPACE = 32
const UPPER_A = 65
const UPPER_Z = 90

function lengthWithoutSpaces(length: number, unitAt: (at: number) => number | undefined): number {
  let end = length
  while (end > 0 && unitAt(end - 1) === SPACE) end--
  return end
}

/** Bytes of a text in UTF-8. */
export function utf8Bytes(text: string): number {
  let bytes = text.length
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit < 0x80) continue
    bytes += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2
  }
  return bytes
}
