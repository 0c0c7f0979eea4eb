import { Option } from 'commander'

import type { LogLevel } from '../daemon/log/daemon-log.ts'
import type { CommandTable } from './command-table.ts'
import { parseCountOrNone } from './option-values.ts'

/** Exit code of `daemon status` where none runs, as service managers have it. */
const NOT_RUNNING = 3

const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent']

/** tidemark daemon …: the process that does all the rest. */
export function defineDaemon({ program, define, run, endWith }: CommandTable): void {
  const daemon = define(program, 'daemon', 'keep files in step, hold the data of agents, serve the local API')
    .addOption(
      new Option('--log-level <level>', 'what goes into the log').choices(LOG_LEVELS).default('info'),
    )
    .addOption(new Option('--background').hideHelp())
    .action((options) =>
      run(async (context) => (await import('./commands/daemon.ts')).runDaemon(context, options))(),
    )
  const service = () => import('./commands/daemon-service.ts')
  define(daemon, 'install', 'have it started at login, as a service of this user').action(() =>
    run(async (context) => (await service()).installDaemon(context))(),
  )
  define(daemon, 'uninstall', 'have it started at login no more').action(() =>
    run(async (context) => (await service()).uninstallDaemon(context))(),
  )
  define(daemon, 'start', 'in the background; ends once it is ready').action(() =>
    run(async (context) => (await service()).startDaemon(context))(),
  )
  define(daemon, 'stop', 'ends once it has finished what was under way').action(() =>
    run(async (context) => (await service()).stopDaemon(context))(),
  )
  define(daemon, 'restart', 'stop and start; also where it was not running').action(() =>
    run(async (context) => (await service()).restartDaemon(context))(),
  )
  define(daemon, 'status', 'exit code 0: it runs, 3: it does not').action(() =>
    run(async (context) => {
      if (!(await (await service()).showDaemon(context))) endWith(NOT_RUNNING)
    })(),
  )
  define(daemon, 'logs', 'the last lines of its log')
    .option('-f, --follow', 'and all that come, until Ctrl-C')
    .option('-n, --lines <n>', 'so many', parseCountOrNone, 50)
    .action((options) =>
      run(async (context) => (await import('./commands/daemon-logs.ts')).showLogs(context, options))(),
    )
}
