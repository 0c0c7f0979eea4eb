import { Command, type OutputConfiguration } from 'commander'

import type { CommandTable } from './command-table.ts'
import { defineAccount } from './define-account.ts'
import { defineAgents, defineApprovals } from './define-agents.ts'
import { defineCloud } from './define-cloud.ts'
import { defineConfig } from './define-config.ts'
import { defineDaemon } from './define-daemon.ts'
import { defineFiles } from './define-files.ts'
import { defineInbox } from './define-inbox.ts'
import { defineQuery } from './define-query.ts'
import { defineSync } from './define-sync.ts'
import { addExamples } from './examples.ts'
import { readVersion } from './version.ts'

/** Every family of commands, in the order of the help. */
const FAMILIES = [
  defineFiles,
  defineDaemon,
  defineSync,
  defineInbox,
  defineQuery,
  defineConfig,
  defineAccount,
  defineCloud,
  defineAgents,
  defineApprovals,
]

/** The whole command line: what there is to type, with its help. */
export function createProgram(
  options: Omit<CommandTable, 'program' | 'define'> & { readonly output: OutputConfiguration },
): Command {
  const program = new Command()
    .name('tidemark')
    .description('Local-first cloud sync: your SQLite stays the truth, every device stays in step.')
    .version(readVersion())
    .option('--profile <name>', 'configuration profile (TIDEMARK_PROFILE)')
    .option('--home <dir>', 'keep configuration and data of Tidemark in this folder')
    .option('--json', 'print one JSON value')
    .option('-q, --quiet', 'print results and errors only')
    .showHelpAfterError('(see tidemark --help)')
    .configureOutput(options.output)
    .exitOverride()
  const define = (parent: Command, usage: string, about: string): Command => {
    const command = parent.command(usage).description(about).copyInheritedSettings(parent).exitOverride()
    return command.showHelpAfterError(`(see ${wordsOf(command)} --help)`)
  }
  for (const defineFamily of FAMILIES) defineFamily({ ...options, program, define })
  addExamples(program)
  return program
}

/** How a command is called, from the first word on. */
const wordsOf = (command: Command): string =>
  command.parent === null ? command.name() : `${wordsOf(command.parent)} ${command.name()}`
