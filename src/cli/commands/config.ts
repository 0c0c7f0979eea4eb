import { TidemarkError } from '../../kernel/errors.ts'
import { requireSetting } from '../../daemon/config.ts'
import { SETTINGS, type SettingName, type SettingRead } from '../../machine/settings.ts'
import type { CliContext } from '../context.ts'

/** tidemark config set NAME VALUE: origin 000, line 11. Of a secret, - is read from the input. */
export async function setSetting(context: CliContext, name: string, value: string): Promise<void> {
  const { config } = context
  const setting = requireSetting(name)
  const isSecret = SETTINGS[setting].kind === 'secret'
  // The list of processes shows a command line to everyone on the machine.
  const { made } = config.set(setting, isSecret && value === '-' ? await readLine(context.input) : value)
  const shown = showValue(setting, config.read(setting))
  context.output.result({ profile: config.profile, setting, value: shown.value }, [
    `${setting} is set (${made ? 'new profile' : 'profile'} ${config.profile}).`,
  ])
  warnOverridden(context, setting)
  if (setting === 'token' && config.read('auth').value === 'none')
    context.output.warn('Note: auth is none, so no token is sent: tidemark config unset auth')
}

/** tidemark config unset NAME: origin 000, line 28. */
export function unsetSetting(context: CliContext, name: string): void {
  const setting = requireSetting(name)
  const { profile } = context.config
  context.config.unset(setting)
  context.output.result({ profile, setting, value: null }, [`${setting} is unset (profile ${profile}).`])
  warnOverridden(context, setting)
}

/** A secret is short: what goes on and on is none. */
const MAX_SECRET_CHARS = 65_536

async function readLine(input: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  for await (const chunk of input) {
    text += String(chunk)
    if (text.includes('\n') || text.length > MAX_SECRET_CHARS) break
  }
  return text.split('\n')[0] ?? ''
}

/** tidemark config get NAME [--origin] */
export function getSetting(context: CliContext, name: string, options: { readonly origin?: boolean }): void {
  const setting = requireSetting(name)
  const shown = showValue(setting, context.config.read(setting))
  if (shown.value === null && !context.output.json)
    throw new TidemarkError('not_found', `${setting} is not set`)
  context.output.result({ setting, ...shown }, [
    options.origin === true ? `${String(shown.value)} (${describeOrigin(shown)})` : String(shown.value),
  ])
}

/** tidemark config list */
export function listSettings(context: CliContext): void {
  const rows = (Object.keys(SETTINGS) as SettingName[]).map((setting) => ({
    setting,
    ...showValue(setting, context.config.read(setting)),
  }))
  const lines = rows.map(
    (row) => `${row.setting.padEnd(16)} ${String(row.value ?? '-').padEnd(28)} ${describeOrigin(row)}`,
  )
  context.output.result({ profile: context.config.profile, settings: rows }, [
    `Profile: ${context.config.profile}`,
    ...lines,
  ])
}

/** A secret is never shown: only whether it is there. */
function showValue(setting: SettingName, read: SettingRead): SettingRead {
  return SETTINGS[setting].kind === 'secret' && read.value !== null ? { ...read, value: '(set)' } : read
}

export const describeOrigin = (read: SettingRead): string =>
  read.origin === 'environment' ? `from ${read.variable ?? 'environment'}` : read.origin

function warnOverridden(context: CliContext, setting: SettingName): void {
  const read = context.config.read(setting)
  if (read.origin === 'environment')
    context.output.warn(`Note: ${read.variable ?? 'the environment'} is set and wins over the file.`)
}
