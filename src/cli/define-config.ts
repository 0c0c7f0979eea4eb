import type { CommandTable } from './command-table.ts'
import { EXIT } from './output.ts'

/** tidemark config … | doctor */
export function defineConfig({ program, define, run, endWith }: CommandTable): void {
  const config = define(program, 'config', 'settings')
  define(config, 'set <setting> <value>', 'set endpoint, token, sync_enabled, …').action(
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

  define(program, 'doctor', 'look at everything that can be wrong, and say how to mend it').action(() =>
    run(async (context) => {
      if (!(await (await import('./commands/doctor.ts')).doctor(context))) endWith(EXIT.failed)
    })(),
  )
}
