import type Database from 'better-sqlite3'

import type { SessionInput, SessionPatch, Session } from '../../protocol/agents.ts'
import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { uuidV7, type Random } from '../../kernel/random.ts'
import { guarded, openAgentsDatabase } from './database.ts'
import { listPage, type Asked, type Filter, type Page } from './list.ts'
import { SESSIONS, type Table } from './tables.ts'
import { patch, requireSession, upsert, upsertSql } from './write.ts'

/** Rows of a session that are counted where its source told no number; of more than these none is told. */
const MAX_COUNTED = 100_000
/** The same for each session of a list. */
const MAX_COUNTED_IN_LIST = 1_000

/** The records of local agents. Every call is one transaction, and throws what SQLite refused as an error of ours. */
export interface Agents extends Disposable {
  /** For other readers and writers in this thread. They leave no transaction open. */
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
}): Agents {
  const { clock, random, onWrite = () => {} } = options
  const database = openAgentsDatabase(options.file)
  const upserts = new Map<
    string,
    { readonly upsert: Database.Statement; readonly session: Database.Statement }
  >()
  const statementsOf = <R>(table: Table<R>) => {
    const known = upserts.get(table.name)
    if (known !== undefined) return known
    const session = 'session_id' in Object.fromEntries(table.fields) ? 'session_id' : 'NULL'
    const made = {
      upsert: database.prepare(upsertSql(table)),
      session: database.prepare(`SELECT ${session} FROM ${table.name} WHERE id = ?`),
    }
    upserts.set(table.name, made)
    return made
  }
  const read = <R>(table: Table<R>, id: string): R | undefined => {
    const row = database
      .prepare<[string], readonly unknown[]>(`SELECT ${table.select} FROM ${table.name} WHERE id = ?`)
      .raw()
      .safeIntegers()
      .get(id)
    return row === undefined ? undefined : table.toRecord(row)
  }
  const count = (table: 'messages' | 'tool_calls', session: string, most: number): number | null => {
    const sql = `SELECT count(*) FROM (SELECT 1 FROM ${table} WHERE session_id = ? LIMIT ${most + 1})`
    const counted = Number(database.prepare(sql).pluck().get(session))
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
    if (database.prepare('SELECT 1 FROM sessions WHERE id = ?').get(id) === undefined)
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
  const reading = <T>(work: () => T): T => guarded(() => database.transaction(work).deferred())
  const writing = <T>(work: () => { readonly wrote: boolean; readonly answer: T }): T => {
    const { wrote, answer } = guarded(() => database.transaction(work).immediate())
    if (wrote) onWrite()
    return answer
  }
  const upsertMany = <R>(table: Table<R>, inputs: readonly RecordInput[], of?: string): readonly R[] =>
    writing(() => {
      if (of !== undefined) requireKnown(of)
      const now = clock.now()
      const ids = idsFor(inputs, now)
      const statements = statementsOf(table)
      let wrote = false
      for (const [index, input] of inputs.entries()) {
        const id = ids[index] ?? ''
        if (of !== undefined) requireSession(statements.session, table, id, of, index)
        const values = of === undefined ? input : { ...input, session_id: of }
        wrote = upsert(statements.upsert, table, id, values, now) || wrote
      }
      const answer = ids.flatMap((id) => read(table, id) ?? [])
      return { wrote, answer }
    })
  let open = true
  return {
    database,
    session: (id) => reading(() => session(id)),
    find: (table, id) => reading(() => read(table, id) ?? null),
    requireSession: (id) => reading(() => requireKnown(id)),
    sessions: (filters, asked) =>
      reading(() => {
        const { records, next } = listPage(database, SESSIONS, filters, 'DESC', asked)
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
        const wrote = patch(database, SESSIONS, id, changes, clock.now())
        return { wrote, answer: session(id) }
      }),
    archive: (id, archived) =>
      writing(() => {
        requireKnown(id)
        const now = BigInt(clock.now())
        const sql = `UPDATE sessions SET archived_at = ${archived ? '@now' : 'NULL'}, updated_at = @now
          WHERE id = @id AND archived_at IS ${archived ? '' : 'NOT '}NULL`
        const wrote = database.prepare(sql).run({ id, now }).changes > 0
        return { wrote, answer: session(id) }
      }),
    list: (table, filters, order, asked) => reading(() => listPage(database, table, filters, order, asked)),
    upsertMany,
    [Symbol.dispose]() {
      if (open) database.close()
      open = false
    },
  }
}
