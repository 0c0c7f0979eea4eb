import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

import envPaths from 'env-paths'

/** Where Tidemark keeps its own files: platform folders, or what the environment names. */
export interface Folders {
  /** Identities, attachments, locks, status. Mode 0700. */
  readonly data: string
  /** The configuration file. */
  readonly config: string
  /** Tokens, apart from the configuration. Mode 0600. */
  readonly secrets: string
}

export type Environment = { readonly [name: string]: string | undefined }

/** The folders for this environment. `CLANKERS_DATA_PATH` is origin 000's name of the data folder. */
export function findFolders(env: Environment): Folders {
  const paths = envPaths('tidemark', { suffix: '' })
  const data = resolve(env['TIDEMARK_DATA_DIR'] ?? env['CLANKERS_DATA_PATH'] ?? paths.data)
  const config = resolve(env['TIDEMARK_CONFIG'] ?? join(paths.config, 'config.json'))
  return { data, config, secrets: join(data, 'secrets.json') }
}

/** Everything of Tidemark in one folder. */
export function homeFolders(home: string): Folders {
  const data = resolve(home)
  return { data, config: join(data, 'config.json'), secrets: join(data, 'secrets.json') }
}

/** Makes a folder that only its owner may read. */
export function makePrivateFolder(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return path
}

/** Where locks and sockets of running files lie. */
export const runFolder = (folders: Folders): string => makePrivateFolder(join(folders.data, 'run'))
