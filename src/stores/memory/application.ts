import type { Encoded, Fields } from '../../kernel/values.ts'
import { ConstraintError, type ConstraintCode } from './constraint-error.ts'
import type { MemoryFile } from './file.ts'
import {
  anchorOf,
  childrenOf,
  isDangling,
  referencesOf,
  referencesTo,
  type Reference,
} from './foreign-keys.ts'
import { rowOf } from './local-row.ts'
import { integerOf } from './storage-class.ts'
import { isUnkeyed, type MemoryTable } from './table.ts'

/** The application's statements inside one transaction. Values are encoded; each statement is all or nothing. */
export interface Application {
  /** Missing columns get their defaults, a missing integer key a fresh one. Answers the row as it stands. */
  insert(table: string, row: Fields): Fields
  /** `INSERT OR REPLACE`: rows in the way go. */
  replace(table: string, row: Fields): Fields
  /** Changes the row with these key values. Answers how many rows there were: 0 or 1. */
  update(table: string, where: Fields, set: Fields): number
  /** Deletes the row with these key values; foreign key actions run. Answers how many rows there were: 0 or 1. */
  remove(table: string, where: Fields): number
  get(table: string, where: Fields): Fields | null
  rows(table: string): readonly Fields[]
}

/** One transaction of the application on the file. `finish` checks what was deferred; call it before the commit. */
export function createApplication(
  file: MemoryFile,
  options: { readonly foreignKeys: boolean },
): Application & { finish(): void } {
  const deferred: Check[] = []

  const statement = <T>(run: (checks: Check[]) => T): T => {
    const savepoint = file.journal.writes
    const checks: Check[] = []
    try {
      const result = run(checks)
      for (const check of checks) {
        if (check.reference.foreignKey.deferred === true) deferred.push(check)
        else verify(check)
      }
      return result
    } catch (thrown) {
      file.journal.rollbackTo(savepoint)
      throw thrown
    }
  }

  const insert = (table: MemoryTable, given: Fields, replace: boolean, checks: Check[]): Fields => {
    checkColumns(table, given)
    const row = withIntegerKey(table, rowOf(table, given, undefined))
    requireOwnRules(table, row)
    const key = table.keyOf(row)
    if (replace) {
      const inTheWay = new Set(table.blockersOf(key ?? '', row).values())
      if (key !== null && table.rows.has(key)) inTheWay.add(key)
      for (const blocker of inTheWay) remove(table, blocker, checks)
    }
    if (key !== null && table.rows.has(key)) throw keyTaken(table)
    write(table, key, row, checks)
    return row
  }

  const write = (
    table: MemoryTable,
    key: string | null,
    row: Fields,
    checks: Check[],
    before?: Fields,
  ): void => {
    const place = key ?? freshPlace(table)
    const [taken] = table.blockersOf(place, row).keys()
    if (taken !== undefined) throw uniqueTaken(table, taken)
    table.put(place, row)
    if (key !== null) table.marks.set(key, file.time)
    if (!options.foreignKeys) return
    for (const reference of referencesOf(file, table)) {
      const { columns } = reference.foreignKey
      if (before !== undefined && columns.every((name) => before[name] === row[name])) continue
      checks.push({ reference, key: place })
    }
  }

  const remove = (table: MemoryTable, key: string, checks: Check[]): void => {
    const row = table.rows.get(key)
    if (row === undefined) return
    table.drop(key)
    if (!isUnkeyed(key)) table.marks.set(key, file.time)
    leaveParents(table, row, null, checks)
  }

  const update = (table: MemoryTable, key: string, set: Fields, checks: Check[]): void => {
    const before = table.rows.get(key)
    if (before === undefined) return
    checkColumns(table, set)
    const row = { ...before, ...set }
    requireOwnRules(table, row)
    const next = table.keyOf(row)
    if (next !== null && next !== key && table.rows.has(next)) throw keyTaken(table)
    table.drop(key)
    if (!isUnkeyed(key)) table.marks.set(key, file.time)
    write(table, next, row, checks, before)
    leaveParents(table, before, row, checks)
  }

  /** The children of a parent that went, or whose referenced columns changed. */
  const leaveParents = (table: MemoryTable, before: Fields, after: Fields | null, checks: Check[]): void => {
    if (!options.foreignKeys) return
    for (const reference of referencesTo(file, table)) {
      const anchor = anchorOf(reference, before)
      if (anchor === null || (after !== null && anchorOf(reference, after) === anchor)) continue
      const { child, foreignKey } = reference
      const action =
        (after === null ? foreignKey.onDelete : foreignKey.onUpdate)?.toUpperCase() ?? 'NO ACTION'
      for (const key of childrenOf(reference, anchor)) {
        if (action === 'RESTRICT') throw foreignKeyFailed()
        if (action === 'CASCADE') {
          if (after === null) remove(child, key, checks)
          else update(child, key, pointingTo(reference, after), checks)
        } else if (action === 'SET NULL')
          update(
            child,
            key,
            setAll(foreignKey.columns, () => null),
            checks,
          )
        else if (action === 'SET DEFAULT')
          update(
            child,
            key,
            setAll(foreignKey.columns, (name) => child.defaults[name] ?? null),
            checks,
          )
        else checks.push({ reference, key })
      }
    }
  }

  const verify = ({ reference, key }: Check): void => {
    const row = reference.child.rows.get(key)
    if (row !== undefined && isDangling(reference, row)) throw foreignKeyFailed()
  }

  const tableOf = (name: string): MemoryTable => {
    const table = file.tables.get(name)
    if (table === undefined) throw new Error(`no such table: ${name}`)
    return table
  }

  const find = (table: MemoryTable, where: Fields): string | null => {
    const key = table.keyOf(where)
    return key !== null && table.rows.has(key) ? key : null
  }

  return {
    insert: (table, row) => statement((checks) => insert(tableOf(table), row, false, checks)),
    replace: (table, row) => statement((checks) => insert(tableOf(table), row, true, checks)),
    update: (table, where, set) =>
      statement((checks) => {
        const key = find(tableOf(table), where)
        if (key !== null) update(tableOf(table), key, set, checks)
        return key === null ? 0 : 1
      }),
    remove: (table, where) =>
      statement((checks) => {
        const key = find(tableOf(table), where)
        if (key !== null) remove(tableOf(table), key, checks)
        return key === null ? 0 : 1
      }),
    get(table, where) {
      const key = find(tableOf(table), where)
      return key === null ? null : (tableOf(table).rows.get(key) ?? null)
    },
    rows: (table) => [...tableOf(table).rows.entries()].map(([, row]) => row),
    finish() {
      for (const check of deferred) verify(check)
    },
  }
}

