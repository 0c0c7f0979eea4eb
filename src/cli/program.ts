import { createInterface } from 'node:readline/promises'
import { resolve } from 'node:path'
import { createRequire } from 'node:module'

import { Command, CommanderError } from 'commander'

import { findFolders, homeFolders } from '../machine/folders.ts'
import { systemClock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { systemRandom } from '../kernel/random.ts'
import { createConfig, type CliContext } from './context.ts'
import type { CommandTable } from './command-table.ts'
import { defineCloud } from './define-cloud.ts'
import { defineConfig } from './define-config.ts'
import { defineFiles } from './define-files.ts'
import { defineInbox } from './define-inbox.ts'
import { defineSync } from './define-sync.ts'
import { createOutput, EXIT, reportError, type Streams } from './output.ts'

interface GlobalOptions {
  readonly profile?: string
  readonly home?: string
  readonly json?: boolean
  readonly quiet?: boolean
}

export interface CliProcess extends Streams {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean }
  readonly signal: AbortSignal
}

/** Runs one command line; answers the exit code. */
export async function runCli(argv: readonly string[], host: CliProcess): Promise<number> {
  let exit: number = EXIT.done
  const program = new Command()
  const json = argv.includes('--json')
  const fallback = createOutput(host, { json, quiet: false })

  const run =
    (work: (context: CliContext, home: string) => unknown, home?: string) => async (): Promise<void> => {
      const options = program.opts<GlobalOptions>()
      const output = createOutput(host, { json: options.json === true, quiet: options.quiet === true })
      try {
        const folder = options.home ?? home
        const folders = folder === undefined ? findFolders(host.env) : homeFolders(folder)
        const context: CliContext = {
          output,
          folders,
          env: host.env,
          clock: systemClock,
          random: systemRandom,
          config: createConfig(folders, host.env, options.profile),
          signal: host.signal,
          input: host.input,
          out: host.out,
          confirm: (question) => confirm(host, question),
        }
        await work(context, resolve(folder ?? folders.data))
      } catch (thrown) {
        // A person who pressed Ctrl-C knows; a program wants its one value.
        const told = host.signal.aborted && !output.json ? EXIT.interrupted : reportError(output, thrown)
        exit = host.signal.aborted ? EXIT.interrupted : told
      }
    }

  program
    .name('tidemark')
    .description('Local-first cloud sync: your SQLite stays the truth, every device stays in step.')
    .version(readVersion())
    .option('--profile <name>', 'configuration profile (TIDEMARK_PROFILE)')
    .option('--home <dir>', 'keep configuration and data of Tidemark in this folder')
    .option('--json', 'print one JSON value')
    .option('-q, --quiet', 'print results and errors only')
    .showHelpAfterError('(see tidemark --help)')
    .configureOutput({
      writeOut: (text) => void host.out.write(text),
      // With --json it is told as the one value, below.
      writeErr: (text) => void (json || host.err.write(text)),
    })
    .exitOverride()
  const define = (parent: Command, usage: string, about: string): Command =>
    parent.command(usage).description(about).exitOverride()

  const table: CommandTable = { program, env: host.env, define, run, endWith: (code) => void (exit = code) }
  for (const defineSome of [defineFiles, defineCloud, defineSync, defineConfig, defineInbox])
    defineSome(table)

  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) return reportError(fallback, thrown)
    if (thrown.exitCode === 0) return EXIT.done
    return json ? reportError(fallback, usageError(thrown)) : EXIT.usage
  }
  return exit
}

/** What Commander did not understand; of a command without a subcommand it only shows the help. */
function usageError({ code, message }: CommanderError): TidemarkError {
  const what = code === 'commander.help' ? 'a command is missing' : message.replace(/^error: /, '')
  return new TidemarkError('bad_usage', what)
}

async function confirm(host: CliProcess, question: string): Promise<boolean> {
  if (host.input.isTTY !== true || host.err.isTTY !== true) return false
  const prompt = createInterface({ input: host.input, output: process.stderr })
  try {
    const answer = await prompt.question(`${question} [y/N] `, { signal: host.signal })
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    prompt.close()
  }
}

const readVersion = (): string =>
  (createRequire(import.meta.url)('../../package.json') as { readonly version: string }).version
