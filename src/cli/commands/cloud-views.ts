import { openDatabase } from '../../cloud/postgres/pool.ts'
import { describePlace } from '../../cloud/server/place.ts'
import { isCloudAt } from '../../cloud/server/storage.ts'
import { listViews, listViewSpaces, refreshViews, type RefreshedView } from '../../cloud/views/refresh.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { CliContext } from '../context.ts'
import { cloudPlace, type PlaceOptions } from './directory.ts'

/** tidemark cloud views: what is there, or with `--refresh` what was made. */
export async function showViews(
  context: CliContext,
  options: PlaceOptions & { readonly account?: string; readonly refresh?: boolean },
): Promise<void> {
  const place = cloudPlace(context, options)
  if (!('database' in place))
    throw new TidemarkError('bad_usage', 'views are made in PostgreSQL: name a --database')
  if (!(await isCloudAt(place)))
    return context.output.result({ views: [] }, [`There is no cloud in ${describePlace(place)} yet.`])
  await using database = openDatabase(place.database)
  const views: RefreshedView[] = []
  for (const space of await listViewSpaces(database, options.account))
    views.push(...(await (options.refresh === true ? refreshViews : listViews)(database, space)))
  context.output.result(
    { views },
    views.length === 0
      ? ['No space has told its schema yet.']
      : views.map(({ schema, view, state }) => `${WORDS[state].padEnd(10)} ${quote(schema)}.${quote(view)}`),
  )
  if (views.some(({ state }) => state === 'kept'))
    context.output.warn('Something was built on the views that are kept: drop it, and refresh again.')
  if (options.refresh !== true && views.some(({ state }) => state === 'missing' || state === 'behind'))
    context.output.say('Make them: tidemark cloud views --refresh')
}

const WORDS: { readonly [State in RefreshedView['state']]: string } = {
  made: 'made',
  changed: 'changed',
  current: 'up to date',
  kept: 'kept',
  missing: 'missing',
  behind: 'behind',
}

/** As it is written in SQL; what would steer a terminal is shown as a question mark. */
const quote = (name: string): string =>
  `"${name.replaceAll('"', '""').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?')}"`
