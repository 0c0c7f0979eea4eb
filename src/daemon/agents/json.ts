import { TidemarkError } from '../../kernel/errors.ts'

/** Deeper JSON would end the writing of an answer, which recurses. */
const MAX_DEPTH = 256

/** JSON as any program may have written it; what is none, or is too deep, is the text itself. */
export function readJson(text: string): unknown {
  if (isDeep(text)) return text
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

/** Throws `unprocessable` for what could be kept, but not be answered again. */
export function requireShallow(value: unknown, depth = 0): void {
  if (typeof value !== 'object' || value === null) return
  if (depth >= MAX_DEPTH) {
    throw new TidemarkError('unprocessable', `JSON of a field is nested deeper than ${MAX_DEPTH} levels`)
  }
  for (const inner of Object.values(value)) requireShallow(inner, depth + 1)
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Counts brackets outside of strings. */
function isDeep(text: string): boolean {
  let depth = 0
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (quoted) {
      if (unit === BACKSLASH) at++
      else if (unit === QUOTE) quoted = false
    } else if (unit === QUOTE) quoted = true
    // [ and {, ] and }
    else if (unit === 0x5b || unit === 0x7b) {
      if (++depth > MAX_DEPTH) return true
    } else if (unit === 0x5d || unit === 0x7d) depth--
  }
  return false
}
