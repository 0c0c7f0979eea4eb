import type { Clock } from '../kernel/clock.ts'
import type { Random } from '../kernel/random.ts'
import { openConfig, type Config } from '../daemon/config.ts'
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
  /** What the command line says of both: a process that is started for later is told the same. */
  readonly given: { readonly home: string | undefined; readonly profile: string | undefined }
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
