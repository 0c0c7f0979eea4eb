import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

import envPaths from 'env-paths'

import { TidemarkError } from '../kernel/errors.ts'
import { findVariable, type Environment } from './variables.ts'

/** Where Tidemark keeps its own files: platform folders, or what the environment names. */
export interface Folders {
  /** Identities, attachments, locks, status. Mode 0700. */
  readonly data: string
  /** The configuration file. */
  readonly config: string
  /** Tokens, apart from the configuration. Mode 0600. */
  readonly secrets: string
  /** Log files of the daemon. */
  readonly logs: string
  /** The database of the local agents: a file that other programs may use too. */
  readonly agents: string
}

export type { Environment } from './variables.ts'

/** The variables of each place: ours first, then origin 000's. */
export const PLACE_VARIABLES = {
  data: ['TIDEMARK_DATA_DIR', 'CLANKERS_DATA_PATH'],
  config: ['TIDEMARK_CONFIG'],
  logs: ['TIDEMARK_LOG_DIR', 'CLANKERS_LOG_PATH'],
  agents: ['TIDEMARK_DB_PATH', 'CLANKERS_DB_PATH'],
} as const satisfies { readonly [place in keyof Folders]?: readonly string[] }

/** The folders for this environment. Throws `bad_usage`, which names the variable. */
export function findFolders(env: Environment): Folders {
  const paths = envPaths('tidemark', { suffix: '' })
  const data = readPlace('data', env)
  const home = homeFolders(data ?? paths.data)
  return {
    ...home,
    config: readPlace('config', env) ?? join(paths.config, 'config.json'),
    logs: readPlace('logs', env) ?? (data === null ? paths.log : home.logs),
    agents: readPlace('agents', env) ?? home.agents,
  }
}

function readPlace(place: keyof typeof PLACE_VARIABLES, env: Environment): string | null {
  const found = findVariable(PLACE_VARIABLES[place], env)
  if (found === null) return null
  const { variable, text } = found
  // Taken as it stands it would make a folder of the name `~` wherever the program was started.
  if (/^~($|[/\\])/.test(text))
    throw new TidemarkError(
      'bad_usage',
      `${variable} begins with ~, which only a shell reads: write the whole path`,
    )
  return resolve(text)
}

/** Everything of Tidemark in one folder. */
export function homeFolders(home: string): Folders {
  const data = resolve(home)
  return {
    data,
    config: join(data, 'config.json'),
    secrets: join(data, 'secrets.json'),
    logs: join(data, 'logs'),
    agents: join(data, 'agents.db'),
  }
}

/** Makes a folder that only its owner may read. */
export function makePrivateFolder(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return path
}

/** Where locks and sockets of running files lie. */
export const runFolder = (folders: Folders): string => makePrivateFolder(join(folders.data, 'run'))
