import type { Agents } from '../agents/agents.ts'
import { MESSAGES, SESSIONS } from '../agents/tables.ts'
import { BATCH_TABLES, type BatchRecord, type BatchTable } from './send.ts'

/** The rows of agents.db that are sent, each as the API has it. */
export interface BatchRows {
  /** As it is now; null: it is gone. */
  read(table: BatchTable, id: string): BatchRecord | null
  /** At most `limit` ids after one, in order. */
  idsAfter(table: BatchTable, id: string, limit: number): readonly string[]
  /** Rows after an id. */
  countAfter(table: BatchTable, id: string): number
}

export function openBatchRows({ database, find }: Pick<Agents, 'database' | 'find'>): BatchRows {
  const statements = new Map(
    BATCH_TABLES.map((table) => {
      // An id that is no text, as other programs may write it, names no record.
      const after = `FROM ${table} WHERE id > ? AND typeof(id) = 'text'`
      return [
        table,
        {
          ids: database.prepare<[string, number], string>(`SELECT id ${after} ORDER BY id LIMIT ?`).pluck(),
          count: database.prepare<[string], number>(`SELECT count(*) ${after}`).pluck(),
        },
      ]
    }),
  )
  return {
    read(table, id) {
      const record = table === 'sessions' ? find(SESSIONS, id) : find(MESSAGES, id)
      return record === null ? null : { table, id, json: JSON.stringify(record) }
    },
    idsAfter: (table, id, limit) => statements.get(table)?.ids.all(id, limit) ?? [],
    countAfter: (table, id) => statements.get(table)?.count.get(id) ?? 0,
  }
}
