import type { Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import type { Random } from '../kernel/random.ts'
import { decideSync, openConfig, type Config } from '../daemon/config.ts'
import type { Environment, Folders } from '../machine/folders.ts'
import type { Output, Streams } from './output.ts'

/** What every command gets. */
export interface CliContext {
  readonly output: Output
  readonly folders: Folders
  readonly env: Environment
  readonly clock: Clock
  readonly random: Random
  readonly config: Config
  /** Aborted by Ctrl-C and SIGTERM: long commands end in order. */
  readonly signal: AbortSignal
  /** For what is no message: data that goes through a pipe. */
  readonly input: NodeJS.ReadableStream
  readonly out: Streams['out']
  /** Asks a person yes or no; false where there is nobody to ask. */
  readonly confirm: (question: string) => Promise<boolean>
}

export function createConfig(folders: Folders, env: Environment, profile: string | undefined): Config {
  return openConfig(folders, env, profile)
}

/** Where a command sends to, and with what. */
export interface Connection {
  readonly endpoint: string
  readonly token: string | null
}

/** The connection of the profile. Throws `not_connected` or `sync_disabled` and names the rule that decided. */
export function requireConnection(config: Config): Connection {
  const endpoint = config.read('endpoint').value
  if (typeof endpoint !== 'string') throw new TidemarkError('not_connected')
  const decision = decideSync(config)
  if (!decision.on) throw new TidemarkError('sync_disabled', `Sync is off: ${decision.rule}`)
  const token = config.read('token').value
  return { endpoint, token: typeof token === 'string' ? token : null }
}

/** How engines of this profile work, from its settings. */
export function engineSettings(config: Config): { readonly pollMs: number; readonly batchRows?: number } {
  const rows = config.read('sync_batch_size').value
  return {
    pollMs: Number(config.read('sync_interval').value) * 1_000,
    ...(typeof rows === 'number' ? { batchRows: rows } : {}),
  }
}