/** A child that has to point somewhere when the statement, or the transaction, ends. */
interface Check {
  readonly reference: Reference
  readonly key: string
}

function freshPlace(table: MemoryTable): string {
  let at = table.unkeyed.size
  while (table.rows.has(`#${at}`)) at++
  return `#${at}`
}

function checkColumns(table: MemoryTable, fields: Fields): void {
  const unknown = Object.keys(fields).find((name) => !table.columns.includes(name))
  if (unknown !== undefined) throw new Error(`no such column: ${table.name}.${unknown}`)
}

/** An `INTEGER PRIMARY KEY` that is not given is one more than the largest; an integral real becomes an integer. */
function withIntegerKey(table: MemoryTable, row: Fields): Fields {
  const [name] = table.schema.key
  if (table.schema.rowidAlias !== true || name === undefined) return row
  const given = row[name] ?? null
  if (given === null) return { ...row, [name]: nextId(table) }
  const folded: unknown = JSON.parse(table.textOf([name], [given]) ?? '[]')
  const [id] = folded as readonly Encoded[]
  return id === undefined || integerOf(id) === null ? row : { ...row, [name]: id }
}

function nextId(table: MemoryTable): Encoded {
  const [name] = table.schema.key
  let largest = table.largest.get()
  const isThere = name !== undefined && table.rows.has(table.textOf([name], [Number(largest)]) ?? '')
  if (table.schema.autoincrement !== true && !isThere) {
    largest = 0n
    for (const [, row] of table.rows.entries()) {
      const id = integerOf(row[name ?? ''])
      if (id !== null && id > largest) largest = id
    }
  }
  return Number(largest) + 1
}

function requireOwnRules(table: MemoryTable, row: Fields): void {
  const fault = table.faultOf(row)
  if (fault === null) return
  const place = `${table.name}.${fault.column}`
  if (fault.rule === 'not null')
    throw new ConstraintError('SQLITE_CONSTRAINT_NOTNULL', `NOT NULL constraint failed: ${place}`)
  if (table.schema.strict === true)
    throw new ConstraintError('SQLITE_CONSTRAINT_DATATYPE', `cannot store this value in column ${place}`)
  throw new ConstraintError('SQLITE_MISMATCH', 'datatype mismatch')
}

function keyTaken(table: MemoryTable): ConstraintError {
  const code: ConstraintCode =
    table.schema.rowidAlias === true ? 'SQLITE_CONSTRAINT_ROWID' : 'SQLITE_CONSTRAINT_PRIMARYKEY'
  const columns = table.schema.key.map((name) => `${table.name}.${name}`)
  return new ConstraintError(code, `UNIQUE constraint failed: ${columns.join(', ')}`)
}

function uniqueTaken(table: MemoryTable, claim: string): ConstraintError {
  const terms = table.schema.unique.find((index) => index.claim === claim)?.terms ?? []
  const columns = terms.map(({ column }) => `${table.name}.${column ?? ''}`)
  return new ConstraintError('SQLITE_CONSTRAINT_UNIQUE', `UNIQUE constraint failed: ${columns.join(', ')}`)
}

const foreignKeyFailed = (): ConstraintError =>
  new ConstraintError('SQLITE_CONSTRAINT_FOREIGNKEY', 'FOREIGN KEY constraint failed')

function pointingTo({ foreignKey, references }: Reference, parent: Fields): Fields {
  return Object.fromEntries(
    foreignKey.columns.map((name, at) => [name, parent[references[at] ?? ''] ?? null]),
  )
}

function setAll(columns: readonly string[], value: (name: string) => Encoded): Fields {
  return Object.fromEntries(columns.map((name) => [name, value(name)]))
}
