import type { CommandTable } from './command-table.ts'
import { EXIT } from './output.ts'

/** tidemark config … | config profiles … | doctor */
export function defineConfig({ program, define, run, endWith }: CommandTable): void {
  const config = define(program, 'config', 'settings')
  define(config, 'set <setting> <value>', 'set endpoint, token, … (token -: from the input)').action(
    (name: string, value: string) =>
      run(async (context) => (await import('./commands/config.ts')).setSetting(context, name, value))(),
  )
  define(config, 'get <setting>', 'print a setting')
    .option('--origin', 'where the value comes from')
    .action((name: string, options) =>
      run(async (context) => (await import('./commands/config.ts')).getSetting(context, name, options))(),
    )
  define(config, 'list', 'print all settings').action(() =>
    run(async (context) => (await import('./commands/config.ts')).listSettings(context))(),
  )
  define(config, 'unset <setting>', 'take a setting back').action((name: string) =>
    run(async (context) => (await import('./commands/config.ts')).unsetSetting(context, name))(),
  )

  const profiles = define(config, 'profiles', 'names for settings that belong together')
  define(profiles, 'list', 'which there are, and which is in use').action(() =>
    run(async (context) => (await import('./commands/profiles.ts')).showProfiles(context))(),
  )
  define(profiles, 'use <name>', 'take it where no --profile is given').action((name: string) =>
    run(async (context) => (await import('./commands/profiles.ts')).chooseProfile(context, name))(),
  )
  define(profiles, 'add <name>', 'make one')
    .option('--copy <from>', 'with the settings of another, but not its token')
    .action((name: string, options) =>
      run(async (context) => (await import('./commands/profiles.ts')).makeProfile(context, name, options))(),
    )
  define(profiles, 'remove <name>', 'its settings and its token')
    .option('-y, --yes', 'do not ask')
    .action((name: string, options) =>
      run(async (context) => (await import('./commands/profiles.ts')).dropProfile(context, name, options))(),
    )

  define(program, 'doctor', 'look at everything that can be wrong, and say how to mend it').action(() =>
    run(async (context) => {
      if (!(await (await import('./commands/doctor.ts')).doctor(context))) endWith(EXIT.failed)
    })(),
  )
}
