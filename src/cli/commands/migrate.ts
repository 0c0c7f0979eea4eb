import { migrate } from '../../library/migrate.ts'
import type { CliContext } from '../context.ts'
import { countOf } from '../progress.ts'
import { splitNames } from './attach.ts'

export interface MigrateOptions {
  readonly space?: string
  readonly tables?: string
  readonly exclude?: string
}

/** tidemark migrate FILE: what an application's `migrate(database)` does, from a script that sets it up. */
export async function migrateFile(context: CliContext, file: string, options: MigrateOptions): Promise<void> {
  const { folders, clock, random, env } = context
  const done = await migrate(file, {
    space: options.space,
    tables: splitNames(options.tables),
    exclude: splitNames(options.exclude),
    home: folders.data,
    environment: env,
    clock,
    random,
  })
  const tables = countOf(done.tables.length, 'table')
  context.output.result(done, [
    done.migrated
      ? `${done.file} is under sync with ${done.space}: ${tables}, nothing sent yet.`
      : `${done.file} was under sync with ${done.space} already: ${tables}.`,
    ...done.refused.map(({ table, reason }) => `  not synced: ${table}: ${reason}`),
  ])
}
