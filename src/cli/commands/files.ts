import { TidemarkError } from '../../kernel/errors.ts'
import { findAttachment, listAttachments, type Attachment } from '../../daemon/attachments.ts'
import type { CliContext } from '../context.ts'
import { describeError } from '../output.ts'

/** The attachments a command is about: the named file, or all of the profile. */
export function chooseAttachments(context: CliContext, file: string | undefined): readonly Attachment[] {
  if (file === undefined)
    return listAttachments(context.folders).filter(({ profile }) => profile === context.config.profile)
  const attachment = findAttachment(context.folders, file)
  if (attachment === undefined) throw new TidemarkError('not_attached', undefined, { details: { file } })
  return [attachment]
}

/** The same; throws `not_attached` when there is none. */
export function requireAttachments(context: CliContext, file: string | undefined): readonly Attachment[] {
  const chosen = chooseAttachments(context, file)
  if (chosen.length === 0) throw new TidemarkError('not_attached', 'No file is under sync in this profile')
  return chosen
}

/** What keeps an attached file from being synced, in a sentence with what to do. */
export function describeFailure(file: string, error: TidemarkError): string {
  const hint =
    error.code === 'file_not_found'
      ? `If it was moved: tidemark attach NEW-PATH. To forget it: tidemark detach ${file}`
      : error.hint
  return `${describeError(error)}. ${hint}`
}

/** The attached file a command means: the one named, or the only one there is. */
export function requireFile(context: CliContext, file: string | undefined): string {
  const [only, ...others] = requireAttachments(context, file)
  if (only === undefined) throw new TidemarkError('not_attached')
  if (others.length === 0) return only.file
  const names = [only, ...others].map((one) => one.file).join(', ')
  throw new TidemarkError('bad_usage', `several files are under sync; name one with --file: ${names}`)
}
