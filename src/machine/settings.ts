import { TidemarkError } from '../kernel/errors.ts'
import { findVariable, type Environment } from './variables.ts'

/** Of the local API. Beside the cloud's 7600; below the ports that systems give to outgoing connections. */
const DEFAULT_DAEMON_PORT = 7_610
/** Timers count milliseconds in 31 bits. */
const MAX_SECONDS = 2_147_483
const MAX_PORT = 65_535

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
  auth: {
    kind: 'word',
    words: ['none', 'token'],
    // Refused by name: whoever sets it must not go on with less, unseen.
    later: ['mtls'],
    variables: ['TIDEMARK_AUTH'],
    default: null,
    about: 'none sends no token, also when one is stored; unset: token where one is stored',
  },
  protocol: {
    kind: 'word',
    words: ['auto', 'tidemark', 'batch'],
    later: [],
    variables: ['TIDEMARK_PROTOCOL'],
    default: 'auto',
    about:
      'tidemark: both ways; batch: sessions and messages one way to POST /sync/batch; auto asks the endpoint',
  },
  daemon_port: {
    kind: 'port',
    variables: ['TIDEMARK_DAEMON_PORT'],
    default: DEFAULT_DAEMON_PORT,
    about: 'port of the local API on 127.0.0.1; 0 takes any free one',
  },
  approval_expiry: {
    kind: 'seconds',
    variables: ['TIDEMARK_APPROVAL_EXPIRY'],
    default: 1_800,
    about: 'seconds after which a question that nobody decided expires',
  },
} as const satisfies { readonly [name: string]: Setting }

interface Setting {
  readonly kind: 'url' | 'boolean' | 'seconds' | 'count' | 'port' | 'word' | 'secret'
  /** Of a word: those it may be, and those that a later version will know. */
  readonly words?: readonly string[]
  readonly later?: readonly string[]
  /** In order: the first one set wins. */
  readonly variables: readonly string[]
  readonly default: string | number | boolean | null
  readonly about: string
}

export type SettingName = keyof typeof SETTINGS
export type SettingValue = string | number | boolean | null
type ValueOf<One extends Setting> = One extends { readonly kind: 'boolean' }
  ? boolean
  : One extends { readonly kind: 'seconds' | 'count' | 'port' }
    ? number
    : One extends { readonly words: readonly (infer Word)[] }
      ? Word
      : string
/** All of them, each of its own type; null: it has no default, and nobody has set it. */
export type Settings = {
  readonly [Name in SettingName]:
    | ValueOf<(typeof SETTINGS)[Name]>
    | ((typeof SETTINGS)[Name]['default'] extends null ? null : never)
}
export type Origin = 'environment' | 'file' | 'default'

export interface SettingRead {
  readonly value: SettingValue
  readonly origin: Origin
  /** The variable, where the environment decided. */
  readonly variable?: string
}

export const isSettingName = (name: string): name is SettingName => Object.hasOwn(SETTINGS, name)

/** A setting's value from text, as the environment and the command line give it. Throws `bad_usage`. */
export function parseSetting(name: SettingName, given: string, called: string = name): SettingValue {
  const setting: Setting = SETTINGS[name]
  const text = given.trim()
  switch (setting.kind) {
    case 'url':
      return parseUrl(called, text)
    case 'boolean':
      return parseBoolean(called, text)
    case 'secret':
      // What a header can carry.
      if (/^[\x21-\x7e]+$/.test(text)) return text
      throw refused(called, 'one word of plain characters, without spaces')
    case 'word':
      return parseWord(called, text, setting)
    case 'seconds':
      return parseNumber(called, text, 1, MAX_SECONDS)
    case 'count':
      return parseNumber(called, text, 1, Number.MAX_SAFE_INTEGER)
    case 'port':
      return parseNumber(called, text, 0, MAX_PORT)
  }
}

function parseWord(called: string, text: string, { words = [], later = [] }: Setting): string {
  const word = text.toLowerCase()
  if (words.includes(word)) return word
  if (later.includes(word))
    throw new TidemarkError(
      'bad_usage',
      `${called}: ${word} is not there yet in this version; it takes ${words.join(', ')}`,
      { details: { setting: called } },
    )
  throw refused(called, `one of ${words.join(', ')}`)
}

function parseNumber(called: string, text: string, least: number, most: number): number {
  const count = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(count) && count >= least && count <= most) return count
  const end = most === Number.MAX_SAFE_INTEGER ? '' : ` up to ${most}`
  throw refused(called, `a whole number from ${least}${end}`)
}

function parseUrl(called: string, text: string): string {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw refused(called, 'a URL such as https://cloud.example')
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refused(called, 'a URL with http or https')
  if (url.username !== '' || url.password !== '')
    throw refused(called, 'a URL without a user or password; set token instead')
  return text.replace(/\/+$/, '')
}

function parseBoolean(called: string, text: string): boolean {
  const word = text.toLowerCase()
  if (['true', '1', 'yes', 'on'].includes(word)) return true
  if (['false', '0', 'no', 'off'].includes(word)) return false
  throw refused(called, 'true or false')
}

// The value itself is not repeated: it may be a secret given for the wrong name.
const refused = (called: string, wanted: string): TidemarkError =>
  new TidemarkError('bad_usage', `${called} takes ${wanted}`, { details: { setting: called } })

/**
 * What the environment says of a setting, null where it is silent. An empty variable is as good as none. Throws
 * `bad_usage`, which names the variable.
 */
export function readVariable(name: SettingName, env: Environment): SettingRead | null {
  const found = findVariable(SETTINGS[name].variables, env)
  if (found === null) return null
  const { variable, text } = found
  return { value: parseSetting(name, text, variable), origin: 'environment', variable }
}
