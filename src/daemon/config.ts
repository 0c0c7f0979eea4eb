import { TidemarkError } from '../kernel/errors.ts'
import { suggest } from '../kernel/nearest.ts'
import type { Folders } from '../machine/folders.ts'
import {
  isSettingName,
  parseSetting,
  readVariable,
  SETTINGS,
  type SettingName,
  type SettingRead,
  type Settings,
  type SettingValue,
} from '../machine/settings.ts'
import { findProfile, type Environment } from '../machine/variables.ts'
import {
  changeConfigFile,
  readConfigFile,
  type ConfigChange,
  type ConfigFile,
  type StoredValue,
} from './config-file.ts'
import { chooseProfile, EMPTY_CONFIG, EMPTY_SECRETS, hasProfile, requireProfileName } from './profiles.ts'

/**
 * The configuration: flags over environment over file over defaults. Files are read anew with each call, so what
 * another process set is there; values of the environment are never written into them.
 */
export interface Config {
  /** Throws `bad_usage` where there is no such profile: it would look like one in which nothing is set. */
  readonly profile: string
  /** Whether somebody asked for this profile, rather than the one in use being taken. */
  readonly isChosen: boolean
  /** Throws `bad_usage` as `profile`, and for a variable; `config_invalid` for the file. */
  read(name: SettingName): SettingRead
  /** All of them at one moment. */
  readAll(): Settings
  /** Makes the profile where it is not there yet; answers whether it did. */
  set(name: SettingName, text: string): { readonly made: boolean }
  unset(name: SettingName): void
  /** The same environment and files with another profile. */
  of(profile: string): Config
}

/** The configuration of a profile: the chosen one, else what the environment names, else the file's active one. */
export function openConfig(folders: Folders, env: Environment, chosen?: string): Config {
  const named = chosen?.trim() ?? findProfile(env)?.text
  const profileIn = (file: ConfigFile): string => chooseProfile(file, named)
  const isSecret = (name: SettingName): boolean => SETTINGS[name].kind === 'secret'
  const readIn = (config: ConfigFile, secrets: () => ConfigFile, name: SettingName): SettingRead => {
    const profile = profileIn(config)
    const fromEnvironment = readVariable(name, env)
    if (fromEnvironment !== null) return fromEnvironment
    const stored = (isSecret(name) ? secrets() : config).find(profile, name)
    if (stored === undefined) return { value: SETTINGS[name].default, origin: 'default' }
    return { value: parseStored(name, stored), origin: 'file' }
  }
  const readFile = (): ConfigFile => readConfigFile(folders.config)
  const readSecrets = (): ConfigFile => readConfigFile(folders.secrets)
  return {
    get profile() {
      return profileIn(readFile())
    },
    isChosen: named !== undefined,
    read: (name) => readIn(readFile(), readSecrets, name),
    readAll() {
      const [config, secrets] = [readFile(), readSecrets()]
      const values = Object.keys(SETTINGS).map((name) => [
        name,
        readIn(config, () => secrets, requireSetting(name)).value,
      ])
      return Object.fromEntries(values) as Settings
    },
    set(name, text) {
      const value = JSON.stringify(parseSetting(name, text))
      let made = false
      let profile = ''
      changeConfigFile(
        folders.config,
        (file) => {
          profile = named ?? file.active ?? 'default'
          made = !hasProfile(file, profile)
          if (made) requireProfileName(profile)
          const path = ['profiles', profile]
          if (!isSecret(name)) return [{ set: [...path, name], value }]
          return made ? [{ set: path, value: '{}' }] : []
        },
        EMPTY_CONFIG,
      )
      if (isSecret(name)) {
        const change: ConfigChange = { set: ['profiles', profile, name], value }
        changeConfigFile(folders.secrets, () => [change], EMPTY_SECRETS)
      }
      return { made }
    },
    unset(name) {
      const path = isSecret(name) ? folders.secrets : folders.config
      const profile = profileIn(readFile())
      changeConfigFile(path, () => [{ remove: ['profiles', profile, name] }], EMPTY_CONFIG)
    },
    of: (profile) => openConfig(folders, env, profile),
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

function parseStored(name: SettingName, { value, refuse }: StoredValue): SettingValue {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean')
    throw refuse('it is not a value of this setting')
  try {
    return parseSetting(name, String(value))
  } catch (error) {
    throw refuse(error instanceof TidemarkError ? error.message : 'it is not a value of this setting')
  }
}
