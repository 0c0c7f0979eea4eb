import { CommanderError, type Command, type Option } from 'commander'

import { TidemarkError } from '../kernel/errors.ts'
import type { Environment } from '../machine/folders.ts'

/** What the variables of `tidemark cloud` begin with. */
export const CLOUD_VARIABLES = 'TIDEMARK_CLOUD'
/** Where an address with a password belongs: a list of processes does not show it. */
export const DATABASE_VARIABLE = `${CLOUD_VARIABLES}_DATABASE_URL`

/** The variable of an option: of `--log-level` and TIDEMARK_CLOUD it is TIDEMARK_CLOUD_LOG_LEVEL. */
const variableOf = (prefix: string, option: Option): string =>
  `${prefix}_${option.name().replaceAll('-', '_').toUpperCase()}`

/**
 * Fills in the options that the command line leaves out from the environment: services are set up by it. An empty
 * variable is as good as none. Throws `bad_usage`, which names the variable.
 */
export function readVariables(
  command: Command,
  action: Command,
  options: { readonly prefix: string; readonly env: Environment; readonly except: readonly string[] },
): void {
  const { prefix, env, except } = options
  for (const option of command.options) {
    const name = option.attributeName()
    if (except.includes(name)) continue
    const variable = variableOf(prefix, option)
    const text = env[variable]
    if (text === undefined || text === '' || isGiven(command, action, name)) continue
    command.setOptionValueWithSource(name, readValue(option, variable, text), 'env')
  }
}

/** Whether the command line has it, before the subcommand or after it. */
export const isGiven = (command: Command, action: Command, name: string): boolean =>
  [command, action].some((one) => one.getOptionValueSource(name) === 'cli')

function readValue(option: Option, variable: string, text: string): unknown {
  if (option.isBoolean()) {
    if (['true', '1'].includes(text)) return true
    if (['false', '0'].includes(text)) return undefined
    throw new TidemarkError('bad_usage', `${variable}: true or false`)
  }
  try {
    return option.parseArg === undefined ? text : option.parseArg(text, undefined)
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown
    throw new TidemarkError('bad_usage', `${variable}: ${thrown.message}`)
  }
}
