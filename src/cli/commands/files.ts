import { TidemarkError } from '../../kernel/errors.ts'
import { findAttachment, listAttachments } from '../../daemon/attachments.ts'
import type { CliContext } from '../context.ts'

/** The attached file a command means: the one named, or the only one there is. */
export function requireFile(context: CliContext, file: string | undefined): string {
  if (file !== undefined) {
    const attachment = findAttachment(context.folders, file)
    if (attachment === undefined) throw new TidemarkError('not_attached', undefined, { details: { file } })
    return attachment.file
  }
  const [only, ...others] = listAttachments(context.folders).filter(
    ({ profile }) => profile === context.config.profile,
  )
  if (only === undefined) throw new TidemarkError('not_attached', 'No file is under sync in this profile')
  if (others.length > 0)
    throw new TidemarkError(
      'bad_usage',
      `several files are under sync; name one with --file: ${[only, ...others].map((a) => a.file).join(', ')}`,
    )
  return only.file
}
