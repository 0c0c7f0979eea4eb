import { openReplica } from '../../daemon/replica.ts'
import { runReplica, type RunningReplica } from '../../daemon/runner.ts'
import { describeReset } from '../../engine/status.ts'
import { toTidemarkError, type TidemarkError } from '../../kernel/errors.ts'
import { engineSettings, requireConnection, type CliContext } from '../context.ts'
import { formatCount } from '../progress.ts'
import { untilStopped } from '../stopping.ts'
import { describeFailure, requireAttachments } from './files.ts'

/** tidemark run [FILE…]: keeps the files in step until Ctrl-C. */
export async function run(context: CliContext, files: readonly string[]): Promise<void> {
  const { folders, output, clock } = context
  const chosen =
    files.length === 0
      ? requireAttachments(context, undefined)
      : files.flatMap((file) => requireAttachments(context, file))
  await using stack = new AsyncDisposableStack()
  const failures: TidemarkError[] = []
  for (const { file, space } of chosen) {
    const connection = requireConnection(context.config)
    const open = () => openReplica({ ...context, ...engineSettings(context.config), file, connection })
    let running: RunningReplica
    try {
      running = stack.use(await runReplica(folders, open, file, clock))
    } catch (thrown) {
      // A file that is gone, locked or broken keeps the others from nothing (I9).
      failures.push(toTidemarkError(thrown))
      if (chosen.length > 1) output.warn(`${file}: ${describeFailure(file, toTidemarkError(thrown))}`)
      continue
    }
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
  const [failure] = failures
  if (failure !== undefined && failures.length === chosen.length) throw failure
  output.say('Keeping in step. Ctrl-C stops.')
  await untilStopped(context.signal)
  output.say('Stopping …')
}
