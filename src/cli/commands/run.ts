import { Hosting } from '../../daemon/hosting/hosting.ts'
import type { HostingEvent } from '../../daemon/hosting/hosted-file.ts'
import type { EngineEvent } from '../../engine/engine.ts'
import { describeReset } from '../../engine/status.ts'
import { engineSettings, requireConnection } from '../../daemon/connection.ts'
import type { CliContext } from '../context.ts'
import { describeError } from '../../machine/failures.ts'
import { describeFailure } from '../../daemon/describe-failure.ts'
import { formatCount } from '../progress.ts'
import { untilStopped } from '../stopping.ts'
import { inProfileOf, requireAttachments } from './files.ts'

/** tidemark run [FILE…]: keeps the files in step until Ctrl-C. */
export async function run(context: CliContext, files: readonly string[]): Promise<void> {
  const { output, signal } = context
  const chosen =
    files.length === 0
      ? requireAttachments(context, undefined)
      : files.flatMap((file) => requireAttachments(context, file))
  const settings = new Map(
    chosen.map((attachment) => {
      const { config } = inProfileOf(context, attachment)
      return [attachment.profile, { connection: requireConnection(config), ...engineSettings(config) }]
    }),
  )
  const spaces = new Map(chosen.map(({ file, space }) => [file, space]))
  /** Until all were tried: of one file alone, a failure is the answer. */
  let isStarted = chosen.length > 1
  const tellEngine = teller(context)
  const tell = (event: HostingEvent): void => {
    const { file } = event
    if (event.type === 'engine') tellEngine(file, event.event)
    else if (event.type === 'opened') output.say(`${file} ↔ ${spaces.get(file) ?? ''} at ${event.endpoint}`)
    else if (event.type === 'replaced')
      output.warn(`${file}: another file has taken its place, or none; it is opened anew`)
    else if (isStarted) output.warn(`${file}: ${describeFailure(file, event.error)}`)
  }
  await using hosting = new Hosting({
    machine: context,
    list: () => chosen,
    settingsOf: (profile) => settings.get(profile) ?? null,
    tell,
    unreadable: () => {},
  })
  // A file that is gone, locked or broken keeps the others from nothing (I9).
  const opened = [...(await hosting.settled()).values()]
  isStarted = true
  const failures = opened.filter((failure) => failure !== null)
  const [failure] = failures
  if (failure !== undefined && failures.length === opened.length)
    throw failures.find(({ code }) => code !== 'file_not_found') ?? failure
  output.say('Keeping in step. Ctrl-C stops.')
  await untilStopped(signal)
  output.say('Stopping …')
}

/** Says what happens to files, and of an error only the first time in a row. */
function teller({ output, clock }: CliContext): (file: string, event: EngineEvent) => void {
  const told = new Map<string, string>()
  return (file, event) => {
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
    else if (event.type === 'error' && event.error.code !== told.get(file)) {
      told.set(file, event.error.code)
      output.warn(`${file}: ${describeError(event.error)}. ${event.error.hint}`)
    } else if (event.type === 'synced' && told.delete(file)) output.say(`${file}: in step again`)
  }
}
