import { quoteName, quoteText } from '../driver/driver.ts'
import { isOperator, isWord, joinTokens, type Token } from './tokens.ts'

/** An expression of a schema, in one spelling: the same text for the same meaning in every replica. */
export interface Expression {
  readonly text: string
  /** Columns it reads, by their names in the table. */
  readonly columns: readonly string[]
  readonly danger: Danger
}

/**
 * Whether computing it on any value at all can fail. A trigger of ours may compute only what cannot: SQLite
 * itself might never compute it for that row (`OR IGNORE`, a condition that is false), and the application's
 * write would fail because of us.
 * - `none`: it cannot fail.
 * - `json`: it cannot fail where the `json` columns hold plain valid JSON.
 * - `some`: it may, or it calls a function that other connections may lack.
 */
export type Danger =
  | { readonly kind: 'none' }
  | { readonly kind: 'json'; readonly columns: readonly string[] }
  | { readonly kind: 'some' }

/** Words that are never a column when unquoted. */
const RESERVED = new Set(
  `ALL AND AS BETWEEN CASE CAST COLLATE CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DISTINCT ELSE END ESCAPE EXISTS
  FALSE FROM GLOB IN IS ISNULL LIKE MATCH NOT NOTNULL NULL OR REGEXP SELECT THEN TRUE WHEN WHERE`.split(
    /\s+/,
  ),
)

const TOTAL_FUNCTIONS = new Set(
  `coalesce date datetime hex ifnull iif instr julianday length likelihood likely lower ltrim max min nullif round rtrim
  strftime substr substring time trim typeof unicode unixepoch unlikely upper quote json_valid`.split(/\s+/),
)
const COLLATIONS = new Set(['BINARY', 'NOCASE', 'RTRIM'])
const JSON_FUNCTIONS = new Set(['json_extract', 'json_type', 'json_array_length'])
/** Operators that call a function, or that fail on long patterns. */
const CALLING_WORDS = new Set(['GLOB', 'LIKE', 'MATCH', 'RAISE', 'REGEXP', 'SELECT'])

/** `columns` are all of the table's; `table` its name, which may qualify them. */
export function readExpression(
  tokens: readonly Token[],
  columns: readonly string[],
  table: string,
): Expression {
  const names = new Map(columns.map((name) => [name.toLowerCase(), name]))
  const bare = withoutQualifiers(tokens, table, names)
  const items = bare.map((token, at) => classify(token, bare, at, names))
  const read = new Set(items.flatMap((item) => (item.column === null ? [] : [item.column])))
  return { text: joinTokens(items.map((item) => item.text)), columns: [...read], danger: dangerOf(items) }
}

interface Item {
  readonly text: string
  readonly column: string | null
  /** The function it calls, or another word that is no column; null for what cannot fail by itself. */
  readonly call: string | null
  readonly literal: boolean
}

function withoutQualifiers(
  tokens: readonly Token[],
  table: string,
  names: ReadonlyMap<string, string>,
): readonly Token[] {
  const own = table.toLowerCase()
  return tokens.filter((token, at) => {
    const qualifies = (name: number): boolean =>
      tokens[name]?.value.toLowerCase() === own &&
      isOperator(tokens[name + 1], '.') &&
      names.has(tokens[name + 2]?.value.toLowerCase() ?? '')
    return !qualifies(at) && !(isOperator(token, '.') && qualifies(at - 1))
  })
}

function classify(token: Token, all: readonly Token[], at: number, names: ReadonlyMap<string, string>): Item {
  const plain = { text: token.text, column: null, call: null, literal: false }
  if (token.kind === 'string' || token.kind === 'blob' || token.kind === 'number')
    return { ...plain, literal: true }
  if (token.kind !== 'word' && token.kind !== 'quoted' && token.kind !== 'name') return plain
  const column = names.get(token.value.toLowerCase())
  // A collation, or the type of a CAST: a name that is no column.
  if (isWord(all[at - 1], 'COLLATE')) {
    const name = token.value.toUpperCase()
    return { ...plain, text: quoteName(name), call: COLLATIONS.has(name) ? null : name }
  }
  if (isCastType(all, at)) return { ...plain, text: token.text.toUpperCase() }
  if (token.kind === 'word' && RESERVED.has(token.text.toUpperCase())) {
    const word = token.text.toUpperCase()
    // Some of these words are names where the grammar leaves no other reading.
    return { ...plain, text: word, call: CALLING_WORDS.has(word) || column !== undefined ? word : null }
  }
  if (isOperator(all[at + 1], '(')) {
    const name = token.value.toLowerCase()
    return { ...plain, text: token.kind === 'word' ? name : quoteName(name), call: name }
  }
  if (column !== undefined) return { ...plain, text: quoteName(column), column }
  // SQLite takes a name in double quotes that fits no column as a text, where it still allows that.
  if (token.kind === 'quoted') return { ...plain, text: quoteText(token.value), literal: true }
  return { ...plain, call: token.value }
}

function isCastType(all: readonly Token[], at: number): boolean {
  for (let before = at - 1; before >= 0 && all[before]?.kind !== 'operator'; before--) {
    if (isWord(all[before], 'AS')) return true
  }
  return false
}

function dangerOf(items: readonly Item[]): Danger {
  const json = new Set<string>()
  for (const [at, item] of items.entries()) {
    if (item.text === '->' || item.text === '->>') {
      const [left, right] = [items[at - 1], items[at + 1]]
      if (right?.literal !== true) return { kind: 'some' }
      if (left?.column != null) json.add(left.column)
      // A literal on the left is the path of the arrow before it: what that gave is valid JSON.
      else if (left?.literal !== true || !items[at - 2]?.text.startsWith('->')) return { kind: 'some' }
    }
    if (item.call === null || TOTAL_FUNCTIONS.has(item.call)) continue
    const column = JSON_FUNCTIONS.has(item.call) ? jsonColumn(items, at) : null
    if (column === null) return { kind: 'some' }
    json.add(column)
  }
  return json.size === 0 ? { kind: 'none' } : { kind: 'json', columns: [...json] }
}

/** The column of `json_extract(column, 'path')`; null when the arguments are anything else. */
function jsonColumn(items: readonly Item[], call: number): string | null {
  const column = items[call + 2]?.column ?? null
  for (let at = call + 3; at < items.length; at++) {
    const text = items[at]?.text
    if (text === ')') return column
    if (text !== ',' && items[at]?.literal !== true) return null
  }
  return null
}

/** A default's text as PRAGMA tells it: a lone name there is a text. */
export function readDefault(tokens: readonly Token[]): Expression {
  const [only] = tokens
  const lone = tokens.length === 1 && only !== undefined && ['word', 'quoted', 'name'].includes(only.kind)
  if (!lone || (only.kind === 'word' && RESERVED.has(only.text.toUpperCase())))
    return readExpression(tokens, [], '')
  return { text: quoteText(only.value), columns: [], danger: { kind: 'none' } }
}
