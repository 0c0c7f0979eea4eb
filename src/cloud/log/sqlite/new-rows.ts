import Database from 'better-sqlite3'

import type { PushResult } from '../../../protocol/push.ts'
import type { Change } from '../../../protocol/records.ts'
import { decideNewRow, type Mutation } from '../decide.ts'
import { listClaims, NO_CLAIMS } from '../standing.ts'
import { findStanding, moveHead, type Space, type Storage } from './space.ts'

/** Changes from which on it pays to take them all for new rows first. */
const NEW_ROWS_FROM = 100

/**
 * A first upload: no row and no unique value is looked for, since the indexes tell when one is there after all, and
 * each row is written as soon as it is decided. Null, with nothing done, where that is so or a row is refused, or
 * where anything but a new row is among the changes: then the mutation is decided as any other.
 */
export function pushNewRows(
  storage: Storage,
  space: Space,
  mutation: Mutation,
): { readonly head: number; readonly results: readonly PushResult[] } | null {
  const { changes } = mutation
  if (changes.length < NEW_ROWS_FROM || !changes.every(isNewRow)) return null
  // Where another replica has sent the rows before, one of these tells as a rule.
  const samples = [changes[0], changes[changes.length >> 1], changes.at(-1)]
  const isThere = (change: Change | undefined): boolean =>
    change !== undefined && findStanding(storage, space.no, change.table, change.key, () => {}) !== null
  if (samples.some(isThere)) return null
  const { statements, names } = storage
  statements.beginNewRows.run()
  const isDone = addNewRows(storage, space, mutation)
  if (!isDone) {
    statements.undoNewRows.run()
    names.forget()
  }
  statements.endNewRows.run()
  if (!isDone) return null
  const { head } = space
  return {
    head: head + changes.length,
    results: changes.map((_, at) => ({ status: 'ok', version: head + 1 + at })),
  }
}

const isNewRow = ({ op, base, was, sealed }: Change): boolean =>
  op === 'put' && base === 0 && was === undefined && sealed === undefined

/** By the key of a row, or by a unique value. */
const isTaken = (error: unknown): boolean =>
  error instanceof Database.SqliteError &&
  (error.code === 'SQLITE_CONSTRAINT_UNIQUE' || error.code === 'SQLITE_CONSTRAINT_PRIMARYKEY')

/** False when some row is there, or refused, or wants a value that is taken. */
function addNewRows(storage: Storage, space: Space, { replica, changes }: Mutation): boolean {
  const { statements, names } = storage
  const writer = names.writer(replica)
  const now = storage.now()
  const tables = new Map<string, { readonly no: number; rows: number }>()
  let version = space.head
  moveHead(storage, space, version + changes.length)
  try {
    for (const change of changes) {
      const row = decideNewRow(change, ++version, now)
      if (row === null) return false
      const { hlc, text, claims } = row
      let table = tables.get(change.table)
      if (table === undefined)
        tables.set(change.table, (table = { no: names.table(space.no, change.table), rows: 0 }))
      table.rows++
      const { no } = table
      if (claims === NO_CLAIMS) {
        statements.addPlainRecord.run(space.no, version, writer, hlc, text, no, change.key)
        continue
      }
      const held = JSON.stringify(claims)
      const values = [writer, hlc, null, null, null, text, null, held, no, change.key] as const
      statements.addRecord.run(space.no, version, ...values)
      for (const { index, value } of listClaims(claims)) statements.addClaim.run(no, index, value, change.key)
    }
  } catch (error) {
    if (isTaken(error)) return false
    throw error
  }
  for (const { no, rows } of tables.values()) statements.countTable.run(rows, 0, no)
  return true
}
