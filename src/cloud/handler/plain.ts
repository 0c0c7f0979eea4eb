import { encodeInt, encodeReal, encodeText, MAX_VALUE_DEPTH, type Encoded } from '../../kernel/values.ts'
import { parseJson } from '../../http/json.ts'

/** Digits from which a JSON number may not fit a double. */
const LONG_NUMBER = /\d{16}/

/** JSON of people: whole numbers that a double would change come as bigint (I10). Throws `bad_request`. */
export function parsePlainJson(text: string): unknown {
  if (!LONG_NUMBER.test(text)) return parseJson(text)
  return parseJson(text, (_key, value, context) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
    const source = context?.source ?? ''
    return /^-?\d{1,40}$/.test(source) ? BigInt(source) : value
  })
}

/**
 * A plain JSON value as its encoding: 1 is an INTEGER, 1.5 a REAL, text, arrays and objects are themselves.
 * Throws `RangeError` when it is nested too deep.
 */
export function plainToEncoded(value: unknown, depth = 0): Encoded {
  if (depth > MAX_VALUE_DEPTH) throw new RangeError(`a value is nested deeper than ${MAX_VALUE_DEPTH}`)
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'string') return encodeText(value)
  if (typeof value === 'number') return encodeNumber(value)
  if (typeof value === 'bigint') return encodeBigInt(value)
  if (Array.isArray(value)) return value.map((item) => plainToEncoded(item, depth + 1))
  const entries = Object.entries(value as object)
  const escaped = entries.some(([key]) => key.startsWith('$'))
  const encoded = Object.fromEntries(entries.map(([key, item]) => [key, plainToEncoded(item, depth + 1)]))
  return escaped ? { $object: encoded } : encoded
}

function encodeNumber(value: number): Encoded {
  return Number.isSafeInteger(value) && !Object.is(value, -0) ? value : encodeReal(value)
}

function encodeBigInt(value: bigint): Encoded {
  return BigInt.asIntN(64, value) === value ? encodeInt(value) : encodeReal(Number(value))
}
