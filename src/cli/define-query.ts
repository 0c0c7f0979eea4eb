import type { CommandTable } from './command-table.ts'
import { parseCount } from './option-values.ts'

/** Rows that are shown, and seconds that a query may take, unless said otherwise. */
const ROWS = 1_000
const SECONDS = 60

/** tidemark query */
export function defineQuery({ program, define, run }: CommandTable): void {
  define(program, 'query <sql>', 'read the records of agents, or another file, with SQL')
    .option('--file <file>', 'another SQLite file')
    .option('--limit <n>', 'most rows', parseCount, ROWS)
    .option('--timeout <s>', 'seconds it may take', parseCount, SECONDS)
    .option('--csv', 'print comma-separated values')
    .action((sql: string, options) =>
      run(async (context) => (await import('./commands/query.ts')).query(context, sql, options))(),
    )
}
