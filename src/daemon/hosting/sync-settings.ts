import { TidemarkError } from '../../kernel/errors.ts'
import { toSystemError } from '../../machine/failures.ts'
import type { Folders } from '../../machine/folders.ts'
import type { Environment } from '../../machine/variables.ts'
import type { Protocol } from '../batch/probe.ts'
import { decideSync, openConfig } from '../config.ts'
import { engineSettings, requireConnection } from '../connection.ts'
import type { EngineSettings } from './hosted-file.ts'

/** What a profile says of sync, read at one moment. */
export interface SyncSettings {
  readonly profile: string
  readonly endpoint: string | null
  readonly on: boolean
  /** Which rule decided that. */
  readonly rule: string
  /** Null: sync is off, or cannot be as the settings are. */
  readonly engine: EngineSettings | null
  readonly protocol: Protocol | 'auto'
  /** Why it cannot be, where it is on. */
  readonly problem: TidemarkError | null
  /** How often settings are read again, in milliseconds. */
  readonly intervalMs: number
  /** Of the daemon's API; it is read once. */
  readonly apiPort: number
  /** Seconds after which an approval that nobody decided expires. */
  readonly approvalExpiry: number
}

/** The settings of all profiles as they last could be read. */
export interface SettingsBook {
  /** Of the daemon's own profile. */
  current(): SyncSettings
  /** Null: the profile never could be read. */
  of(profile: string): SyncSettings | null
  /** Tokens in use: in no log. */
  secrets(): readonly string[]
  /** Reads them anew. What cannot be read stays as it was (D9). */
  refresh(): void
}

/** Throws `config_invalid`, `bad_usage` where the daemon's own profile cannot be read at the start. */
export function openSettings(options: {
  readonly folders: Folders
  readonly env: Environment
  readonly profile: string | undefined
  /** Told once for each thing that is wrong, and with null when all can be read again. */
  readonly broken: (error: TidemarkError | null) => void
}): SettingsBook {
  const { folders, env, profile, broken } = options
  let current = readSettings(folders, env, profile)
  const known = new Map([[current.profile, current]])
  const unread = new Map<string, TidemarkError>()
  let told: string | null = null

  const read = (name: string): void => {
    try {
      known.set(name, readSettings(folders, env, name))
      unread.delete(name)
    } catch (thrown) {
      unread.set(name, toSystemError(thrown))
    }
  }
  const tell = (): void => {
    const [error] = unread.values()
    const message = error?.message ?? null
    if (message === told) return
    told = message
    broken(error ?? null)
  }
  return {
    current: () => current,
    of(name) {
      if (!known.has(name) && !unread.has(name)) {
        read(name)
        tell()
      }
      return known.get(name) ?? null
    },
    secrets: () => [...known.values()].flatMap(({ engine }) => engine?.connection.token ?? []),
    refresh() {
      for (const name of new Set([...known.keys(), ...unread.keys()])) read(name)
      try {
        // Which profile is the active one may have changed, too.
        current = readSettings(folders, env, profile)
        known.set(current.profile, current)
      } catch (thrown) {
        unread.set(current.profile, toSystemError(thrown))
      }
      tell()
    },
  }
}

function readSettings(folders: Folders, env: Environment, profile: string | undefined): SyncSettings {
  const config = openConfig(folders, env, profile)
  const all = config.readAll()
  const { on, rule } = decideSync(config)
  const { pollMs, ...batch } = engineSettings(config)
  const common = {
    profile: config.profile,
    endpoint: all.endpoint,
    on,
    rule,
    intervalMs: pollMs,
    protocol: all.protocol,
    apiPort: all.daemon_port,
    approvalExpiry: all.approval_expiry,
  }
  if (!on) return { ...common, engine: null, problem: null }
  try {
    return { ...common, engine: { connection: requireConnection(config), pollMs, ...batch }, problem: null }
  } catch (thrown) {
    const error = toSystemError(thrown)
    // A token that is missing is a setting like another; a file that cannot be read is none.
    if (error.code === 'config_invalid') throw error
    return { ...common, engine: null, problem: error }
  }
}
