import { canonicalJson, encodeInt, type Encoded } from './values.ts'

/** Collations that fold a key. Any other collation makes a table unfit for sync unless its hook folds. */
export type Collation = 'BINARY' | 'NOCASE' | 'RTRIM'

/** Bytes of UTF-8 past which a key cannot be carried; the row is held with a reason. */
export const MAX_KEY_BYTES = 1_024

/**
 * The canonical text of a key: a JSON array of the key values, folded as SQLite compares them, so that two
 * spellings of one key are one text. Numbers: 1, 1.0 and −0 meet. NOCASE folds ASCII, RTRIM drops trailing
 * spaces. The spelling itself travels as data. Throws `RangeError` when a value is null.
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
  const real = (value as { readonly [key: string]: Encoded })['$real']
  return typeof real === 'string' ? foldReal(real, value) : value
}

function foldReal(text: string, value: Encoded): Encoded {
  if (text === '-0') return 0
  const real = Number(text)
  if (!Number.isFinite(real) || real < -(2 ** 63) || real >= 2 ** 63) return value
  return encodeInt(BigInt(real))
}

function foldText(text: string, collation: Collation): Encoded {
  if (collation === 'NOCASE') return text.replace(/[A-Z]+/g, (run) => run.toLowerCase())
  return collation === 'RTRIM' ? text.replace(/ +$/, '') : text
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
