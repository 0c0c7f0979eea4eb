import type { Attachment } from '../../daemon/attachments.ts'
import { openReplica } from '../../daemon/replica.ts'
import { runReplica, type RunningReplica } from '../../daemon/runner.ts'
import type { EngineEvent } from '../../engine/engine.ts'
import { describeReset } from '../../engine/status.ts'
import { sleep } from '../../kernel/clock.ts'
import type { TidemarkError } from '../../kernel/errors.ts'
import { engineSettings, requireConnection } from '../../daemon/connection.ts'
import type { CliContext } from '../context.ts'
import { toSystemError } from '../../machine/failures.ts'
import { describeError } from '../output.ts'
import { formatCount } from '../progress.ts'
import { untilStopped } from '../stopping.ts'
import { describeFailure, requireAttachments } from './files.ts'

/** How often a file that could not be opened is tried again, in milliseconds. */
const REOPEN_MS = 1_000

/** tidemark run [FILE…]: keeps the files in step until Ctrl-C. */
export async function run(context: CliContext, files: readonly string[]): Promise<void> {
  const { output, signal } = context
  const chosen =
    files.length === 0
      ? requireAttachments(context, undefined)
      : files.flatMap((file) => requireAttachments(context, file))
  const opened: (readonly [Attachment, RunningReplica | TidemarkError])[] = []
  for (const attachment of chosen) {
    // A file that is gone, locked or broken keeps the others from nothing (I9).
    opened.push([attachment, await openRunning(context, attachment).catch(toSystemError)])
  }
  const failures = opened.flatMap(([, one]) => (one instanceof Error ? [one] : []))
  if (opened.length > 1)
    for (const [{ file }, one] of opened)
      if (one instanceof Error) output.warn(`${file}: ${describeFailure(file, one)}`)
  const [failure] = failures
  if (failure !== undefined && failures.length === opened.length) {
    throw failures.find(({ code }) => code !== 'file_not_found') ?? failure
  }
  output.say('Keeping in step. Ctrl-C stops.')
  const all = opened.map(([attachment, one]) => keepInStep(context, attachment, one))
  await untilStopped(signal)
  output.say('Stopping …')
  await Promise.all(all)
}

/** Keeps one file in step until the signal; whatever takes its place is opened anew. */
async function keepInStep(
  context: CliContext,
  attachment: Attachment,
  first: RunningReplica | TidemarkError,
): Promise<void> {
  const { output, signal } = context
  let next = first
  for (;;) {
    if (next instanceof Error) {
      const found = await reopen(context, attachment, next)
      if (found === null) return
      next = found
    }
    const running = next
    try {
      await Promise.race([untilStopped(signal), running.replaced])
    } finally {
      await running[Symbol.asyncDispose]()
    }
    if (signal.aborted) return
    output.warn(`${attachment.file}: another file has taken its place, or none; it is opened anew`)
    next = await openRunning(context, attachment).catch(toSystemError)
    if (next instanceof Error) output.warn(`${attachment.file}: ${describeFailure(attachment.file, next)}`)
  }
}

/** Tries until the file can be opened; null when it is asked to stop. Says once of each reason why it cannot. */
async function reopen(
  context: CliContext,
  attachment: Attachment,
  failure: TidemarkError,
): Promise<RunningReplica | null> {
  let told = failure.code
  for (;;) {
    try {
      await sleep(context.clock, REOPEN_MS, context.signal)
    } catch {
      return null
    }
    try {
      return await openRunning(context, attachment)
    } catch (thrown) {
      const error = toSystemError(thrown)
      if (error.code !== told)
        context.output.warn(`${attachment.file}: ${describeFailure(attachment.file, error)}`)
      told = error.code
    }
  }
}

async function openRunning(context: CliContext, { file, space }: Attachment): Promise<RunningReplica> {
  const connection = requireConnection(context.config)
  const open = () => openReplica({ ...context, ...engineSettings(context.config), file, connection })
  const running = await runReplica(context.folders, open, file, context.clock, teller(context, file))
  context.output.say(`${file} ↔ ${space} at ${connection.endpoint}`)
  return running
}

/** Says what happens to a file, and of an error only the first time in a row. */
function teller({ output, clock }: CliContext, file: string): (event: EngineEvent) => void {
  let told = ''
  return (event) => {
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
      output.warn(`${file}: ${describeError(event.error)}. ${event.error.hint}`)
    } else if (event.type === 'synced' && told !== '') {
      told = ''
      output.say(`${file}: in step again`)
    }
  }
}
