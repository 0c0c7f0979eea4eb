import { isOperator, isWord, tokenize, type Token } from './tokens.ts'

/** The text of a trigger in its parts. */
export interface TriggerBody {
  /** Up to and with BEGIN. */
  readonly head: string
  readonly isInsteadOf: boolean
  readonly statements: readonly TriggerStatement[]
}

export interface TriggerStatement {
  /** Without its semicolon, and without comments before or behind it. */
  readonly text: string
  /** All that stands between the semicolons, so that it can be compared with what SQLite says. */
  readonly span: string
  readonly tokens: readonly Token[]
}

const STARTS = ['INSERT', 'REPLACE', 'UPDATE', 'DELETE', 'SELECT', 'WITH', 'VALUES']

/**
 * Splits the text of CREATE TRIGGER. No expression holds a semicolon, so that each one outside quotes and comments
 * ends a statement, and the END of a CASE never follows one. Null where it cannot be told.
 */
export function splitTrigger(sql: string): TriggerBody | null {
  const tokens = tokenize(sql)
  if (tokens === null) return null
  let end = tokens.length - 1
  while (isOperator(tokens[end], ';')) end--
  if (!isWord(tokens[end], 'END') || !isOperator(tokens[end - 1], ';')) return null
  const begin = findBegin(tokens)
  if (begin === -1) return null
  const statements: TriggerStatement[] = []
  for (let from = begin + 1; from < end;) {
    let to = from
    while (!isOperator(tokens[to], ';')) to++
    const statement = statementOf(sql, tokens.slice(from, to), tokens[to]?.start ?? 0)
    if (statement === null) return null
    statements.push(statement)
    from = to + 1
  }
  const head = sql.slice(0, endOf(tokens[begin] as Token))
  const isInsteadOf = tokens
    .slice(0, begin)
    .some((token, at) => isWord(token, 'INSTEAD') && isWord(tokens[at + 1], 'OF'))
  return { head, isInsteadOf, statements }
}

const endOf = ({ start, text }: Token): number => start + text.length

function statementOf(sql: string, tokens: readonly Token[], semicolon: number): TriggerStatement | null {
  const [first, last] = [tokens[0], tokens.at(-1)]
  if (first === undefined || last === undefined) return null
  return {
    text: sql.slice(first.start, endOf(last)),
    span: sql.slice(first.start, semicolon),
    tokens,
  }
}

/** Words of CREATE TRIGGER and its name, which may be BEGIN too. */
const NAMED = 3

/** The BEGIN of the body: in no parenthesis, and a statement begins behind it. A column may bear the name too. */
function findBegin(tokens: readonly Token[]): number {
  let depth = 0
  return tokens.findIndex((token, at) => {
    if (isOperator(token, '(')) depth++
    if (isOperator(token, ')')) depth--
    const isAlone = depth === 0 && at >= NAMED && isWord(token, 'BEGIN')
    return isAlone && STARTS.some((word) => isWord(tokens[at + 1], word))
  })
}
