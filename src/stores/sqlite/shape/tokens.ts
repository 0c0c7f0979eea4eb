/**
 * SQL text as tokens, by SQLite's own rules. Comments and white space are gone. PRAGMAs do not tell
 * collations, conditions and expressions, so these are read from the text.
 */
export interface Token {
  readonly kind: TokenKind
  /** As written. */
  readonly text: string
  /** A word as it is, a quoted name without its quotes, a text literal without its quotes; else as written. */
  readonly value: string
  /** Where it begins in the text. */
  readonly start: number
}

/** `quoted` is a name in double quotes (perhaps a text in truth), `name` one in backticks or brackets. */
export type TokenKind = 'word' | 'quoted' | 'name' | 'string' | 'blob' | 'number' | 'variable' | 'operator'

const TOKEN = new RegExp(
  [
    String.raw`(?<space>[ \t\n\f\r]+|--[^\n]*|/\*[\s\S]*?(?:\*/|$))`,
    String.raw`(?<blob>[xX]'[^']*')`,
    String.raw`(?<word>[A-Za-z_\u{80}-\u{10ffff}][A-Za-z0-9_$\u{80}-\u{10ffff}]*)`,
    String.raw`(?<number>0[xX][0-9a-fA-F_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?)`,
    String.raw`(?<string>'(?:[^']|'')*')`,
    String.raw`(?<quoted>"(?:[^"]|"")*")`,
    String.raw`(?<name>${'`'}(?:[^${'`'}]|${'``'})*${'`'}|\[[^\]]*\])`,
    String.raw`(?<variable>\?[0-9]*|[:@$#][A-Za-z0-9_$\u{80}-\u{10ffff}]+)`,
    String.raw`(?<operator>->>|->|\|\||<<|>>|<=|>=|<>|!=|==|[-+*/%&|~<>=(),.;])`,
  ].join('|'),
  'uy',
)

/** Null when the text holds something that SQLite would not take either. */
export function tokenize(sql: string): readonly Token[] | null {
  const tokens: Token[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < sql.length) {
    const start = TOKEN.lastIndex
    const match = TOKEN.exec(sql)
    if (match === null) return null
    const [kind, text] = Object.entries(match.groups ?? {}).find(([, text]) => text !== undefined) ?? []
    if (kind === undefined || text === undefined) return null
    if (kind !== 'space')
      tokens.push({ kind: kind as TokenKind, text, value: valueOf(kind as TokenKind, text), start })
  }
  return tokens
}

function valueOf(kind: TokenKind, text: string): string {
  const quote = text[0] as string
  if (kind === 'string' || kind === 'quoted') return text.slice(1, -1).replaceAll(quote + quote, quote)
  if (kind !== 'name') return text
  return quote === '[' ? text.slice(1, -1) : text.slice(1, -1).replaceAll('``', '`')
}

/** True for an unquoted word that reads `keyword`, in any case. */
export const isWord = (token: Token | undefined, keyword: string): boolean =>
  token !== undefined && token.kind === 'word' && token.text.toUpperCase() === keyword

export const isOperator = (token: Token | undefined, text: string): boolean =>
  token !== undefined && token.kind === 'operator' && token.text === text

/** What can stand where a name is asked for. */
export const isName = (token: Token | undefined): token is Token =>
  token !== undefined && ['word', 'quoted', 'name', 'string'].includes(token.kind)

/** Index of the parenthesis that closes the one at `open`; -1 when none does. */
export function closingOf(tokens: readonly Token[], open: number): number {
  let depth = 0
  for (let at = open; at < tokens.length; at++) {
    if (isOperator(tokens[at], '(')) depth++
    if (isOperator(tokens[at], ')') && --depth === 0) return at
  }
  return -1
}

/** The parts between commas that are in no parenthesis. */
export function splitAtCommas(tokens: readonly Token[]): readonly (readonly Token[])[] {
  const parts: Token[][] = [[]]
  let depth = 0
  for (const token of tokens) {
    if (isOperator(token, '(')) depth++
    if (isOperator(token, ')')) depth--
    if (depth === 0 && isOperator(token, ',')) parts.push([])
    else parts.at(-1)?.push(token)
  }
  return parts
}

/** Tokens as text again, in one spelling of the space between them. */
export function joinTokens(texts: readonly string[]): string {
  let out = ''
  for (const [at, text] of texts.entries()) {
    const before = texts[at - 1]
    const tight =
      before === undefined || before === '(' || before === '.' || text === ')' || text === ',' || text === '.'
    out += tight ? text : ` ${text}`
  }
  return out
}
