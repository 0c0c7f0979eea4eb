import type { Fields } from '../src/kernel/values.ts'
import type { Tables } from './model.ts'

/** One statement of the simulated application. `where` holds the key columns of the one row it means. */
export type Statement =
  | { readonly op: 'insert' | 'replace'; readonly table: string; readonly row: Fields }
  | { readonly op: 'update'; readonly table: string; readonly where: Fields; readonly set: Fields }
  | { readonly op: 'delete'; readonly table: string; readonly where: Fields }

/** The application's own connection to a replica's database. */
export interface Application {
  /** One transaction; false when a constraint refused it, and then nothing was written. */
  write(statements: readonly Statement[]): boolean
  /** Every row of every synced table, by canonical key. */
  read(): Tables
  /** Adds a text column without a default; false when there was no room. */
  addColumn(table: string, column: string): boolean
  hasColumn(table: string, column: string): boolean
}
