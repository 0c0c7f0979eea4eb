import { sameValue, type Fields } from '../../../../kernel/values.ts'
import type { Bounds } from '../bind.ts'
import type { SyncedTable } from '../synced-table.ts'
import { LetFall, Unfit } from '../unfit.ts'
import { RolledBack } from './obstacle.ts'
import { wholeRow } from './target.ts'

/** True when the key columns of a row, as the table stores them, make the key that its record has. */
export const hasKey = (table: SyncedTable, key: string, fields: Fields): boolean =>
  table.keyOf(fields) === key && table.keepsKey(fields)

/** Throws `Unfit` where the key columns of a row make another key than its record has. */
export function checkKey(table: SyncedTable, key: string, fields: Fields): void {
  if (hasKey(table, key, fields)) return
  throw new Unfit('key: its key columns make another key in this table')
}

export function insertRow(table: SyncedTable, key: string, fields: Fields): void {
  checkKey(table, key, fields)
  if (!table.rows.insert(fields)) throw new LetFall()
}

/** Makes the row at a key these fields, inserting it where it is not. */
export function writeRow(
  table: SyncedTable,
  key: string,
  bounds: Bounds,
  fields: Fields,
  now: Fields | null,
): void {
  if (now === null) return insertRow(table, key, fields)
  checkKey(table, key, fields)
  const whole = wholeRow(table, fields)
  const names = table.names.filter((name) => !sameValue(whole[name], now[name]))
  if (names.length > 0) updateRow(table, bounds, whole, names)
}

export function updateRow(
  table: SyncedTable,
  bounds: Bounds,
  fields: Fields,
  names: readonly string[],
): void {
  if (!table.rows.update(bounds, fields, names)) throw new LetFall()
}

/** Deletes the row of a key. */
export function deleteRow(table: SyncedTable, bounds: Bounds): void {
  if (!table.rows.delete(bounds) && table.rows.read(bounds) !== null) throw new LetFall()
}

/**
 * Runs one write of one row, whole or not at all. A trigger with RAISE(ROLLBACK) takes the whole transaction with it;
 * with RAISE(FAIL) the row would stay although its write failed, known to nobody (I1).
 */
export function writing<T>({ connection, mayFail, name }: SyncedTable, key: string, write: () => T): T {
  if (mayFail) connection.exec('SAVEPOINT tidemark_row')
  try {
    const result = write()
    if (mayFail) connection.exec('RELEASE tidemark_row')
    return result
  } catch (error) {
    if (!connection.inTransaction) throw new RolledBack(name, key)
    if (mayFail) connection.exec('ROLLBACK TO tidemark_row; RELEASE tidemark_row')
    throw error
  }
}
