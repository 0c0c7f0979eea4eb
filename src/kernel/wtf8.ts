/**
 * UTF-8 that carries a lone surrogate as the three bytes its code point would have, so that every string
 * of JavaScript has bytes of its own (WTF-8, https://simonsapin.github.io/wtf-8/).
 */
export function stringToWtf8(value: string): Uint8Array {
  if (value.isWellFormed()) return ENCODER.encode(value)
  const bytes = new Uint8Array(value.length * 3)
  let end = 0
  for (const char of value) {
    const point = char.codePointAt(0) as number
    if (point >= 0xd800 && point < 0xe000) {
      bytes[end++] = 0xe0 | (point >> 12)
      bytes[end++] = 0x80 | ((point >> 6) & 63)
      bytes[end++] = 0x80 | (point & 63)
    } else end += ENCODER.encodeInto(char, bytes.subarray(end)).written
  }
  return bytes.slice(0, end)
}

/**
 * The string of the bytes. What is neither UTF-8 nor a lone surrogate has no string: it shows as U+FFFD, and
 * `stringToWtf8` of the answer is then not the same bytes.
 */
export function wtf8ToString(bytes: Uint8Array): string {
  let text = ''
  let from = 0
  for (let at = 0; at + 2 < bytes.length; at++) {
    const unit = surrogateAt(bytes, at)
    if (unit === null) continue
    text += DECODER.decode(bytes.subarray(from, at)) + String.fromCharCode(unit)
    at += 2
    from = at + 1
  }
  return text + DECODER.decode(bytes.subarray(from))
}

/** True when the bytes are UTF-8 without NUL: text that stands for itself. */
export function isPlainText(bytes: Uint8Array): boolean {
  if (bytes.includes(0)) return false
  try {
    STRICT_DECODER.decode(bytes)
    return true
  } catch {
    return false
  }
}

const ENCODER = new TextEncoder()
const DECODER = new TextDecoder('utf-8', { ignoreBOM: true })
const STRICT_DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** ED A0–BF 80–BF: bytes that UTF-8 leaves to surrogates, so they are never part of another character. */
function surrogateAt(bytes: Uint8Array, at: number): number | null {
  if (bytes[at] !== 0xed) return null
  const second = bytes[at + 1] as number
  const third = bytes[at + 2] as number
  if (second < 0xa0 || second > 0xbf || third < 0x80 || third > 0xbf) return null
  return 0xd000 | ((second & 0x3f) << 6) | (third & 0x3f)
}
