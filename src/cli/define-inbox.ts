import { Option } from 'commander'

import type { CommandTable } from './command-table.ts'

/** tidemark conflicts … | quarantine …: what waits for a person. */
export function defineInbox({ program, define, run }: CommandTable): void {
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
}
