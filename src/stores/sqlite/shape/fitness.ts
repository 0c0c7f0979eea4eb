import { MAX_NAME_CHARS } from '../../../protocol/limits.ts'
import type { Shape } from './shape.ts'

const FOLDED = ['BINARY', 'NOCASE', 'RTRIM']
/** As the wire's schema has them (`protocol/schema.ts`). */
const MAX_TYPE_CHARS = 200
const MAX_EXPRESSION_CHARS = 10_000
const MAX_KEY_COLUMNS = 64
/**
 * Columns of a result, as SQLite has it by default. A row with text that is not well-formed is read with two for each of
 * its columns, its key's once more, beside what is known of it: a table that is wider would stop all others (I9).
 */
const MAX_RESULT_COLUMNS = 2_000
const STATE_COLUMNS = 8
const MAX_UNIQUE = 64
const MAX_FOREIGN_KEYS = 256

/** Why a table that could be read still cannot be synced; null when it can. */
export function findRefusal(shape: Shape): string | null {
  for (const column of shape.key) {
    if (!FOLDED.includes(column.collation))
      return `its key is compared by the collation ${column.collation}, which is not known to fold alike everywhere`
    if (shape.columns[column.at]?.generated !== null) return 'its key is a generated column'
  }
  return findExcess(shape)
}

function findExcess(shape: Shape): string | null {
  const names = [shape.name, ...shape.columns.map((column) => column.name)]
  const expressions = [
    ...shape.checks,
    ...shape.columns.flatMap((column) => [column.default ?? '', column.generated?.as ?? '']),
    ...[...shape.unique, ...shape.indexes].flatMap((index) => [
      index.where ?? '',
      ...index.terms.map((term) => term.expression ?? ''),
    ]),
  ]
  const widest = Math.floor((MAX_RESULT_COLUMNS - STATE_COLUMNS) / 2) - shape.key.length
  if (shape.columns.length > widest) return `more than ${widest} columns`
  if (names.some((name) => name.length > MAX_NAME_CHARS))
    return `a name of more than ${MAX_NAME_CHARS} characters`
  if (names.some((name) => name === '' || !name.isWellFormed())) return 'a name that cannot be carried'
  if (shape.columns.some((column) => column.type.length > MAX_TYPE_CHARS))
    return `a type of more than ${MAX_TYPE_CHARS} characters`
  if (expressions.some((text) => text.length > MAX_EXPRESSION_CHARS))
    return `an expression of more than ${MAX_EXPRESSION_CHARS} characters`
  if (shape.key.length > MAX_KEY_COLUMNS) return `more than ${MAX_KEY_COLUMNS} key columns`
  if (shape.unique.length > MAX_UNIQUE) return `more than ${MAX_UNIQUE} unique indexes`
  if (shape.foreignKeys.length > MAX_FOREIGN_KEYS) return `more than ${MAX_FOREIGN_KEYS} foreign keys`
  return null
}
