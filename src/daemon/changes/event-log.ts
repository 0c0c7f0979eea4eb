import type Database from 'better-sqlite3'

import type { Clock } from '../../kernel/clock.ts'

/** One line of the durable log behind `GET /stream/events`. */
export interface LoggedEvent {
  readonly id: number
  readonly type: string
  readonly record_id: string
  readonly session_id: string | null
  /** Milliseconds. */
  readonly at: number
}

export type NewEvent = Omit<LoggedEvent, 'id' | 'at'>

export interface EventLog {
  /** Writes one event, within the transaction of whoever makes it. `wake` is called once that is committed. */
  append(event: NewEvent): void
  /** Tells listeners that there may be new events. */
  wake(): void
  /** Answers the function that stops listening. */
  on(listener: () => void): () => void
}

export function openEventLog(database: Database.Database, clock: Clock): EventLog {
  const insert = database.prepare(
    'INSERT INTO events (type, record_id, session_id, at) VALUES (@type, @record_id, @session_id, @at)',
  )
  const listeners = new Set<() => void>()
  return {
    append: (event) => void insert.run({ ...event, at: clock.now() }),
    wake: () => listeners.forEach((listener) => listener()),
    on(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}
