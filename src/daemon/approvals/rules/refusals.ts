import { TidemarkError } from '../../../kernel/errors.ts'
import type { RuleInput } from '../../../protocol/approvals.ts'
import { pathFault, placeFault, placesOf } from './paths.ts'
import { allowedTooMuch, commandFault } from './plain-command.ts'
import { formsOf } from './segments.ts'

/**
 * Refuses a rule that can never match, or that would allow more than whoever wrote it can have meant. Throws
 * `unprocessable`; the message says why, the details name the field.
 */
export async function requireUsableRule(input: RuleInput): Promise<void> {
  const { action, tool_name, command, command_prefix, path } = input
  if (tool_name !== tool_name.trim() || /[\p{C}]/u.test(tool_name))
    refuse('tool_name', 'No tool has such a name: it has blanks around it, or invisible characters')
  const [pattern, second] = [command, command_prefix, path].filter((value) => value !== undefined)
  if (second !== undefined) refuse('path', 'A rule has one of command, command_prefix and path, not several')
  if (pattern === undefined) return
  const field = command !== undefined ? 'command' : command_prefix !== undefined ? 'command_prefix' : 'path'
  if (path !== undefined) return requireUsablePath(path, action)
  if (action !== 'allow') {
    if (formsOf(pattern).length === 0) refuse(field, 'The rule can never match: there is no word in it')
    return
  }
  const fault = commandFault(pattern)
  if (fault !== null) refuse(field, `The rule can never match, since no rule allows such a command: ${fault}`)
  const tooMuch = allowedTooMuch(pattern, command === undefined)
  if (tooMuch !== null) refuse(field, `The rule would allow more than it says: ${tooMuch}`)
}

async function requireUsablePath(path: string, action: RuleInput['action']): Promise<void> {
  const fault = action === 'allow' ? pathFault(path) : placeFault(path)
  if (fault !== null) refuse('path', `The rule can never match this path: ${fault}`)
  if (path === '/' && action === 'allow') refuse('path', 'The rule would allow every file of the machine')
  const bare = path === '/' || !path.endsWith('/') ? path : path.slice(0, -1)
  const places = await placesOf(bare)
  // A link in it could be turned to another folder later, and the rule with it.
  if (places === null || places.some((place) => place !== bare))
    refuse(
      'path',
      'The path leads through a symbolic link, or cannot be followed: name the place it leads to',
    )
}

function refuse(field: string, why: string): never {
  throw new TidemarkError('unprocessable', why, { details: { field } })
}
