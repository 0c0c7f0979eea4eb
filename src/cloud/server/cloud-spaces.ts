import { join } from 'node:path'

import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { Directory } from '../directory.ts'
import { openSqliteDirectory } from '../directory/sqlite.ts'
import type { OpenCopy, SpaceCounts } from '../log/copy.ts'
import { countSpaces, openSpaceCopy } from '../log/sqlite/copy.ts'
import { describePlace, type Place } from './place.ts'
import { CLOUD_FILE, isCloudAt } from './storage.ts'

/** The spaces of a cloud for who only looks, while others serve it. */
export interface CloudSpaces extends AsyncDisposable {
  readonly directory: Directory
  /** As the log's method of that name. */
  copySpace(id: string): Promise<OpenCopy>
  /** By their ids; one that has only a name is not among them. */
  countSpaces(): Promise<ReadonlyMap<string, SpaceCounts>>
}

/** Rejects with `file_not_found` where no cloud was ever opened, and with what opening it rejects with. */
export async function openCloudSpaces(place: Place, clock: Clock): Promise<CloudSpaces> {
  if (!(await isCloudAt(place)))
    throw new TidemarkError('file_not_found', `There is no cloud in ${describePlace(place)}`)
  if ('database' in place) {
    const { openPostgresSpaces } = await import('./postgres-storage.ts')
    return openPostgresSpaces(place.database, clock)
  }
  const file = join(place.data, CLOUD_FILE)
  const directory = await openSqliteDirectory({ file, clock })
  return {
    directory,
    copySpace: async (id) => openSpaceCopy(file, id),
    countSpaces: async () => countSpaces(file),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}
