import type { Rule } from '../../../protocol/approvals.ts'
import { namesCommand, plainCommandField, plainPathField, textsToRun } from './input-fields.ts'
import { holds, pathFault, type Places } from './paths.ts'
import { hasWords, isPlainCommand } from './plain-command.ts'
import { formsOf, segmentsOf } from './segments.ts'

/** What the rules say to one question. `rule` is the one that decided, null where none did. */
export interface Verdict {
  readonly action: 'allow' | 'deny' | 'ask'
  readonly rule: Rule | null
}

export interface Question {
  readonly tool_name: string
  /** JSON; null where there is none. */
  readonly tool_input: unknown
  /** Every place that the input may name, for rules against paths; null: too many to look at. */
  readonly named: readonly string[] | null
  readonly places: Places
}

/**
 * Deny wins over ask, ask over allow; no rule is ask (D4). Allow rules match by a list of what is harmless, the others
 * generously. What is too long to be looked through for a deny or ask rule is asked about.
 */
export function evaluateRules(rules: readonly Rule[], question: Question): Verdict {
  const own = rules.filter((rule) => rule.tool_name === question.tool_name)
  const against = lookThrough(question)
  const denies = own.find((rule) => rule.action === 'deny' && against(rule) === true)
  if (denies !== undefined) return { action: 'deny', rule: denies }
  const asks = own.find((rule) => rule.action !== 'allow' && against(rule) !== false)
  if (asks !== undefined) return { action: 'ask', rule: asks.action === 'ask' ? asks : null }
  const allows = own.find((rule) => rule.action === 'allow' && allowed(rule, question))
  return allows === undefined ? { action: 'ask', rule: null } : { action: 'allow', rule: allows }
}

function allowed(rule: Rule, { tool_input, places }: Question): boolean {
  const { command, command_prefix, path } = rule
  if ([command, command_prefix, path].filter((pattern) => pattern !== undefined).length > 1) return false
  if (path !== undefined) {
    const named = plainPathField(tool_input)
    if (named === null || pathFault(named) !== null || named.endsWith('/') || pathFault(path) !== null)
      return false
    const found = places(named)
    return found !== null && found.length > 0 && found.every((place) => holds(path, place))
  }
  const pattern = command ?? command_prefix
  if (pattern === undefined) return !namesCommand(tool_input)
  const asked = plainCommandField(tool_input)
  if (asked === null || !isPlainCommand(asked) || !isPlainCommand(pattern)) return false
  return command === undefined ? hasWords(asked, pattern) : asked === pattern
}

/** Whether a deny or ask rule matches; null: the input is too long to say. What is alike for all rules is made once. */
function lookThrough(question: Question): (rule: Rule) => boolean | null {
  let segments: ReadonlySet<string> | null | undefined
  return ({ command, command_prefix, path }) => {
    if (path !== undefined) return isAgainstPath(path, question)
    const pattern = command ?? command_prefix
    if (pattern === undefined) return true
    if (segments === undefined) segments = segmentsOf(textsToRun(question.tool_input))
    if (segments === null) return null
    const forms = formsOf(pattern)
    if (command !== undefined) return forms.some((form) => segments?.has(form) === true)
    for (const segment of segments) if (forms.some((form) => hasWords(segment, form))) return true
    return false
  }
}

function isAgainstPath(rule: string, { named, places }: Question): boolean | null {
  if (named === null) return null
  const touches = (place: string): boolean => holds(rule, place) || `${place}/` === rule
  return named.some((path) => touches(path) || (places(path)?.some(touches) ?? false))
}
