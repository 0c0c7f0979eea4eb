import { TidemarkError } from '../../../kernel/errors.ts'
import { sequenceOf, type Sequence } from './words.ts'

/** What is looked for: all of these, each somewhere. */
export type Query = readonly Sequence[]

/** More would be no search but a text. */
const MAX_SEQUENCES = 64

/**
 * All words must be there, those in quotes in a row, a star at a word's end stands for any end. Everything else is text
 * without a meaning, and whatever is no word is passed over. Throws `bad_request` where no word is left.
 */
export function parseQuery(text: string): Query {
  const found = new Map<string, Sequence>()
  for (const [, quoted, word = ''] of text.matchAll(/"([^"]*)"|([^\s"]+)/g)) {
    const sequence = quoted === undefined ? sequenceOf(word, /[^*]\*$/.test(word)) : sequenceOf(quoted, false)
    if (sequence !== null) found.set(matchOf(sequence), sequence)
  }
  if (found.size === 0)
    throw new TidemarkError('bad_request', 'There is nothing to search for: q has no word, number or emoji')
  if (found.size > MAX_SEQUENCES)
    throw new TidemarkError('bad_request', `q has more than ${MAX_SEQUENCES} words`)
  return [...found.values()]
}

/** In FTS5's language. Words hold letters and digits only, so nothing of it can be in them. */
const matchOf = ({ words, open }: Sequence): string => `"${words.join(' ')}"${open ? ' *' : ''}`

/** The facets are words of a column of their own. */
export const matchText = (query: Query, facets: readonly string[]): string =>
  [...facets.map((facet) => `facets : "${facet}"`), `body : (${query.map(matchOf).join(' AND ')})`].join(
    ' AND ',
  )
