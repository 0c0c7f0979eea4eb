import { describePlace } from '../../cloud/server/place.ts'
import { beginGenerations } from '../../cloud/server/storage.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { CliContext } from '../context.ts'
import { cloudPlace, hasDirectory, type PlaceOptions } from './directory.ts'

/** tidemark cloud begin-generation: after a restore of the database that its nodes could not notice. */
export async function beginGeneration(context: CliContext, options: PlaceOptions): Promise<void> {
  const place = cloudPlace(context, options)
  // To begin one makes the tables: a database that was misspelt is told, not filled.
  if ('database' in place && !(await hasDirectory(place)))
    throw new TidemarkError('not_found', `there is no cloud in ${describePlace(place)}`)
  const spaces = await beginGenerations(place, context.clock)
  context.output.result({ spaces }, [
    `A generation begins in ${spaces === 1 ? '1 space' : `${spaces} spaces`}: devices that know newer versions offer them again.`,
  ])
}
