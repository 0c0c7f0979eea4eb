import { openCloudSpaces } from '../../cloud/server/cloud-spaces.ts'
import { describePlace } from '../../cloud/server/place.ts'
import type { CliContext } from '../context.ts'
import { countOf } from '../progress.ts'
import { cloudPlace, hasDirectory, type PlaceOptions } from './directory.ts'

/** tidemark cloud spaces: what a cloud holds, also while it is served. */
export async function listSpaces(context: CliContext, options: PlaceOptions): Promise<void> {
  const place = cloudPlace(context, options)
  if (!(await hasDirectory(place)))
    return context.output.result({ spaces: [] }, [`There is no cloud in ${describePlace(place)} yet.`])
  await using cloud = await openCloudSpaces(place, context.clock)
  const counts = await cloud.countSpaces()
  const spaces = (await cloud.directory.listSpaces()).map(({ account, name, id }) => ({
    account,
    name,
    ...(counts.get(id) ?? { epoch: null, head: 0, floor: 0, records: 0, tombstones: 0, replicas: 0 }),
  }))
  const width = Math.max(0, ...spaces.map(({ account, name }) => account.length + name.length))
  context.output.result(
    { spaces },
    spaces.length === 0
      ? ['There is no space yet: the first push into one makes it.']
      : spaces.map(
          ({ account, name, head, records, replicas }) =>
            `${`${account}  ${name}`.padEnd(width + 2)}  version ${head}, ${countOf(records, 'row')}, ${countOf(replicas, 'replica')}`,
        ),
  )
}
