import type { TSchema } from 'typebox'

import { readShape } from '../../http/openapi.ts'
import { TidemarkError } from '../../kernel/errors.ts'

const DIGITS = /^(?:0|[1-9]\d{0,15})$/
/** A name that may be repeated in an error: one that could be a secret or a value is not. */
const PLAIN_NAME = /^[a-z_]{1,32}$/

/**
 * Reads the query of an address as its operation has it, each name once: whole numbers out of decimal digits, all else
 * as text. The schema has the last word. Throws `bad_request`.
 */
export function createQueryReader(schema: TSchema | undefined): (url: string) => { [name: string]: unknown } {
  const properties = schema === undefined ? {} : (readShape(schema).properties ?? {})
  const kinds = new Map(Object.entries(properties).map(([name, { type }]: [string, Kind]) => [name, type]))
  return (url) => {
    const query: { [name: string]: unknown } = {}
    for (const [name, text] of pairsOf(url)) {
      if (!kinds.has(name)) throw refused(name, 'is no parameter of this operation')
      if (Object.hasOwn(query, name)) throw refused(name, 'stands more than once')
      if (kinds.get(name) !== 'integer') query[name] = text
      else if (DIGITS.test(text)) query[name] = Number(text)
      else throw refused(name, 'is not a whole number in decimal digits')
    }
    return query
  }
}

interface Kind {
  readonly type?: string
}

function* pairsOf(url: string): Iterable<readonly [name: string, text: string]> {
  const start = url.indexOf('?')
  if (start < 0) return
  for (const pair of url.slice(start + 1).split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const [name, text] = equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
    yield [decode(name), decode(text)]
  }
}

/** Bytes that are no UTF-8 are refused: replaced ones would be another text. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw new TidemarkError('bad_request', 'The query of the address is not UTF-8 in percent signs')
  }
}

function refused(name: string, rule: string): TidemarkError {
  const at = PLAIN_NAME.test(name) ? `/query/${name}` : '/query'
  return new TidemarkError('bad_request', `${at} ${rule}`, { details: { at, rule } })
}
