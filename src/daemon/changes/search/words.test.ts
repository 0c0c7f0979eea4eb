import Database from 'better-sqlite3'
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { TidemarkError } from '../../../kernel/errors.ts'
import { matchText, parseQuery } from './query.ts'
import { cutSnippet } from './snippet.ts'
import { spaceWords } from './words.ts'

function openTexts(texts: readonly string[]) {
  const database = new Database(':memory:')
  database.exec("CREATE VIRTUAL TABLE texts USING fts5(facets, body, content='', tokenize='ascii')")
  const insert = database.prepare("INSERT INTO texts (rowid, facets, body) VALUES (?, '', ?)")
  texts.forEach((text, at) => insert.run(BigInt(at + 1), spaceWords(text)))
  const select = database.prepare('SELECT count(*) FROM texts WHERE texts MATCH ?').pluck()
  return { database, finds: (query: string) => select.get(matchText(parseQuery(query), [])) !== 0 }
}

function finds(text: string, query: string): boolean {
  const { database, finds: has } = openTexts([text])
  try {
    return has(query)
  } finally {
    database.close()
  }
}

test.each<readonly [text: string, found: readonly string[], not: readonly string[]]>([
  [
    'call foo_bar(x)',
    ['foo_bar', 'foo', 'bar', 'FOO_BAR', 'foo_bar(', '"call foo"', 'fo*'],
    ['foo_baz', 'oo', 'bar_foo', 'o*'],
  ],
  [
    'open src/cli/main.ts now',
    ['src/cli/main.ts', 'main.ts', 'cli', './src/cli', 'mai*'],
    ['src/main.ts', 'cli/src'],
  ],
  ['git push --force origin', ['--force', 'force', 'push --force', '-f*'], ['--forced', '"force push"']],
  ['shipped 🚀 and 👍🏽 to 🇯🇵, 👨‍👩‍👧', ['🚀', '👍', '👍🏻', '🇯🇵', '👨‍👩‍👧', 'shipped🚀', '👩'], ['🎉', '🇵🇯']],
  [
    '東京都に住む。彼はABC社',
    [
      '東京',
      '京都',
      '東京都',
      '都',
      '住む',
      '東',
      'む',
      'abc',
      '社',
      'ABC社',
      '"東京都に住む"',
      '東京 彼',
      '東京。',
    ],
    ['大阪', '京東', '東都', '都京'],
  ],
  ['한국어를 배우다, ภาษาไทย', ['한국', '한국어', '배우', 'ไทย', 'ภาษา'], ['중국', 'ไทยภาษา']],
  [
    'Ünïcödé naïve ﬁle ｆｕｌｌ ｶﾞｲﾄﾞ Σίσυφος',
    ['unicode', 'NAIVE', 'file', 'full', 'ガイド', 'σισυφοσ', 'ΣΊΣΥΦΟΣ', 'naïve'],
    ['ガイト', 'naive2'],
  ],
  ['हिन्दी में', ['हिन्दी', 'में', 'हिन्*'], ['हिन']],
  ['Tidemark™ “quoted”—dashed © 2026', ['tidemark', 'quoted', 'dashed', '2026', '“quoted”'], ['tidemarktm']],
  ['before\0after \ud800lone', ['before', 'after', 'lone', 'before after'], ['beforeafter']],
  [`${'x'.repeat(300)} end`, ['x'.repeat(300), `${'x'.repeat(10)}*`, 'end'], ['x'.repeat(63)]],
])('what is found in %j', (text, found, not) => {
  const [yes, no] = [found.filter((query) => !finds(text, query)), not.filter((query) => finds(text, query))]
  expect({ yes, no }).toEqual({ yes: [], no: [] })
})

test.each(['', ' ', '"', '""', '*', '-- * "." ()', '…', '\u0002', '\0'])(
  'a query without a word, %j, is refused',
  (query) => {
    expect(() => parseQuery(query)).toThrow(/nothing to search/)
  },
)

test('a query of very many words is refused', () => {
  expect(() => parseQuery(Array.from({ length: 65 }, (_, at) => `w${at}`).join(' '))).toThrow(/64/)
  expect(parseQuery('a '.repeat(500))).toHaveLength(1)
})

test('any query works or is refused by this program, never by SQLite', () => {
  const { database, finds: has } = openTexts(['some NEAR text'])
  const piece = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.constantFrom(
      '"',
      '*',
      'NEAR(',
      'AND',
      'OR',
      'NOT',
      '(',
      ')',
      ':',
      '^',
      '+',
      '{',
      '}',
      '-',
      "'",
      '東',
      '🚀',
      '\0',
      '\ud83d',
      'body',
      'facets:',
    ),
  )
  try {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.constantFrom('', ' '), (pieces, between) => {
        try {
          has(pieces.join(between))
        } catch (error) {
          if (!(error instanceof TidemarkError) || error.code !== 'bad_request') throw error
        }
      }),
      { numRuns: 300 },
    )
  } finally {
    database.close()
  }
})

/** What stands between the marks. */
const marked = (snippet: string): readonly string[] =>
  snippet
    .split('\u0002')
    .slice(1)
    .map((piece) => piece.split('\u0003')[0] ?? '')

test('any piece of a text that has a word is found in it, and marked in its snippet', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.constantFrom('foo', 'Bar', '_', ' ', '東', '京', 'ガ', '🚀', 'é', '-', '1', 'ﬁ', '\n', '“'),
        { minLength: 1, maxLength: 30 },
      ),
      fc.nat(),
      fc.nat(),
      (parts, a, b) => {
        const [from, to] = [a % parts.length, b % parts.length].sort((x, y) => x - y) as [number, number]
        // Cut where words of the text end: a piece of a word is another word.
        const text = ` ${parts.join('')} `
        const piece = parts.slice(from, to + 1).join('')
        const apart = ` ${parts.slice(0, from).join('')} ${piece} ${parts.slice(to + 1).join('')} `
        let query
        try {
          query = parseQuery(`"${piece}"`)
        } catch {
          return
        }
        expect(finds(apart, `"${piece}"`)).toBe(true)
        expect(marked(cutSnippet(apart, query)).length).toBeGreaterThan(0)
        expect(finds(text, `"${text}"`)).toBe(true)
      },
    ),
    { numRuns: 200 },
  )
})

test('a snippet is cut between words around the first hit, and marks what it found', () => {
  const text = `${'lorem ipsum '.repeat(40)}here is the Needle of it, needle again ${'dolor sit '.repeat(40)}`
  const snippet = cutSnippet(text, parseQuery('needle of'))
  expect(marked(snippet)).toEqual(['Needle', 'of', 'needle'])
  expect(snippet).toMatch(/^…(lorem|ipsum) .* (dolor|sit)…$/)
  expect(snippet.length).toBeLessThan(250)
  expect(cutSnippet('a\u0002b\u0003 \n\t c\0d', parseQuery('c'))).toBe('a b \u0002c\u0003 d')
  expect(cutSnippet('foo_bar and foo bar', parseQuery('foo_bar'))).toBe(
    '\u0002foo_bar\u0003 and \u0002foo bar\u0003',
  )
  expect(cutSnippet('住所は東京都です', parseQuery('京都'))).toBe('住所は東\u0002京都\u0003です')
  expect(cutSnippet('nothing', parseQuery('else'))).toBe('nothing')
  expect(cutSnippet('x'.repeat(100_000), parseQuery('y')).length).toBeLessThan(200)
  expect(cutSnippet(`${'🚀'.repeat(500)} end`, parseQuery('end')).isWellFormed()).toBe(true)
})
