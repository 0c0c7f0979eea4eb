import { findAttachment, listAttachments } from '../../daemon/attachments.ts'
import { openReplica } from '../../daemon/replica.ts'
import { runReplica } from '../../daemon/runner.ts'
import { describeReset } from '../../engine/status.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { engineSettings, requireConnection, type CliContext } from '../context.ts'
import { formatCount } from '../progress.ts'
import { untilStopped } from '../stopping.ts'

/** tidemark run [FILE…]: keeps the files in step until Ctrl-C. */
export async function run(context: CliContext, files: readonly string[]): Promise<void> {
  const { folders, output, clock } = context
  const chosen =
    files.length === 0
      ? listAttachments(folders).filter(({ profile }) => profile === context.config.profile)
      : files.map((file) => {
          const attachment = findAttachment(folders, file)
          if (attachment === undefined)
            throw new TidemarkError('not_attached', undefined, { details: { file } })
          return attachment
        })
  if (chosen.length === 0) throw new TidemarkError('not_attached', 'No file is under sync in this profile')
  await using stack = new AsyncDisposableStack()
  for (const { file, space } of chosen) {
    const connection = requireConnection(context.config)
    const running = stack.use(
      await runReplica(
        folders,
        () => openReplica({ ...context, ...engineSettings(context.config), file, connection }),
        file,
        clock,
      ),
    )
    let told = ''
    running.replica.engine.on((event) => {
      if (event.type === 'pushed') output.say(`${file}: ${formatCount(event.rows)} sent`)
      else if (event.type === 'applied')
        output.say(
          `${file}: ${formatCount(event.rows)} received${event.parked > 0 ? `, ${event.parked} parked` : ''}`,
        )
      else if (event.type === 'conflicts')
        output.say(`${file}: ${event.count} for the inbox (tidemark conflicts list)`)
      else if (event.type === 'quarantined')
        output.warn(`${file}: ${event.count} in quarantine (tidemark quarantine list)`)
      else if (event.type === 'identity')
        output.say(`${file}: ${describeReset({ why: event.why, at: clock.now() })}`)
      else if (event.type === 'error' && event.error.code !== told) {
        told = event.error.code
        output.warn(`${file}: ${event.error.message}. ${event.error.hint}`)
      } else if (event.type === 'synced' && told !== '') {
        told = ''
        output.say(`${file}: in step again`)
      }
    })
    output.say(`${file} ↔ ${space} at ${connection.endpoint}`)
  }
  output.say('Keeping in step. Ctrl-C stops.')
  await untilStopped(context.signal)
  output.say('Stopping …')
}
