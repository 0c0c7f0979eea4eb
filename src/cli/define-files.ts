import { DEFAULT_PORT } from './define-cloud.ts'
import type { CommandTable } from './command-table.ts'
import { parsePort } from './option-values.ts'

/** Folder of `tidemark up` where none is named. */
const UP_HOME = 'tidemark-data'

/** tidemark up | attach | detach | migrate | clone | run: files come under sync, and go. */
export function defineFiles({ program, define, run }: CommandTable): void {
  define(program, 'up', 'a first look: cloud, a file and a second replica of it, on this machine')
    .option('--sample', 'with a file of real sample data (the default without --file)')
    .option('--file <file>', 'with a file of your own')
    .option('--port <n>', 'port of the cloud', parsePort, DEFAULT_PORT)
    .option('--until-equal', 'end with exit code 0 once both files are equal')
    .option('-y, --yes', 'attach without asking')
    .action((options) =>
      run(async (context, home) => (await import('./commands/up.ts')).up(context, home, options), UP_HOME)(),
    )

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
}
