import { isOperator, isWord } from './tokens.ts'
import { splitTrigger, type TriggerBody, type TriggerStatement } from './trigger-body.ts'

/** What one statement of a trigger does, as EXPLAIN has it. */
export interface Step {
  /** As SQLite has it, white space made spaces; null when it does not say. */
  readonly text: string | null
  /** Tables it writes, those of the engine apart. */
  readonly writes: Set<string>
  /** It writes a virtual table. */
  virtual: boolean
}

/** A trigger that takes another's place, under its name, while rows from the cloud are written. */
export interface StandIn {
  readonly sql: string
  /** Tables it writes. */
  readonly writes: readonly string[]
  /** Statements in it. */
  readonly steps: number
  /** It does all that the other does, but for synced tables. */
  readonly isRest: boolean
}

/**
 * The same trigger with only those of its statements that write no synced table: a full-text index is kept, a counter
 * does not count twice. RAISE before the first statement left out refuses rows as it would in a trigger of its own.
 * Null where nothing is left that writes, and where the rest cannot be had for itself. A view keeps an empty trigger
 * even so: one that no trigger stands on cannot be written at all, nor a row whose triggers write it.
 */
export function standInFor(
  sql: string,
  steps: readonly Step[],
  isSynced: (table: string) => boolean,
): StandIn | null {
  const body = splitTrigger(sql)
  if (body === null || !isAsExplained(body, steps)) return null
  const isOff = steps.map(({ writes }) => [...writes].some(isSynced))
  const first = isOff.indexOf(true)
  const kept = body.statements.filter((_, at) => isOff[at] !== true)
  const behind = body.statements.filter((_, at) => at > first && isOff[at] !== true)
  const isRest = !behind.some(asksBack) && kept.some(isWriting)
  if (!isRest && !body.isInsteadOf) return null
  const texts = isRest ? kept.map(({ text }) => text) : ['SELECT NULL']
  const writes = isRest ? steps.flatMap((step, at) => (isOff[at] === true ? [] : [...step.writes])) : []
  return {
    sql: `${body.head} ${texts.map((text) => `${text};`).join(' ')} END`,
    writes: [...new Set(writes)].sort(),
    steps: texts.length,
    isRest,
  }
}

/** SQLite sees the same statements: nothing rests on how the text was split here alone. */
function isAsExplained({ statements }: TriggerBody, steps: readonly Step[]): boolean {
  return (
    statements.length === steps.length && statements.every(({ span }, at) => spaced(span) === steps[at]?.text)
  )
}

const spaced = (text: string): string => text.replaceAll(/[\t\n\v\f\r]/g, ' ').replaceAll(/^ +| +$/g, '')

const WRITING = ['INSERT', 'REPLACE', 'UPDATE', 'DELETE']
const ASKING = new Set(['RAISE', 'CHANGES', 'TOTAL_CHANGES', 'LAST_INSERT_ROWID'])

const isWriting = ({ tokens }: TriggerStatement): boolean => WRITING.some((word) => isWord(tokens[0], word))

/** It may ask what statements before it have done, or refuse the row because of that. */
const asksBack = ({ tokens }: TriggerStatement): boolean =>
  tokens.some((token, at) => ASKING.has(token.value.toUpperCase()) && isOperator(tokens[at + 1], '('))
