import { DIRECTORY_FIRST } from '../directory/postgres-schema.ts'
import { LOG_FIRST } from '../log/postgres/schema.ts'
import { VIEW_FUNCTIONS } from '../views/sql.ts'
import type { Migration } from './migrate.ts'

/** Every step of the cloud's database: log and directory together, since nodes have both. */
export const MIGRATIONS: readonly Migration[] = [
  { number: 1, sql: LOG_FIRST + DIRECTORY_FIRST + VIEW_FUNCTIONS, readableFrom: 1 },
]
