import type { CommandTable } from './command-table.ts'

/** tidemark devices … | whoami | logout | completion */
export function defineAccount({ program, define, run }: CommandTable): void {
  const devices = define(program, 'devices', 'the machines of the account')
  define(devices, 'list', 'all of them').action(() =>
    run(async (context) => (await import('./commands/devices.ts')).listDevices(context))(),
  )
  define(devices, 'register', 'this machine, again where it was removed')
    .option('--name <text>', 'as the others are to see it')
    .action((options) =>
      run(async (context) => (await import('./commands/devices.ts')).registerThisDevice(context, options))(),
    )
  define(devices, 'rename <id> <name>', 'give one another name').action((id: string, name: string) =>
    run(async (context) => (await import('./commands/devices.ts')).renameDevice(context, id, name))(),
  )
  define(devices, 'remove <id>', 'a lost or sold one: its token stops at once')
    .option('-y, --yes', 'do not ask')
    .action((id: string, options) =>
      run(async (context) => (await import('./commands/devices.ts')).removeDevice(context, id, options))(),
    )
  define(program, 'whoami', 'profile, cloud and device of this machine').action(() =>
    run(async (context) => (await import('./commands/account.ts')).whoAmI(context))(),
  )
  define(program, 'logout', 'forget the token of this profile').action(() =>
    run(async (context) => (await import('./commands/account.ts')).logOut(context))(),
  )
  define(program, 'completion <shell>', 'a script that completes commands: bash, zsh or fish').action(
    (shell: string) =>
      run(async (context) =>
        (await import('./commands/completion.ts')).printCompletion(context, program, shell),
      )(),
  )
}
