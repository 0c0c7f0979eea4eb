import { TidemarkError } from '../../kernel/errors.ts'
import { requireSetting } from '../../daemon/config.ts'
import { SETTINGS, type SettingName, type SettingRead } from '../../machine/settings.ts'
import type { CliContext } from '../context.ts'

/** tidemark config set NAME VALUE: origin 000, line 11. */
export function setSetting(context: CliContext, name: string, value: string): void {
  const setting = requireSetting(name)
  context.config.set(setting, value)
  const shown = showValue(setting, context.config.read(setting))
  context.output.result({ profile: context.config.profile, setting, value: shown.value }, [
    `${setting} is set (profile ${context.config.profile}).`,
  ])
  warnOverridden(context, setting)
}

/** tidemark config unset NAME: origin 000, line 28. */
export function unsetSetting(context: CliContext, name: string): void {
  const setting = requireSetting(name)
  context.config.unset(setting)
  context.output.result({ profile: context.config.profile, setting, value: null }, [
    `${setting} is unset (profile ${context.config.profile}).`,
  ])
  warnOverridden(context, setting)
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
