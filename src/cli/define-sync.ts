import type { CommandTable } from './command-table.ts'

/** tidemark sync … */
export function defineSync({ program, define, run, endWith }: CommandTable): void {
  const sync = define(program, 'sync', 'see and steer the sync of attached files')
  define(sync, 'status [file]', 'what is in step, what is not, and why').action((file?: string) =>
    run(async (context) => (await import('./commands/sync.ts')).showStatus(context, file))(),
  )
  define(sync, 'now [file]', 'sync at once').action((file?: string) =>
    run(async (context) => {
      endWith(await (await import('./commands/sync.ts')).syncNow(context, file))
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
}
