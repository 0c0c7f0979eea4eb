import type Database from 'better-sqlite3'

import type { SessionInput, SessionPatch, Session } from '../../protocol/agents.ts'
import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { uuidV7, type Random } from '../../kernel/random.ts'
import { openAgentsFile } from './agents-file.ts'
import { guarded } from './database.ts'
import { listPage, type Asked, type Filter, type Page } from './list.ts'
import { SESSIONS, type Table } from './tables.ts'
import { patch, requireSession, upsert, upsertSql } from './write.ts'

/** Rows of a session that are counted where its source told no number; of more than these none is told. */
const MAX_COUNTED = 100_000
/** The same for each session of a list. */
const MAX_COUNTED_IN_LIST = 1_000

/** The records of local agents. Every call is one transaction, and throws what SQLite refused as an error of ours. */
export interface Agents extends Disposable {
  /**
   * For other readers and writers in this thread, who leave no transaction open. Asked for anew each time: the file may
   * be replaced while it is open, and what was made of the connection of before is closed then.
   */
  readonly database: Database.Database
  session(id: string): Session
  /** A record as the API has it; null where there is none. */
  find<R>(table: Table<R>, id: string): R | null
  /** Throws `not_found`. */
  requireSession(id: string): void
  sessions(filters: readonly Filter[], asked: Asked): Page<Session>
  upsertSession(input: SessionInput): Session
  patchSession(id: string, changes: SessionPatch): Session
  archive(id: string, archived: boolean): Session
  list<R>(table: Table<R>, filters: readonly Filter[], order: 'ASC' | 'DESC', asked: Asked): Page<R>
  /** All or none; answers each record as it stands then. Of a session: throws `not_found`, `unprocessable`. */
  upsertMany<R>(table: Table<R>, inputs: readonly RecordInput[], session?: string): readonly R[]
}

export interface RecordInput {
  readonly id?: string
}

export function openAgents(options: {
  readonly file: string
  readonly clock: Clock
  readonly random: Random
  /** Called when rows were written through this object, once they are committed. */
  readonly onWrite?: () => void
  /** Called once another file is open that has taken the place of the one before. */
  readonly onReplaced?: () => void
}): Agents {
  const { clock, random, onWrite = () => {} } = options
  const file = openAgentsFile(options.file, options.onReplaced)
  const read = <R>(table: Table<R>, id: string): R | undefined => {
    const statement = file.prepare(`SELECT ${table.select} FROM ${table.name} WHERE id = ?`)
    const row = statement.raw().safeIntegers().get(id)
    return row === undefined ? undefined : table.toRecord(row as readonly unknown[])
  }
  const count = (table: 'messages' | 'tool_calls', session: string, most: number): number | null => {
    const sql = `SELECT count(*) FROM (SELECT 1 FROM ${table} WHERE session_id = ? LIMIT ?)`
    const counted = Number(
      file
        .prepare(sql)
        .pluck()
        .get(session, most + 1),
    )
    return counted > most ? null : counted
  }
  const withCounts = (session: Session, most: number): Session => ({
    ...session,
    message_count: session.message_count ?? count('messages', session.id, most),
    tool_call_count: session.tool_call_count ?? count('tool_calls', session.id, most),
  })
  const session = (id: string): Session => {
    const found = read(SESSIONS, id)
    if (found === undefined) throw new TidemarkError('not_found', 'there is no such session')
    return withCounts(found, MAX_COUNTED)
  }
  const requireKnown = (id: string): void => {
    if (file.prepare('SELECT 1 FROM sessions WHERE id = ?').get(id) === undefined)
      throw new TidemarkError('not_found', 'there is no such session')
  }
  /** Ids that the daemon makes grow within a request: rows of one moment stand in the order they came in. */
  const idsFor = (inputs: readonly RecordInput[], now: number): readonly string[] => {
    const made = inputs
      .filter(({ id }) => id === undefined)
      .map(() => uuidV7(now, random))
      .sort()
      .values()
    return inputs.map(({ id }) => id?.toWellFormed() ?? String(made.next().value))
  }
  const reading = <T>(work: () => T): T => guarded(() => file.database.transaction(work).deferred())
  const writing = <T>(work: () => { readonly wrote: boolean; readonly answer: T }): T => {
    const { wrote, answer } = guarded(() => file.database.transaction(work).immediate())
    if (wrote) onWrite()
    return answer
  }
  const upsertMany = <R>(table: Table<R>, inputs: readonly RecordInput[], of?: string): readonly R[] =>
    writing(() => {
      if (of !== undefined) requireKnown(of)
      const now = clock.now()
      const ids = idsFor(inputs, now)
      const statement = file.prepare(upsertSql(table))
      const isOfSession = of !== undefined && table.fields.some(([column]) => column === 'session_id')
      let wrote = false
      for (const [index, input] of inputs.entries()) {
        const id = ids[index] ?? ''
        if (isOfSession) requireSession(file, table, id, of, index)
        const values = of === undefined ? input : { ...input, session_id: of }
        wrote = upsert(statement, table, id, values, now) || wrote
      }
      const answer = ids.flatMap((id) => read(table, id) ?? [])
      return { wrote, answer }
    })
  return {
    get database() {
      return file.database
    },
    session: (id) => reading(() => session(id)),
    find: (table, id) => reading(() => read(table, id) ?? null),
    requireSession: (id) => reading(() => requireKnown(id)),
    sessions: (filters, asked) =>
      reading(() => {
        const { records, next } = listPage(file, SESSIONS, filters, 'DESC', asked)
        return { records: records.map((record) => withCounts(record, MAX_COUNTED_IN_LIST)), next }
      }),
    upsertSession: (input) => {
      const [made] = upsertMany(SESSIONS, [input])
      if (made === undefined) throw new TidemarkError('invariant', 'a session that was written is gone')
      return session(made.id)
    },
    patchSession: (id, changes) =>
      writing(() => {
        requireKnown(id)
        const wrote = patch(file, SESSIONS, id, changes, clock.now())
        return { wrote, answer: session(id) }
      }),
    archive: (id, archived) =>
      writing(() => {
        requireKnown(id)
        const now = BigInt(clock.now())
        const sql = `UPDATE sessions SET archived_at = ${archived ? '@now' : 'NULL'}, updated_at = @now
          WHERE id = @id AND archived_at IS ${archived ? '' : 'NOT '}NULL`
        const wrote = file.prepare(sql).run({ id, now }).changes > 0
        return { wrote, answer: session(id) }
      }),
    list: (table, filters, order, asked) => reading(() => listPage(file, table, filters, order, asked)),
    upsertMany,
    [Symbol.dispose]: () => file[Symbol.dispose](),
  }
}
