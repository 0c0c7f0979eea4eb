import { createInterface } from 'node:readline/promises'
import { resolve } from 'node:path'
import { createRequire } from 'node:module'

import { Command, CommanderError, Option } from 'commander'

import { findFolders, homeFolders } from '../machine/folders.ts'
import { systemClock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { systemRandom } from '../kernel/random.ts'
import { createConfig, type CliContext } from './context.ts'
import { DEFAULT_PORT, defineCloud } from './cloud-commands.ts'
import { parsePort } from './option-values.ts'
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

/** Folder of `tidemark up` where none is named. */
const UP_HOME = 'tidemark-data'

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

  define(program, 'up', 'a first look: cloud, a file and a second replica of it, on this machine')
    .option('--sample', 'with a file of real sample data (the default without --file)')
    .option('--file <file>', 'with a file of your own')
    .option('--port <n>', 'port of the cloud', parsePort, DEFAULT_PORT)
    .option('--until-equal', 'end with exit code 0 once both files are equal')
    .option('-y, --yes', 'attach without asking')
    .action((options) =>
      run(async (context, home) => (await import('./commands/up.ts')).up(context, home, options), UP_HOME)(),
    )

  defineCloud({ program, env: host.env, define, run, endWith: (code) => void (exit = code) })

  define(program, 'attach <file>', 'put a SQLite file under sync')
    .option('--space <name>', 'space of the cloud; absent: the name of the file')
    .option('--tables <list>', 'only these tables')
    .option('--exclude <list>', 'all tables but these')
    .option('--merge', 'join with a space that already holds rows, row by row')
    .option('--no-sync', 'send nothing yet')
    .option('-y, --yes', 'do not ask')
    .action((file: string, options) =>
      run(async (context) => (await import('./commands/attach.ts')).attach(context, file, options))(),
    )
  define(program, 'detach <file>', 'take a file off sync, leaving no trace in it')
    .option('-y, --yes', 'do not ask')
    .action((file: string, options) =>
      run(async (context) => (await import('./commands/attach.ts')).detach(context, file, options))(),
    )
  define(
    program,
    'migrate <file>',
    'prepare the file of an application that syncs by itself, and send nothing',
  )
    .option('--space <name>', 'space of the cloud', 'default')
    .option('--tables <list>', 'only these tables')
    .option('--exclude <list>', 'all tables but these')
    .action((file: string, options) =>
      run(async (context) => (await import('./commands/migrate.ts')).migrateFile(context, file, options))(),
    )
  define(program, 'clone <space> <file>', 'make a replica of a space')
    .option('--no-sync', 'only make the tables')
    .action((space: string, file: string, options) =>
      run(async (context) => (await import('./commands/attach.ts')).clone(context, space, file, options))(),
    )
  define(program, 'run [files...]', 'keep files in step until Ctrl-C').action((files: string[]) =>
    run(async (context) => (await import('./commands/run.ts')).run(context, files))(),
  )

  const sync = define(program, 'sync', 'see and steer the sync of attached files')
  define(sync, 'status [file]', 'what is in step, what is not, and why').action((file?: string) =>
    run(async (context) => (await import('./commands/sync.ts')).showStatus(context, file))(),
  )
  define(sync, 'now [file]', 'sync at once').action((file?: string) =>
    run(async (context) => {
      exit = await (await import('./commands/sync.ts')).syncNow(context, file)
    })(),
  )
  define(sync, 'pending [file]', 'changes that were not sent yet')
    .option('--verbose', 'their keys too')
    .action((file: string | undefined, options) =>
      run(async (context) => (await import('./commands/sync.ts')).showPending(context, file, options))(),
    )
  define(sync, 'reset [file]', 'read and compare everything with the next sync, or join the cloud anew')
    .option('--rejoin', 'under a new identity, with what the cloud has that is newer')
    .option('--overwrite', 'under a new identity; the rows of this file, just restored, win')
    .option('-y, --yes', 'do not ask')
    .action((file: string | undefined, options) =>
      run(async (context) => (await import('./commands/sync.ts')).resetSync(context, file, options))(),
    )

  const config = define(program, 'config', 'settings')
  define(config, 'set <name> <value>', 'set endpoint, token, sync_enabled, …').action(
    (name: string, value: string) =>
      run(async (context) => (await import('./commands/config.ts')).setSetting(context, name, value))(),
  )
  define(config, 'get <name>', 'print a setting')
    .option('--origin', 'where the value comes from')
    .action((name: string, options) =>
      run(async (context) => (await import('./commands/config.ts')).getSetting(context, name, options))(),
    )
  define(config, 'list', 'print all settings').action(() =>
    run(async (context) => (await import('./commands/config.ts')).listSettings(context))(),
  )
  define(config, 'unset <name>', 'take a setting back').action((name: string) =>
    run(async (context) => (await import('./commands/config.ts')).unsetSetting(context, name))(),
  )

  const conflicts = define(program, 'conflicts', 'the inbox: where two values met')
  const inFile = () => new Option('--file <file>', 'the attached file, where there are several')
  define(conflicts, 'list [file]', 'open entries')
    .option('--all', 'settled ones too')
    .action((file: string | undefined, options) =>
      run(async (context) =>
        (await import('./commands/conflicts.ts')).listConflicts(context, file, options),
      )(),
    )
  define(conflicts, 'show <id>', 'both values')
    .addOption(inFile())
    .action((id: string, options) =>
      run(async (context) =>
        (await import('./commands/conflicts.ts')).showConflict(context, id, options.file),
      )(),
    )
  define(conflicts, 'resolve <id> <choice>', 'choose local, remote, or a row as JSON')
    .addOption(inFile())
    .action((id: string, choice: string, options) =>
      run(async (context) =>
        (await import('./commands/conflicts.ts')).resolveConflictEntry(context, id, choice, options.file),
      )(),
    )
  define(conflicts, 'undo <id>', 'put back what lost')
    .addOption(inFile())
    .action((id: string, options) =>
      run(async (context) =>
        (await import('./commands/conflicts.ts')).undoConflict(context, id, options.file),
      )(),
    )
  define(conflicts, 'dismiss <id>', 'take note, change nothing')
    .addOption(inFile())
    .action((id: string, options) =>
      run(async (context) =>
        (await import('./commands/conflicts.ts')).dismissConflict(context, id, options.file),
      )(),
    )

  const quarantine = define(program, 'quarantine', 'changes that the cloud refused for good')
  define(quarantine, 'list [file]', 'what is in it, and why').action((file?: string) =>
    run(async (context) => (await import('./commands/quarantine.ts')).listQuarantine(context, file))(),
  )
  define(quarantine, 'show <id>', 'one entry')
    .addOption(inFile())
    .action((id: string, options) =>
      run(async (context) =>
        (await import('./commands/quarantine.ts')).showQuarantine(context, id, options.file),
      )(),
    )
  define(quarantine, 'retry <id>', 'send it again')
    .addOption(inFile())
    .action((id: string, options) =>
      run(async (context) =>
        (await import('./commands/quarantine.ts')).retryQuarantine(context, id, options.file),
      )(),
    )
  define(quarantine, 'drop <id>', 'give the local change up')
    .addOption(inFile())
    .option('-y, --yes', 'do not ask')
    .action((id: string, options) =>
      run(async (context) =>
        (await import('./commands/quarantine.ts')).dropQuarantine(context, id, options),
      )(),
    )

  define(program, 'doctor', 'look at everything that can be wrong, and say how to mend it').action(() =>
    run(async (context) => {
      if (!(await (await import('./commands/doctor.ts')).doctor(context))) exit = EXIT.failed
    })(),
  )

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
