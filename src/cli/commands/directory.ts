import { join } from 'node:path'

import type { Directory } from '../../cloud/directory.ts'
import { hasPassword, toPlace, type Place } from '../../cloud/server/place.ts'
import { isCloudAt, openDirectory as openDirectoryAt } from '../../cloud/server/storage.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { CliContext } from '../context.ts'
import { DATABASE_VARIABLE } from '../option-variables.ts'

/** What names the place of a cloud on a command line. */
export interface PlaceOptions {
  readonly data?: string
  readonly database?: string
  readonly databaseConnections?: number
  readonly views?: boolean
}

/** Who stands in the audit for what was done here. */
export const COMMAND_LINE = 'command line'

/**
 * Where the cloud keeps its data: what the command line says, else the database that the environment names, else a
 * folder of its own. Throws `bad_usage`.
 */
export function cloudPlace(context: CliContext, options: PlaceOptions): Place {
  const { data } = options
  // What a script meant to fill in: the default in its place would be another cloud.
  for (const [name, value] of [
    ['data', data],
    ['database', options.database],
  ] as const)
    if (value === '') throw new TidemarkError('bad_usage', `--${name} names nothing: its value is empty`)
  const url = options.database ?? (data === undefined ? (context.env[DATABASE_VARIABLE] ?? '') : '')
  if (url === '') return { data: data ?? join(context.folders.data, 'cloud') }
  const { databaseConnections: connections } = options
  const limits = connections === undefined ? {} : { connections }
  const database = { url, limits, views: options.views ?? true }
  if (options.database !== undefined && hasPassword(database))
    context.output.warn(
      `Everyone on this machine can see the password in the list of processes: put the address into ${DATABASE_VARIABLE} instead.`,
    )
  return toPlace({ data, database })
}

/** To look makes nothing: a place that was misspelt is told, not made. */
export const hasDirectory = (place: Place): Promise<boolean> => isCloudAt(place)

/** The accounts and tokens of the cloud in a place; a running server sees changes at once. */
export const openDirectory = (place: Place, context: CliContext): Promise<Directory> =>
  openDirectoryAt(place, context.clock)
