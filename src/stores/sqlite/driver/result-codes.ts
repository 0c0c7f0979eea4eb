/** SQLite's result codes by number: primary in the low byte, extended above it. */
const PRIMARY: readonly string[] = [
  'OK', 'ERROR', 'INTERNAL', 'PERM', 'ABORT', 'BUSY', 'LOCKED', 'NOMEM', 'READONLY', 'INTERRUPT', 'IOERR', 'CORRUPT',
  'NOTFOUND', 'FULL', 'CANTOPEN', 'PROTOCOL', 'EMPTY', 'SCHEMA', 'TOOBIG', 'CONSTRAINT', 'MISMATCH', 'MISUSE', 'NOLFS',
  'AUTH', 'FORMAT', 'RANGE', 'NOTADB', 'NOTICE', 'WARNING',
] // prettier-ignore

const CONSTRAINTS: readonly string[] = [
  '', 'CHECK', 'COMMITHOOK', 'FOREIGNKEY', 'FUNCTION', 'NOTNULL', 'PRIMARYKEY', 'TRIGGER', 'UNIQUE', 'VTAB', 'ROWID',
  'PINNED', 'DATATYPE',
] // prettier-ignore

const CONSTRAINT = 19

/** Name of a result code, such as `SQLITE_CONSTRAINT_UNIQUE` for 2067. Only constraints are told apart further. */
export function resultName(code: number): string {
  const primary = PRIMARY[code & 0xff] ?? `CODE_${code & 0xff}`
  const extended = (code & 0xff) === CONSTRAINT ? CONSTRAINTS[code >> 8] : undefined
  return `SQLITE_${primary}${extended === undefined || extended === '' ? '' : `_${extended}`}`
}
