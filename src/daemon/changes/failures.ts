import Database from 'better-sqlite3'

import { toTidemarkError, type ErrorCode } from '../../kernel/errors.ts'
import { SqliteFailure } from '../../stores/sqlite/driver/failure.ts'

/** What failed, as far as a log may have it. */
export function describeFailure(error: unknown): { readonly code: ErrorCode; readonly sqlite?: string } {
  if (error instanceof Database.SqliteError) {
    const { code, sqlite } = new SqliteFailure(error.code, error.message)
    return { code, sqlite }
  }
  return { code: toTidemarkError(error).code }
}
