import { isUtf8 } from 'node:buffer'

import { TidemarkError } from '../../kernel/errors.ts'
import { MAX_JSON_DEPTH, MAX_JSON_PARTS } from './limits.ts'

/** Texts shorter than this cannot cost anything, whatever they hold. */
const HARMLESS_CHARS = 16_384

/**
 * The text of a request body. Throws `bad_request` when it is not UTF-8: a replaced character would be a
 * silently changed value (I10).
 */
export function bodyText(body: Uint8Array | string | undefined): string {
  if (body === undefined) return ''
  if (typeof body === 'string') return body
  if (!isUtf8(body)) throw new TidemarkError('bad_request', 'The body is not UTF-8')
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')
}

/** JSON from outside, its depth and size bounded before anything is built. Throws `bad_request`. */
export function parseJson(
  text: string,
  reviver?: (this: unknown, key: string, value: unknown, context?: ParseContext) => unknown,
): unknown {
  if (text === '') throw new TidemarkError('bad_request', 'The body is empty')
  if (text.length > HARMLESS_CHARS) checkStructure(text)
  try {
    return JSON.parse(text, reviver) as unknown
  } catch {
    // The engine's own message quotes the text, which may be a row value.
    throw new TidemarkError('bad_request', 'The body is not JSON')
  }
}

/** What `JSON.parse` tells its reviver about a primitive: the text it was. */
export interface ParseContext {
  readonly source?: string
}

function checkStructure(text: string): void {
  let depth = 0
  let parts = 0
  let inText = false
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at)
    if (inText) {
      if (char === BACKSLASH) at++
      else if (char === QUOTE) inText = false
    } else if (char === QUOTE) inText = true
    else if (char === COMMA) parts++
    else if (char === BRACKET || char === BRACE) {
      parts++
      if (++depth > MAX_JSON_DEPTH)
        throw new TidemarkError('bad_request', `The body is nested deeper than ${MAX_JSON_DEPTH}`)
    } else if (char === BRACKET_END || char === BRACE_END) depth--
  }
  if (parts > MAX_JSON_PARTS) {
    throw new TidemarkError('payload_too_large', `The body has more than ${MAX_JSON_PARTS} elements`)
  }
}

const QUOTE = 0x22
const COMMA = 0x2c
const BRACKET = 0x5b
const BACKSLASH = 0x5c
const BRACKET_END = 0x5d
const BRACE = 0x7b
const BRACE_END = 0x7d
