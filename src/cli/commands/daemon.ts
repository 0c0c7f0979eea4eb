import { startDaemon, type Daemon } from '../../daemon/daemon.ts'
import type { LogLevel } from '../../daemon/log/daemon-log.ts'
import { describeFailure } from '../../http/failures.ts'
import type { Logger } from '../../kernel/logger.ts'
import { systemClock } from '../../kernel/clock.ts'
import type { CliContext } from '../context.ts'
import { readVersion } from '../version.ts'
import { untilStopped } from '../stopping.ts'

export interface DaemonOptions {
  readonly logLevel: LogLevel
  /** Without a reader: the log file only. */
  readonly background?: boolean
}

/** tidemark daemon: works until Ctrl-C, SIGTERM or `tidemark daemon stop`. */
export async function runDaemon(context: CliContext, options: DaemonOptions): Promise<void> {
  const { output, folders, env, random, signal, given } = context
  await using daemon = await startDaemon({
    folders,
    env,
    profile: given.profile,
    clock: systemClock,
    random,
    version: readVersion(),
    logLevel: options.logLevel,
    ...(options.background === true || output.quiet || output.json
      ? {}
      : { say: (line) => output.warn(line) }),
  })
  const unguard = guardProcess(daemon.logger)
  try {
    tellReady(context, daemon)
    await untilStopped(AbortSignal.any([signal, daemon.asked]))
  } finally {
    unguard()
  }
}

function tellReady({ output, folders }: CliContext, daemon: Daemon): void {
  const { pid, url } = daemon.note()
  const { on, rule, endpoint } = daemon.settings.current()
  output.result({ pid, url, data: folders.data, sync: on, rule, endpoint }, [
    `Tidemark daemon${url === null ? '' : ` at ${url}`}, data in ${folders.data}`,
    on ? `Sync is on with ${endpoint ?? ''}: ${rule}` : `Sync is off: ${rule}. Nothing leaves this machine.`,
  ])
}

/**
 * What nobody foresaw ends the process: it may stand in the middle of something. All that matters is in the databases,
 * and whoever watches over it starts it anew. Told by its kind and place, for its message may quote a row (D10).
 */
function guardProcess(logger: Logger): () => void {
  const end = (thrown: unknown): void => {
    logger.error('Something failed that was not foreseen: the daemon ends', { ...describeFailure(thrown) })
    process.exit(1)
  }
  process.on('uncaughtException', end)
  process.on('unhandledRejection', end)
  return () => {
    process.off('uncaughtException', end)
    process.off('unhandledRejection', end)
  }
}
