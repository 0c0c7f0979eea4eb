import { ERRORS, TidemarkError, type ErrorCode } from '../../../kernel/errors.ts'

/**
 * What SQLite said, without row values: its extended code by name, and for a failed constraint its kind and
 * the names in it. SQLite's own message is left out where a trigger or a function of the application may
 * have written it.
 */
export class SqliteFailure extends TidemarkError {
  /** Extended result code by name, such as `SQLITE_CONSTRAINT_UNIQUE`. */
  readonly sqlite: string
  readonly constraint: ConstraintKind | null
  /** What a UNIQUE, PRIMARY KEY or NOT NULL failure names: `table.column` each, or an index. */
  readonly names: readonly string[]

  constructor(sqlite: string, message: string) {
    const constraint = constraintKind(sqlite)
    const names = constraint === null ? [] : constraintNames(constraint, message)
    super(codeOf(sqlite), sentence(sqlite, constraint, names, message), {
      details: { sqlite, constraint, names },
    })
    this.name = 'SqliteFailure'
    this.sqlite = sqlite
    this.constraint = constraint
    this.names = names
  }
}

export type ConstraintKind =
  | 'unique'
  | 'primary-key'
  | 'rowid'
  | 'not-null'
  | 'check'
  | 'foreign-key'
  | 'trigger'
  | 'datatype'
  | 'other'

const CONSTRAINTS: { readonly [code: string]: ConstraintKind } = {
  SQLITE_CONSTRAINT_UNIQUE: 'unique',
  SQLITE_CONSTRAINT_PRIMARYKEY: 'primary-key',
  SQLITE_CONSTRAINT_ROWID: 'rowid',
  SQLITE_CONSTRAINT_NOTNULL: 'not-null',
  SQLITE_CONSTRAINT_CHECK: 'check',
  SQLITE_CONSTRAINT_FOREIGNKEY: 'foreign-key',
  SQLITE_CONSTRAINT_TRIGGER: 'trigger',
  SQLITE_CONSTRAINT_DATATYPE: 'datatype',
}

const constraintKind = (sqlite: string): ConstraintKind | null =>
  sqlite.startsWith('SQLITE_CONSTRAINT') ? (CONSTRAINTS[sqlite] ?? 'other') : null

const CODES: readonly (readonly [prefix: string, code: ErrorCode])[] = [
  ['SQLITE_BUSY', 'database_locked'],
  ['SQLITE_LOCKED', 'database_locked'],
  ['SQLITE_FULL', 'disk_full'],
  ['SQLITE_IOERR', 'disk_full'],
  ['SQLITE_NOTADB', 'not_a_database'],
  ['SQLITE_CORRUPT', 'not_a_database'],
  // A file that is gone is told before it is opened.
  ['SQLITE_CANTOPEN', 'no_access'],
  ['SQLITE_READONLY', 'no_access'],
  ['SQLITE_PERM', 'no_access'],
  ['SQLITE_AUTH', 'no_access'],
  ['SQLITE_CONSTRAINT', 'unprocessable'],
]

/** Failures that nothing but a full disk causes; a broken one answers with others of the same kind. */
const NO_ROOM: ReadonlySet<string> = new Set(['SQLITE_FULL', 'SQLITE_IOERR_SHMSIZE'])

const codeOf = (sqlite: string): ErrorCode =>
  CODES.find(([prefix]) => sqlite.startsWith(prefix))?.[1] ?? 'invariant'

function sentence(
  sqlite: string,
  constraint: ConstraintKind | null,
  names: readonly string[],
  message: string,
): string {
  if (constraint !== null)
    return `${constraint} constraint failed${names.length === 0 ? '' : `: ${names.join(', ')}`}`
  const code = codeOf(sqlite)
  if (code === 'disk_full' && !NO_ROOM.has(sqlite)) return `The disk failed, or is full (${sqlite})`
  if (code === 'disk_full' || code === 'database_locked') return `${ERRORS[code].title} (${sqlite})`
  return `${sqlite}${isSchemaMessage(message) ? `: ${message}` : ''}`
}

/** Messages of SQLite's own that name schema objects only. */
const isSchemaMessage = (message: string): boolean =>
  /^(unknown function|no such (table|column|function|collation sequence|module|index|view|trigger)|error in (table|index|view|trigger)|malformed database schema|unsafe use of|too many levels of trigger recursion|triggers nested too deep|table .* already exists|duplicate column|attempt to write a readonly|database disk image|file is not a database|database is locked|database or disk is full|disk I\/O error|unable to open)/.test(
    message,
  )

function constraintNames(constraint: ConstraintKind, message: string): readonly string[] {
  if (constraint === 'check' || constraint === 'trigger' || constraint === 'foreign-key') return []
  const named = /^(?:UNIQUE|NOT NULL) constraint failed: (.+)$/s.exec(message)?.[1]
  return named === undefined ? [] : named.split(', ')
}
