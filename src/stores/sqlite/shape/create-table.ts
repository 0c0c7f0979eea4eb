import { closingOf, isName, isOperator, isWord, splitAtCommas, tokenize, type Token } from './tokens.ts'

/** What a CREATE TABLE says and no PRAGMA tells. Expressions as tokens, still in the table's own words. */
export interface TableText {
  readonly columns: readonly ColumnText[]
  readonly checks: readonly (readonly Token[])[]
  /** For each REFERENCES, in the order written: its check waits for the end of the transaction. */
  readonly deferred: readonly boolean[]
  readonly autoincrement: boolean
  /** Some constraint has an ON CONFLICT of its own. */
  readonly resolves: boolean
}

export interface ColumnText {
  readonly name: string
  /** Null: BINARY. */
  readonly collation: string | null
  readonly generated: readonly Token[] | null
}

const TABLE_CONSTRAINTS = ['CONSTRAINT', 'PRIMARY', 'UNIQUE', 'CHECK', 'FOREIGN']

/** Null when the text cannot be read: the table is refused then, never guessed at. */
export function readTableText(sql: string): TableText | null {
  const tokens = tokenize(sql)
  if (tokens === null || !isWord(tokens[0], 'CREATE')) return null
  const open = tokens.findIndex((token) => isOperator(token, '('))
  const close = open < 0 ? -1 : closingOf(tokens, open)
  if (close < 0) return null
  const columns: ColumnText[] = []
  const parts = splitAtCommas(tokens.slice(open + 1, close))
  for (const part of parts) {
    if (columns.length > 0 && TABLE_CONSTRAINTS.some((keyword) => isWord(part[0], keyword))) break
    const column = readColumn(part)
    if (column === null) return null
    columns.push(column)
  }
  return {
    columns,
    // Constraints of a table may follow each other without a comma, so these are looked for in every part.
    checks: parts.flatMap((part) => expressionsAfter(part, 'CHECK')),
    deferred: parts.flatMap(readDeferred),
    autoincrement: parts.some((part) => outerTokens(part).some((token) => isWord(token, 'AUTOINCREMENT'))),
    resolves: tokens.some((token, at) => isWord(token, 'ON') && isWord(tokens[at + 1], 'CONFLICT')),
  }
}

function readColumn(part: readonly Token[]): ColumnText | null {
  const [name] = part
  if (!isName(name)) return null
  const outer = outerTokens(part)
  const collate = outer.findLastIndex((token, at) => at > 0 && isWord(token, 'COLLATE'))
  return {
    name: name.value,
    collation: collate < 0 ? null : (outer[collate + 1]?.value ?? null),
    generated: expressionsAfter(part.slice(1), 'AS')[0] ?? null,
  }
}

/** Insides of the parentheses that follow `keyword` outside of any other parenthesis. */
function expressionsAfter(part: readonly Token[], keyword: string): readonly (readonly Token[])[] {
  const found: (readonly Token[])[] = []
  for (let at = 0; at < part.length; at++) {
    if (!isOperator(part[at], '(')) continue
    const close = closingOf(part, at)
    if (close < 0) break
    if (isWord(part[at - 1], keyword) && !isWord(part[at - 2], 'CONSTRAINT'))
      found.push(part.slice(at + 1, close))
    at = close
  }
  return found
}

function readDeferred(part: readonly Token[]): readonly boolean[] {
  const deferred: boolean[] = []
  const outer = outerTokens(part)
  for (const [at, token] of outer.entries()) {
    if (isWord(token, 'REFERENCES')) deferred.push(false)
    if (isWord(token, 'INITIALLY') && isWord(outer[at + 1], 'DEFERRED') && deferred.length > 0) {
      deferred[deferred.length - 1] = !isWord(outer[at - 2], 'NOT')
    }
  }
  return deferred
}

function outerTokens(part: readonly Token[]): readonly Token[] {
  const outer: Token[] = []
  let depth = 0
  for (const token of part) {
    if (isOperator(token, ')')) depth--
    if (depth === 0 && !isOperator(token, ')')) outer.push(token)
    if (isOperator(token, '(')) depth++
  }
  return outer
}
