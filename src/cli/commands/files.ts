import { TidemarkError } from '../../kernel/errors.ts'
import { findAttachment, listAttachments, type Attachment } from '../../daemon/attachments.ts'
import type { CliContext } from '../context.ts'
import { openStoreOf } from '../../daemon/replica.ts'
import { betterSqlite3 } from '../../stores/sqlite/driver/better-sqlite3.ts'
import { spaceOf } from '../../library/space.ts'
import type { SqliteStore } from '../../stores/sqlite/store/store.ts'

/** The attachments a command is about: the named file, or all of the profile. */
export function chooseAttachments(context: CliContext, file: string | undefined): readonly Attachment[] {
  const { config, folders } = context
  if (file === undefined) {
    const { profile: ours } = config
    return listAttachments(folders).filter(({ profile }) => profile === ours)
  }
  const attachment = findAttachment(folders, file)
  if (attachment === undefined) throw notListed(file)
  requireProfileOf(context, attachment)
  return [attachment]
}

/**
 * The same with the profile of an attached file. Its rows go to no other profile's endpoint, whichever one is in use.
 * Throws `bad_usage` where another one was asked for by name.
 */
export function inProfileOf<Context extends CliContext>(context: Context, attachment: Attachment): Context {
  requireProfileOf(context, attachment)
  return { ...context, config: context.config.of(attachment.profile) }
}

function requireProfileOf({ config }: CliContext, { file, profile }: Attachment): void {
  if (!config.isChosen || config.profile === profile) return
  throw new TidemarkError(
    'bad_usage',
    `${file} is under sync in the profile ${profile}: say --profile ${profile}, or detach it and attach it anew`,
  )
}

function notListed(file: string): TidemarkError {
  const message = holdsSync(file)
    ? 'The file is under sync, but by an application or another machine, and not known here'
    : undefined
  return new TidemarkError('not_attached', message, { details: { file } })
}

/** By what lies in the file itself. */
function holdsSync(file: string): boolean {
  try {
    return spaceOf(file, betterSqlite3, undefined) !== null
  } catch {
    return false
  }
}

/** The same; throws `not_attached` when there is none. */
export function requireAttachments(context: CliContext, file: string | undefined): readonly Attachment[] {
  const chosen = chooseAttachments(context, file)
  if (chosen.length === 0) throw new TidemarkError('not_attached', 'No file is under sync in this profile')
  return chosen
}

/**
 * The attached file that a command about an entry means: the one named, the only one there is, or the one that holds
 * the entry. Throws `bad_usage` where a file and its copy hold it both, and `not_found`.
 */
export async function findHolder(
  context: CliContext,
  file: string | undefined,
  holds: (store: SqliteStore) => Promise<boolean>,
): Promise<string> {
  const chosen = requireAttachments(context, file)
  const [only] = chosen
  if (only !== undefined && chosen.length === 1) return only.file
  const holders: string[] = []
  let unreadable: unknown
  for (const { file: name } of chosen) {
    try {
      await using store = await openStoreOf(context.folders, name)
      if (await holds(store)) holders.push(name)
    } catch (thrown) {
      unreadable ??= thrown
    }
  }
  const [holder, ...copies] = holders
  if (holder === undefined)
    throw unreadable ?? new TidemarkError('not_found', 'no file under sync has an entry of this id')
  if (copies.length === 0) return holder
  throw new TidemarkError('bad_usage', `several files hold it; name one with --file: ${holders.join(', ')}`)
}
