import { TidemarkError } from '../kernel/errors.ts'
import type { Environment } from './folders.ts'

/** The settings there are: name, unit, default, and every variable that sets them (origin 000, lines 118-123). */
export const SETTINGS = {
  endpoint: {
    kind: 'url',
    variables: ['TIDEMARK_ENDPOINT', 'CLANKERS_ENDPOINT'],
    default: null,
    about: 'URL of the cloud; none by default, and nothing is sent without one',
  },
  sync_enabled: {
    kind: 'boolean',
    variables: ['TIDEMARK_SYNC_ENABLED', 'CLANKERS_SYNC_ENABLED'],
    default: null,
    about: 'false turns sync off and keeps the endpoint; unset: on when an endpoint is set',
  },
  sync_interval: {
    kind: 'seconds',
    variables: ['TIDEMARK_SYNC_INTERVAL', 'CLANKERS_SYNC_INTERVAL'],
    default: 30,
    about: 'seconds between safety polls; changes are sent at once anyway',
  },
  sync_batch_size: {
    kind: 'count',
    variables: ['TIDEMARK_SYNC_BATCH_SIZE', 'CLANKERS_SYNC_BATCH_SIZE'],
    default: null,
    about: 'most records in one request; unset: starts at 100 and adapts',
  },
  token: {
    kind: 'secret',
    variables: ['TIDEMARK_TOKEN'],
    default: null,
    about: 'secret that the cloud gave; kept in a file of its own, never printed',
  },
} as const satisfies { readonly [name: string]: Setting }

interface Setting {
  readonly kind: 'url' | 'boolean' | 'seconds' | 'count' | 'secret'
  /** In order: the first one set wins. */
  readonly variables: readonly string[]
  readonly default: string | number | boolean | null
  readonly about: string
}

export type SettingName = keyof typeof SETTINGS
export type SettingValue = string | number | boolean | null
export type Origin = 'environment' | 'file' | 'default'

export interface SettingRead {
  readonly value: SettingValue
  readonly origin: Origin
  /** The variable, where the environment decided. */
  readonly variable?: string
}

export const isSettingName = (name: string): name is SettingName => Object.hasOwn(SETTINGS, name)

/** A setting's value from text, as the environment and the command line give it. Throws `bad_usage`. */
export function parseSetting(name: SettingName, text: string): SettingValue {
  switch (SETTINGS[name].kind) {
    case 'url':
      return parseUrl(name, text)
    case 'boolean':
      return parseBoolean(name, text)
    case 'secret':
      if (/^\S+$/.test(text)) return text
      throw refused(name, 'one word without spaces')
    case 'seconds':
    case 'count': {
      const count = Number(text)
      if (/^\d+$/.test(text) && Number.isSafeInteger(count) && count > 0) return count
      throw refused(name, 'a whole number above 0')
    }
  }
}

function parseUrl(name: SettingName, text: string): string {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw refused(name, 'a URL such as https://cloud.example')
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refused(name, 'a URL with http or https')
  if (url.username !== '' || url.password !== '')
    throw refused(name, 'a URL without a user or password; set token instead')
  return text.replace(/\/+$/, '')
}

function parseBoolean(name: SettingName, text: string): boolean {
  const word = text.trim().toLowerCase()
  if (['true', '1', 'yes', 'on'].includes(word)) return true
  if (['false', '0', 'no', 'off'].includes(word)) return false
  throw refused(name, 'true or false')
}

// The value itself is not repeated: it may be a secret given for the wrong name.
const refused = (name: SettingName, wanted: string): TidemarkError =>
  new TidemarkError('bad_usage', `${name} takes ${wanted}`, { details: { setting: name } })

/** What the environment says of a setting, null where it is silent. An empty variable is as good as none. */
export function readVariable(name: SettingName, env: Environment): SettingRead | null {
  for (const variable of SETTINGS[name].variables) {
    const text = env[variable]
    if (text !== undefined && text !== '')
      return { value: parseSetting(name, text), origin: 'environment', variable }
  }
  return null
}
