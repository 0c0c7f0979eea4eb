import { closingOf, isName, isOperator, isWord, splitAtCommas, tokenize, type Token } from './tokens.ts'

/** What a CREATE INDEX says and no PRAGMA tells. */
export interface IndexText {
  /** Each term without its collation and order. */
  readonly terms: readonly (readonly Token[])[]
  readonly where: readonly Token[] | null
}

/** Null when the text cannot be read: the table is refused then, never guessed at. */
export function readIndexText(sql: string): IndexText | null {
  const tokens = tokenize(sql)
  if (tokens === null || !isWord(tokens[0], 'CREATE')) return null
  const open = tokens.findIndex((token) => isOperator(token, '('))
  const close = open < 0 ? -1 : closingOf(tokens, open)
  if (close < 0) return null
  const rest = tokens.slice(close + 1)
  if (rest.length > 0 && !isWord(rest[0], 'WHERE')) return null
  return {
    terms: splitAtCommas(tokens.slice(open + 1, close)).map(bareTerm),
    where: rest.length > 1 ? rest.slice(1) : null,
  }
}

function bareTerm(term: readonly Token[]): readonly Token[] {
  let end = term.length
  if (end > 1 && (isWord(term[end - 1], 'ASC') || isWord(term[end - 1], 'DESC'))) end--
  while (end > 2 && isWord(term[end - 2], 'COLLATE') && isName(term[end - 1])) end -= 2
  return term.slice(0, end)
}
