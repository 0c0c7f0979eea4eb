import type { Hlc } from '../../../kernel/hlc.ts'
import { keyColumn, markTable } from '../capture/names.ts'
import type { SqlValue } from '../driver/driver.ts'
import { SqliteFailure } from '../driver/failure.ts'
import type { Bounds } from './bind.ts'
import { stateTable } from './names.ts'
import { StateFlag } from './state-tables.ts'
import type { SyncedTable } from './synced-table.ts'

/** A new row of this replica's that the cloud took. */
export interface PushedRow {
  /** Of its key, none of them a cast. */
  readonly key: Bounds
  readonly version: number
  /** The row as it was pushed. */
  readonly image: Uint8Array
  /** Of its mark when it was read. */
  readonly at: Hlc
}

/** Rows of one statement: a call costs more than SQLite's own work at one row. Past it nothing more is gained. */
export const PUSHED_ROWS = 32

const FLAGS = StateFlag.live | StateFlag.own

/** Writes the states of `PUSHED_ROWS` rows. False, with nothing done, when something is known of one of them. */
export function addStates(table: SyncedTable, rows: readonly PushedRow[]): boolean {
  const statement = table.query(`add ${PUSHED_ROWS} states`, (place) => {
    const keys = table.keyNames.map((_, at) => keyColumn(at)).join(', ')
    const width = table.keyNames.length + 2
    const values = repeat((row) => {
      const places = Array.from({ length: width }, (_, at) => place(row * width + at))
      places.splice(-1, 0, String(FLAGS))
      return `(${places.join(', ')})`
    })
    return `INSERT INTO ${stateTable(table.number)} (${keys}, version, agreed, image) VALUES ${values.join(', ')}`
  })
  const values: SqlValue[] = []
  for (const { key, version, image } of rows) values.push(...key.values, BigInt(version), image)
  try {
    statement.run({ values, casts: [] })
    return true
  } catch (error) {
    if (error instanceof SqliteFailure && error.constraint !== null) return false
    throw error
  }
}

/** Removes the marks that `PUSHED_ROWS` rows still have from when they were read; answers how many of them had it. */
export function removeMarks(table: SyncedTable, rows: readonly PushedRow[]): number {
  const statement = table.query(`remove ${PUSHED_ROWS} marks`, (place) => {
    const width = table.keyNames.length + 1
    const terms = repeat((row) => {
      const keys = table.keyNames.map((_, at) => `${keyColumn(at)} = ${place(row * width + at)}`)
      return `(${keys.join(' AND ')} AND at = ${place(row * width + width - 1)})`
    })
    return `DELETE FROM ${markTable(table.number)} WHERE ${terms.join(' OR ')}`
  })
  const values: SqlValue[] = []
  for (const { key, at } of rows) values.push(...key.values, BigInt(at))
  return statement.run({ values, casts: [] }).changes
}

const repeat = (one: (row: number) => string): readonly string[] =>
  Array.from({ length: PUSHED_ROWS }, (_, row) => one(row))
