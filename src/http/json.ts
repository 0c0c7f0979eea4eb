import { isUtf8 } from 'node:buffer'

import { TidemarkError } from '../kernel/errors.ts'
import { MAX_JSON_DEPTH, MAX_JSON_PARTS } from './limits.ts'

/** Bodies shorter than this cannot cost anything, whatever they hold. */
export const HARMLESS_BYTES = 65_536

/** What `JSON.parse` tells its reviver about a primitive: the text it was. */
export interface ParseContext {
  readonly source?: string
}
export type Reviver = (this: unknown, key: string, value: unknown, context?: ParseContext) => unknown

/**
 * The text of a request body, its depth and size bounded before anything is built of it, where it has more bytes than
 * `harmless`. Throws `bad_request` when it is not UTF-8: a replaced character would be a silently changed value (I10).
 */
export function bodyText(body: Uint8Array | string | undefined, harmless = HARMLESS_BYTES): string {
  if (body === undefined) return ''
  const bytes =
    typeof body === 'string' ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (bytes.length > harmless) checkStructure(bytes)
  if (typeof body === 'string') return body
  if (!isUtf8(bytes)) throw new TidemarkError('bad_request', 'The body is not UTF-8')
  return bytes.toString('utf8')
}

/** Throws `bad_request`. */
export function parseJson(text: string, reviver?: Reviver): unknown {
  if (text === '') throw new TidemarkError('bad_request', 'The body is empty')
  try {
    return JSON.parse(text, reviver) as unknown
  } catch {
    // The engine's own message quotes the text, which may be a row value.
    throw new TidemarkError('bad_request', 'The body is not JSON')
  }
}

const QUOTE = 1
const COMMA = 2
const OPENING = 3
const CLOSING = 4
const BACKSLASH = 0x5c
const KINDS = new Uint8Array(256)
for (const [chars, kind] of [
  ['"', QUOTE],
  [',', COMMA],
  ['[{', OPENING],
  [']}', CLOSING],
] as const) {
  for (const char of chars) KINDS[char.charCodeAt(0)] = kind
}

/** A look-up per byte: half the time of comparing, and every push pays it. */
function checkStructure(bytes: Uint8Array): void {
  let depth = 0
  let parts = 0
  for (let at = 0; at < bytes.length; at++) {
    const kind = KINDS[bytes[at] as number]
    if (kind === 0) continue
    if (kind === QUOTE) at = endOfText(bytes, at)
    else if (kind === CLOSING) depth--
    else {
      parts++
      if (kind === OPENING && ++depth > MAX_JSON_DEPTH) {
        throw new TidemarkError('bad_request', `The body is nested deeper than ${MAX_JSON_DEPTH}`)
      }
    }
  }
  if (parts > MAX_JSON_PARTS)
    throw new TidemarkError('payload_too_large', `The body has more than ${MAX_JSON_PARTS} elements`)
}

/** Where the text that opens at `start` closes. */
function endOfText(bytes: Uint8Array, start: number): number {
  for (let at = start + 1; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === 0x22) return at
    if (byte === BACKSLASH) at++
  }
  return bytes.length
}
