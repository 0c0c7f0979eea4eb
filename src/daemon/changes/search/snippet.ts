import type { Query } from './query.ts'
import { spansOf, type Sequence, type Span } from './words.ts'

/** Around what was found. */
const FROM = '\u0002'
const TO = '\u0003'
/** Characters shown before and behind the first hit, about. */
const BEFORE = 60
const BEHIND = 140
/** Longest piece that is looked through for a gap between words where a snippet may be cut. */
const GAP = 30

/** The snippet of the text that has most of what is looked for; of the first one where none has any. */
export function cutBestSnippet(texts: readonly string[], query: Query): string {
  const snippets = texts.map((text) => cutSnippet(text, query))
  const hitsOf = (snippet: string): number => snippet.split(FROM).length
  return snippets.reduce(
    (best, snippet) => (hitsOf(snippet) > hitsOf(best) ? snippet : best),
    snippets[0] ?? '',
  )
}

/**
 * The place of the first hit in a text, cut between words, with marks around what was found; the beginning of the text
 * where nothing was. White space and characters that show nothing become single spaces. The work is bounded by the
 * text's length, and mostly by the place of the hit.
 */
export function cutSnippet(text: string, query: Query): string {
  const seen: Span[] = []
  const found: { readonly from: number; readonly to: number }[] = []
  let end = Infinity
  for (const span of spansOf(text, firstChance(text, query))) {
    if (span.from > end) break
    seen.push(span)
    for (const sequence of query) {
      const first = beginOf(sequence, seen)
      if (first === null) continue
      found.push({ from: first.from, to: span.to })
      if (end === Infinity) end = span.to + BEHIND
    }
  }
  const first = found[0]?.from ?? 0
  const from = cutBefore(text, first - BEFORE, first)
  const to = cutBehind(text, first + BEHIND, found[0]?.to ?? 0)
  return `${from > 0 ? '…' : ''}${mark(text, from, to, found)}${to < text.length ? '…' : ''}`
}

/** The first word of a sequence whose last word was seen just now; null: it is not there. */
function beginOf({ words, open }: Sequence, seen: readonly Span[]): Span | null {
  const first = seen.length - words.length
  if (first < 0) return null
  const last = words.length - 1
  const fits = words.every((word, at) => {
    const there = seen[first + at]?.word ?? ''
    return at === last && open ? there.startsWith(word) : there === word
  })
  return fits ? (seen[first] ?? null) : null
}

/** No hit can begin before it. Only where a word of the query looks in the text as it does in the index. */
function firstChance(text: string, query: Query): number {
  if (!/^[\0-\x7f]*$/.test(text)) return 0
  const lower = text.toLowerCase()
  const places = query.map(({ words }) => lower.indexOf(words[0] ?? '')).filter((at) => at !== -1)
  // It may be within a longer word, which is looked at whole.
  let from = Math.min(...places, text.length)
  while (from > 0 && /[0-9a-z]/.test(lower[from - 1] ?? '')) from -= 1
  return from
}

function cutBefore(text: string, wished: number, hit: number): number {
  if (wished <= 0) return 0
  const gap = text.slice(wished, Math.min(wished + GAP, hit)).search(/\s\S/)
  return gap === -1 ? whole(text, wished) : wished + gap + 1
}

function cutBehind(text: string, wished: number, hit: number): number {
  if (wished >= text.length) return text.length
  const from = Math.max(wished - GAP, hit)
  const end = Math.max(wished, hit)
  const gap = text.slice(from, end).lastIndexOf(' ')
  return gap <= 0 ? whole(text, end) : from + gap
}

/** Not between the halves of a character. */
const whole = (text: string, at: number): number =>
  /[\udc00-\udfff]/.test(text[at] ?? '') && /[\ud800-\udbff]/.test(text[at - 1] ?? '') ? at - 1 : at

function mark(
  text: string,
  from: number,
  to: number,
  found: readonly { readonly from: number; readonly to: number }[],
): string {
  let marked = ''
  let at = from
  for (const hit of [...found].sort((a, b) => a.from - b.from)) {
    const [first, last] = [Math.max(hit.from, at), Math.min(hit.to, to)]
    if (first >= last) continue
    marked += `${plain(text.slice(at, first))}${FROM}${plain(text.slice(first, last))}${TO}`
    at = last
  }
  // Hits that overlap or touch are one.
  return (marked + plain(text.slice(at, to))).replaceAll(`${TO}${FROM}`, '').trim()
}

const plain = (text: string): string => text.replaceAll(/[\s\p{Cc}]+/gu, ' ').toWellFormed()
