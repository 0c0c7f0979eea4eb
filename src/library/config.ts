import { TidemarkError } from '../kernel/errors.ts'
import type { Environment } from '../machine/folders.ts'
import { readVariable } from '../machine/settings.ts'
import { parseEndpoint } from '../providers/cloud/endpoint.ts'
import { requireFit } from './given.ts'

/** What can be changed while a manager lives; the names and defaults of origin 004, lines 25-28 and 294-297. */
export interface SyncSettings {
  /** Sync by itself, every `autoSyncInterval`. Default false; `SYNC_AUTO_ENABLED`. */
  readonly autoSyncEnabled: boolean
  /** Minutes. Default 30; `SYNC_INTERVAL_MINUTES`. */
  readonly autoSyncInterval: number
  /** With auto-sync: local changes are sent at once too, and others' come as they happen. Default false; `SYNC_LIVE`. */
  readonly live: boolean
  /** Rows of the first request; those that follow adapt to the connection. Default 50; `SYNC_BATCH_SIZE`. */
  readonly batchSize: number
  /** Refusals of one row after which it is `failed` (`RetryQueue`). Default 3; `SYNC_MAX_RETRIES`. */
  readonly maxRetries: number
}

export const DEFAULT_SETTINGS: SyncSettings = {
  autoSyncEnabled: false,
  autoSyncInterval: 30,
  live: false,
  batchSize: 50,
  maxRetries: 3,
}

/** Timers count milliseconds in 31 bits. */
const MAX_INTERVAL_MINUTES = 35_000
const MAX_BATCH_SIZE = 100_000

interface Rule {
  readonly wanted: string
  readonly isFit: (value: unknown) => boolean
  readonly variable: string
  readonly parse: (text: string) => unknown
}

const isWhole = (value: unknown, least: number, most: number): boolean =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most

const RULES: { readonly [name in keyof SyncSettings]: Rule } = {
  autoSyncEnabled: {
    wanted: 'true or false',
    isFit: (value) => typeof value === 'boolean',
    variable: 'SYNC_AUTO_ENABLED',
    parse: parseBoolean,
  },
  autoSyncInterval: {
    wanted: `a number of minutes above 0, up to ${MAX_INTERVAL_MINUTES}`,
    isFit: (value) => typeof value === 'number' && value > 0 && value <= MAX_INTERVAL_MINUTES,
    variable: 'SYNC_INTERVAL_MINUTES',
    parse: parseNumber,
  },
  live: {
    wanted: 'true or false',
    isFit: (value) => typeof value === 'boolean',
    variable: 'SYNC_LIVE',
    parse: parseBoolean,
  },
  batchSize: {
    wanted: `a whole number from 1 to ${MAX_BATCH_SIZE}`,
    isFit: (value) => isWhole(value, 1, MAX_BATCH_SIZE),
    variable: 'SYNC_BATCH_SIZE',
    parse: parseNumber,
  },
  maxRetries: {
    wanted: 'a whole number from 0 to 1000',
    isFit: (value) => isWhole(value, 0, 1_000),
    variable: 'SYNC_MAX_RETRIES',
    parse: parseNumber,
  },
}

/** What `updateConfig` takes beside the resolvers. */
export const SETTING_NAMES: readonly string[] = Object.keys(RULES)

/** Settings given by the application over those of the environment over the defaults. Throws `bad_usage`. */
export function readSettings(given: Partial<SyncSettings>, environment: Environment): SyncSettings {
  const fromEnvironment = Object.entries(RULES).flatMap(([name, { variable, parse }]) => {
    const text = environment[variable]
    return text === undefined || text.trim() === '' ? [] : [[name, check(name, parse(text.trim()), variable)]]
  })
  return changeSettings(
    { ...DEFAULT_SETTINGS, ...(Object.fromEntries(fromEnvironment) as Partial<SyncSettings>) },
    given,
  )
}

/** Settings with these changes; what is absent or undefined stays. Throws `bad_usage`, and nothing is changed then. */
export function changeSettings(settings: SyncSettings, changes: Partial<SyncSettings>): SyncSettings {
  const given = Object.entries(changes).flatMap(([name, value]) =>
    value === undefined || !Object.hasOwn(RULES, name) ? [] : [[name, check(name, value, name)]],
  )
  return { ...settings, ...(Object.fromEntries(given) as Partial<SyncSettings>) }
}

function check(name: string, value: unknown, said: string): unknown {
  const { wanted, isFit } = RULES[name as keyof SyncSettings]
  if (isFit(value)) return value
  throw new TidemarkError('bad_usage', `${said} takes ${wanted}`, { details: { setting: said } })
}

function parseBoolean(text: string): unknown {
  const word = text.toLowerCase()
  if (['true', '1', 'yes', 'on'].includes(word)) return true
  return ['false', '0', 'no', 'off'].includes(word) ? false : undefined
}

function parseNumber(text: string): unknown {
  return Number(text)
}

/** Sync is turned off by `TIDEMARK_SYNC_ENABLED`. Throws `bad_usage` for what is neither on nor off. */
export const isTurnedOff = (environment: Environment): boolean =>
  readVariable('sync_enabled', environment)?.value === false

/** Where the cloud is, and what is shown to it. */
export interface CloudAddress {
  readonly endpoint: string
  readonly token: string | null
}

/**
 * The cloud that is given, or that `TIDEMARK_ENDPOINT` and `TIDEMARK_TOKEN` name; null where there is none, and where
 * `TIDEMARK_SYNC_ENABLED` is false.
 */
export function findCloud(
  given: { readonly endpoint?: string | undefined; readonly token?: string | undefined },
  environment: Environment,
): CloudAddress | null {
  requireFit({ endpoint: given.endpoint, token: given.token })
  if (isTurnedOff(environment)) return null
  const endpoint = given.endpoint ?? readVariable('endpoint', environment)?.value
  if (typeof endpoint !== 'string' || endpoint === '') return null
  const token = given.token ?? readVariable('token', environment)?.value
  return { endpoint, token: typeof token === 'string' && token !== '' ? token : null }
}

/**
 * Whether there is a cloud to sync with: `TIDEMARK_ENDPOINT`, or an endpoint given here, and sync is not turned off by
 * `TIDEMARK_SYNC_ENABLED`. Says nothing of whether it can be reached. Never throws: with a setting that cannot be used
 * there is none, and `createSyncManager` says why.
 */
export function isSyncAvailable(
  given: { readonly endpoint?: string | undefined } = {},
  environment: Environment = process.env,
): boolean {
  try {
    const cloud = findCloud(given, environment)
    if (cloud === null) return false
    parseEndpoint(cloud.endpoint)
    return true
  } catch {
    return false
  }
}

/** Why there is none. */
export const noCloud = (isTurnedOff: boolean): TidemarkError =>
  isTurnedOff
    ? new TidemarkError('sync_disabled', 'Not connected: TIDEMARK_SYNC_ENABLED turns sync off')
    : new TidemarkError(
        'not_connected',
        'Not connected: no cloud is configured; give `endpoint` to createSyncManager or set TIDEMARK_ENDPOINT',
      )
