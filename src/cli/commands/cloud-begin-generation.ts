import { beginGenerations } from '../../cloud/server/storage.ts'
import type { CliContext } from '../context.ts'
import { cloudPlace, type PlaceOptions } from './directory.ts'

/** tidemark cloud begin-generation: after a restore of the database that its nodes could not notice. */
export async function beginGeneration(context: CliContext, options: PlaceOptions): Promise<void> {
  const spaces = await beginGenerations(cloudPlace(context, options), context.clock)
  context.output.result({ spaces }, [
    `A generation begins in ${spaces === 1 ? '1 space' : `${spaces} spaces`}: devices that know newer versions offer them again.`,
  ])
}
