import type Database from 'better-sqlite3'

import type { Agents } from '../agents/agents.ts'
import { MESSAGES, SESSIONS } from '../agents/tables.ts'
import type { BatchRecord, BatchTable } from './send.ts'

/** The rows of agents.db that are sent, each as the API has it. */
export interface BatchRows {
  /** As it is now; null: it is gone. */
  read(table: BatchTable, id: string): BatchRecord | null
  /** At most `limit` ids after one, in order. */
  idsAfter(table: BatchTable, id: string, limit: number): readonly string[]
  /** Rows after an id. */
  countAfter(table: BatchTable, id: string): number
}

export const openBatchRows = (agents: Pick<Agents, 'database' | 'find'>): BatchRows => ({
  read(table, id) {
    const record = table === 'sessions' ? agents.find(SESSIONS, id) : agents.find(MESSAGES, id)
    return record === null ? null : { table, id, json: JSON.stringify(record) }
  },
  idsAfter: (table, id, limit) =>
    agents.database
      .prepare<[string, number], string>(`SELECT id ${AFTER(table)} ORDER BY id LIMIT ?`)
      .pluck()
      .all(id, limit),
  countAfter: (table, id) => countRowsAfter(agents.database, table, id),
})

export const countRowsAfter = (database: Database.Database, table: BatchTable, id: string): number =>
  database
    .prepare<[string], number>(`SELECT count(*) ${AFTER(table)}`)
    .pluck()
    .get(id) ?? 0

/** An id that is no text, as other programs may write it, names no record. */
const AFTER = (table: BatchTable): string => `FROM ${table} WHERE id > ? AND typeof(id) = 'text'`
