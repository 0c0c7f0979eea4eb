import { TidemarkError } from '../../kernel/errors.ts'
import { MAX_TABLES } from '../../protocol/limits.ts'
import type { SchemaTable } from '../../protocol/schema.ts'

/** Replicas with different tables add up: the sum has the same limit as one request. */
export function checkSchemaSize(tables: readonly SchemaTable[]): readonly SchemaTable[] {
  if (tables.length <= MAX_TABLES) return tables
  throw new TidemarkError('unprocessable', `a space has at most ${MAX_TABLES} tables`)
}
