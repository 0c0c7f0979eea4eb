/** Bytes past which the table is faster than the platform's `btoa` through a binary string. */
const SHORT_BYTES = 4_096
const ALPHABET = new TextEncoder().encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
const PAD = 61
const ASCII = new TextDecoder()

/** Base64 with padding; platform-neutral. */
export function bytesToBase64(bytes: Uint8Array): string {
  if (bytes.length > SHORT_BYTES) return longToBase64(bytes)
  return btoa(String.fromCharCode.apply(null, bytes as unknown as number[]))
}

function longToBase64(bytes: Uint8Array): string {
  const out = new Uint8Array(Math.ceil(bytes.length / 3) * 4)
  const digit = (bits: number) => ALPHABET[bits & 63] as number
  let end = 0
  for (let at = 0; at < bytes.length; at += 3) {
    const bits = ((bytes[at] as number) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
    out[end++] = digit(bits >> 18)
    out[end++] = digit(bits >> 12)
    out[end++] = digit(bits >> 6)
    out[end++] = digit(bits)
  }
  const missing = (3 - (bytes.length % 3)) % 3
  if (missing > 0) out.fill(PAD, end - missing)
  return ASCII.decode(out)
}

/** The reverse of `bytesToBase64`. Throws when the text is not base64. */
export function base64ToBytes(text: string): Uint8Array {
  const binary = atob(text)
  const bytes = new Uint8Array(binary.length)
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at)
  return bytes
}

/**
 * True when the text is what `bytesToBase64` makes: the one spelling of its bytes. Without a repeated group,
 * since those overflow the stack of regular expressions on a text of megabytes.
 */
export function isCanonicalBase64(text: string): boolean {
  if (text.length % 4 !== 0) return false
  const pads = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const digits = pads === 0 ? text : text.slice(0, -pads)
  if (/[^A-Za-z0-9+/]/.test(digits)) return false
  // The bits that padding cuts off the last digit are zero.
  return pads === 0 || (pads === 2 ? /[AQgw]$/ : /[AEIMQUYcgkosw048]$/).test(digits.slice(-1))
}
