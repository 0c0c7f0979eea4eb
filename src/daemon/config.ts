import { TidemarkError } from '../kernel/errors.ts'
import { systemClock } from '../kernel/clock.ts'
import { suggest } from '../kernel/nearest.ts'
import type { Folders } from '../machine/folders.ts'
import { findProfile, type Environment } from '../machine/variables.ts'
import { changePrivateFile, readPrivateFile } from '../machine/private-file.ts'
import {
  isSettingName,
  parseSetting,
  readVariable,
  SETTINGS,
  type SettingName,
  type SettingRead,
  type SettingValue,
} from '../machine/settings.ts'

/**
 * The configuration: flags over environment over file over defaults. The file has origin 000's shape, lines
 * 129-141; keys that are not known are kept. Values of the environment are never written into it.
 */
interface ConfigFile {
  readonly profiles?: { readonly [profile: string]: { readonly [key: string]: unknown } }
  readonly active_profile?: string
  readonly [key: string]: unknown
}

export interface Config {
  readonly profile: string
  read(name: SettingName): SettingRead
  set(name: SettingName, text: string): void
  unset(name: SettingName): void
}

/** Opens the configuration of a profile. Throws `config_invalid` with file and place when it cannot be read. */
export function openConfig(folders: Folders, env: Environment, chosen?: string): Config {
  const file = parseFile(folders.config, readPrivateFile(folders.config))
  const profile = chosen ?? findProfile(env)?.text ?? file.active_profile ?? 'default'
  const pathOf = (name: SettingName) => (SETTINGS[name].kind === 'secret' ? folders.secrets : folders.config)
  return {
    profile,
    read(name) {
      const fromEnvironment = readVariable(name, env)
      if (fromEnvironment !== null) return fromEnvironment
      const path = pathOf(name)
      const stored = parseFile(path, readPrivateFile(path)).profiles?.[profile]?.[name]
      if (stored === undefined || stored === null) return { value: SETTINGS[name].default, origin: 'default' }
      return { value: checkStored(path, profile, name, stored), origin: 'file' }
    },
    set(name, text) {
      change(pathOf(name), profile, name, parseSetting(name, text))
    },
    unset(name) {
      change(pathOf(name), profile, name, undefined)
    },
  }
}

/** Whether sync is on, and which rule decided: origin 000's two sentences, joined. */
export function decideSync(config: Config): { readonly on: boolean; readonly rule: string } {
  const enabled = config.read('sync_enabled')
  if (enabled.value === false) {
    const by = enabled.origin === 'environment' ? (enabled.variable ?? 'the environment') : 'sync_enabled'
    return { on: false, rule: `${by} is false` }
  }
  if (config.read('endpoint').value === null) return { on: false, rule: 'no endpoint is set' }
  return { on: true, rule: enabled.value === true ? 'sync_enabled is true' : 'an endpoint is set' }
}

/** The setting's name, or `bad_usage` with the names there are. */
export function requireSetting(name: string): SettingName {
  if (isSettingName(name)) return name
  const names = Object.keys(SETTINGS)
  throw new TidemarkError(
    'bad_usage',
    `there is no setting of this name.${suggest(name, names)} There are ${names.join(', ')}`,
  )
}

function change(path: string, profile: string, name: SettingName, value: SettingValue | undefined): void {
  changePrivateFile(
    path,
    () => systemClock.now(),
    (text) => {
      const file = parseFile(path, text)
      const { [name]: _, ...rest } = file.profiles?.[profile] ?? {}
      const settings = value === undefined ? rest : { ...rest, [name]: value }
      const next = {
        ...file,
        profiles: { ...file.profiles, [profile]: settings },
        active_profile: file.active_profile ?? 'default',
      }
      return `${JSON.stringify(next, null, 2)}\n`
    },
  )
}

function parseFile(path: string, text: string | null): ConfigFile {
  if (text === null || text.trim() === '') return {}
  let file: unknown
  try {
    file = JSON.parse(text)
  } catch (error) {
    // The parser's message may quote the file; only the place is told.
    const at = /position (\d+)/.exec(String(error))?.[1]
    const line = at === undefined ? undefined : text.slice(0, Number(at)).split('\n').length
    throw invalid(path, line === undefined ? 'it is not JSON' : `it is not JSON at line ${line}`, line)
  }
  if (!isObject(file)) throw invalid(path, 'it holds no object')
  if (
    file['profiles'] !== undefined &&
    (!isObject(file['profiles']) || !Object.values(file['profiles']).every(isObject))
  ) {
    throw invalid(path, 'profiles is not an object of objects')
  }
  if (file['active_profile'] !== undefined && typeof file['active_profile'] !== 'string') {
    throw invalid(path, 'active_profile is not a string')
  }
  return file
}

function checkStored(path: string, profile: string, name: SettingName, stored: unknown): SettingValue {
  try {
    if (typeof stored === 'string' || typeof stored === 'number' || typeof stored === 'boolean') {
      return parseSetting(name, String(stored))
    }
  } catch {
    // Told below, with the place.
  }
  throw invalid(path, `profiles.${profile}.${name} is not a value of this setting`)
}

const isObject = (value: unknown): value is { readonly [key: string]: never } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const invalid = (path: string, why: string, line?: number): TidemarkError =>
  new TidemarkError('config_invalid', `${path} cannot be read: ${why}`, {
    details: { file: path, ...(line === undefined ? {} : { line }) },
  })
