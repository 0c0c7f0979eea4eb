/** A write of the application that a constraint refused, with SQLite's name for the rule. */
export class ConstraintError extends Error {
  readonly code: ConstraintCode

  constructor(code: ConstraintCode, message: string) {
    super(message)
    this.name = 'ConstraintError'
    this.code = code
  }
}

export type ConstraintCode =
  | 'SQLITE_CONSTRAINT_UNIQUE'
  | 'SQLITE_CONSTRAINT_PRIMARYKEY'
  | 'SQLITE_CONSTRAINT_ROWID'
  | 'SQLITE_CONSTRAINT_NOTNULL'
  | 'SQLITE_CONSTRAINT_FOREIGNKEY'
  | 'SQLITE_CONSTRAINT_DATATYPE'
  | 'SQLITE_MISMATCH'
