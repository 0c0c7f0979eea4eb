import { createInterface } from 'node:readline/promises'
import { resolve } from 'node:path'

import { CommanderError } from 'commander'

import { findFolders, homeFolders } from '../machine/folders.ts'
import { systemClock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { systemRandom } from '../kernel/random.ts'
import { createConfig, type CliContext } from './context.ts'
import { createProgram } from './create-program.ts'
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
          given: { home: folder === undefined ? undefined : resolve(folder), profile: options.profile },
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

  const program = createProgram({
    env: host.env,
    run,
    endWith: (code) => void (exit = code),
    output: {
      writeOut: (text) => void host.out.write(text),
      // With --json it is told as the one value, below.
      writeErr: (text) => void (json || host.err.write(text)),
    },
  })

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
