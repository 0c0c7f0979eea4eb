import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

import type { Directory } from '../../cloud/directory.ts'
import { openSqliteDirectory } from '../../cloud/directory/sqlite.ts'
import { CLOUD_FILE } from '../../cloud/server/storage.ts'
import type { CliContext } from '../context.ts'

/** Where the cloud keeps its file unless told otherwise. */
export const cloudFolder = (context: CliContext, data: string | undefined): string =>
  data ?? join(context.folders.data, 'cloud')

/** Who stands in the audit for what was done here. */
export const COMMAND_LINE = 'command line'

/** To look makes nothing: a folder that was misspelt is told, not made. */
export const hasDirectory = (folder: string): boolean => existsSync(join(folder, CLOUD_FILE))

/** The accounts and tokens of the cloud in a folder; a running server sees changes at once. */
export function openDirectory(folder: string, context: CliContext): Promise<Directory> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return openSqliteDirectory({ file: join(folder, CLOUD_FILE), clock: context.clock })
}
