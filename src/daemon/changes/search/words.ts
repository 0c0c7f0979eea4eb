/**
 * What a word is, once for the index and for queries. The index takes ASCII letters and digits and everything beyond
 * ASCII for parts of words (FTS5's tokenizer `ascii`), so this file alone decides about the rest:
 *
 * - Letters, digits and their marks make words; case and diacritics do not count. `foo_bar` and `src/cli/main.ts` are
 *   several words in a row, so that each of them is found as well; `--force` is one.
 * - Scripts that write no spaces have no words to be found: each two neighbours are one "word", and the last character
 *   of a run is one too, so that any piece of a run is found.
 * - An emoji is a word of its own.
 */

/** Longer words are the same where they begin with the same so many characters: base64, hashes in a row. */
const MAX_WORD_CHARS = 64

const ASCII = /^[\0-\x7f]*$/
/** Pieces beyond ASCII that are not simply part of a word. */
const UNSPACED =
  '[[\\p{scx=Hani}\\p{scx=Hira}\\p{scx=Kana}\\p{scx=Hang}\\p{scx=Bopo}\\p{scx=Thai}\\p{scx=Laoo}\\p{scx=Khmr}\\p{scx=Mymr}]&&[\\p{L}\\p{M}\\p{N}]]'
const EMOJI = '[[\\p{Extended_Pictographic}\\p{Regional_Indicator}]--[\\xa9\\xae\\u203c-\\u21ff]]'
const SPECIAL = new RegExp(
  `(${UNSPACED}+)|(${EMOJI})|[[^\\0-\\x7f\\p{L}\\p{M}\\p{N}\\p{Co}]--${EMOJI}]+`,
  'gv',
)
/** Their compatible forms are letters that would hang on to the word before: ™ is tm. */
const SYMBOLS = new RegExp(`[[\\p{S}--${EMOJI}]--[\\0-\\x7f]]+`, 'gv')
const LAST_RUN = new RegExp(`${UNSPACED}+$`, 'v')
// Behind nothing of a word: else every place of a word would be a beginning to try.
const LONG = new RegExp(
  `(?<![0-9A-Za-z\\u0080-\\uffff])[0-9A-Za-z\\u0080-\\uffff]{${MAX_WORD_CHARS + 1},}`,
  'g',
)
const WORD = /[0-9A-Za-z\u0080-\u{10ffff}]+/gu

/** The text as the index gets it: words with something between them that is none. */
export function spaceWords(text: string): string {
  const spaced = ASCII.test(text) ? text : foldText(text).replace(SPECIAL, spaceSpecial)
  return spaced.replace(LONG, (long) => long.slice(0, MAX_WORD_CHARS))
}

const spaceSpecial = (_piece: string, run: string | undefined, emoji: string | undefined): string =>
  run === undefined ? (emoji === undefined ? ' ' : ` ${emoji} `) : ` ${pairsOf(run, true).join(' ')} `

/** Lower case without diacritics, compatible forms as one: full width is half width. */
function foldText(text: string): string {
  return text
    .replaceAll(SYMBOLS, ' ')
    .toLowerCase()
    .normalize('NFKD')
    .replaceAll(/[\u0300-\u036f]+/g, '')
    .normalize('NFKC')
    .replaceAll('ς', 'σ')
}

/** `whole`: the run ends here; else more of it may follow in the text. */
function pairsOf(run: string, whole: boolean): readonly string[] {
  const chars = Array.from(run)
  const pairs = chars.slice(1).map((char, at) => `${chars[at] ?? ''}${char}`)
  return whole || chars.length === 1 ? [...pairs, chars.at(-1) ?? ''] : pairs
}

/** Words that stand in a row in the text; `open`: the last one may go on. */
export interface Sequence {
  readonly words: readonly string[]
  readonly open: boolean
}

/** The words of a piece of a query, null where there is none in it. `star`: any end of the last word. */
export function sequenceOf(piece: string, star: boolean): Sequence | null {
  const folded = foldText(piece).replace(/[\p{P}\p{Z}\s]+$/u, '')
  const run = LAST_RUN.exec(folded)?.[0] ?? ''
  const before = wordsIn(spaceWords(folded.slice(0, folded.length - run.length)))
  const words = run === '' ? before : [...before, ...pairsOf(run, false)]
  if (words.length === 0) return null
  return { words, open: star || Array.from(run).length === 1 }
}

/** One word of a text, as the index has it, and where it stands. */
export interface Span {
  readonly word: string
  readonly from: number
  readonly to: number
}

const RAW = new RegExp(`(${UNSPACED}+)|${EMOJI}|[[\\p{L}\\p{M}\\p{N}\\p{Co}]--${UNSPACED}]+`, 'gv')

/** The words of a text from a place on, one after another. */
export function* spansOf(text: string, from: number): Generator<Span, void, void> {
  const ascii = ASCII.test(text)
  // Making one of these takes longer than most texts, so all share it, and keep the place by themselves.
  const pieces = ascii ? WORD : RAW
  for (let at = from; ;) {
    pieces.lastIndex = at
    const piece = pieces.exec(text)
    if (piece === null) return
    const [raw, run] = piece
    at = piece.index + raw.length
    const place = { from: piece.index, to: at }
    if (run !== undefined) yield* pairSpans(run, place)
    else if (ascii) yield { word: raw.toLowerCase().slice(0, MAX_WORD_CHARS), ...place }
    else for (const word of wordsIn(spaceWords(raw))) yield { word, ...place }
  }
}

function* pairSpans(run: string, place: Omit<Span, 'word'>): Generator<Span, void, void> {
  const folded = foldText(run)
  // Where folding joined characters, their places are not known one by one.
  const exact = folded.length === run.length
  let from = place.from
  for (const word of pairsOf(folded, true)) {
    yield exact ? { word, from, to: from + word.length } : { word, ...place }
    from += String.fromCodePoint(word.codePointAt(0) ?? 0).length
  }
}

const wordsIn = (spaced: string): readonly string[] =>
  (spaced.match(WORD) ?? []).map((word) => word.toLowerCase())
