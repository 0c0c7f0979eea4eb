import { Option } from 'commander'

import type { LogLevel } from '../daemon/log/daemon-log.ts'
import type { CommandTable } from './command-table.ts'

const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent']

/** tidemark daemon …: the process that does all the rest. */
export function defineDaemon({ program, define, run }: CommandTable): void {
  define(program, 'daemon', 'keep files in step, hold the data of agents, serve the local API')
    .addOption(
      new Option('--log-level <level>', 'what goes into the log').choices(LOG_LEVELS).default('info'),
    )
    .addOption(new Option('--background').hideHelp())
    .action((options) =>
      run(async (context) => (await import('./commands/daemon.ts')).runDaemon(context, options))(),
    )
}
