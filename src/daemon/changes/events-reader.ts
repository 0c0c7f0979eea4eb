import type Database from 'better-sqlite3'

import type { Clock } from '../../kernel/clock.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Random } from '../../kernel/random.ts'
import type { ChangedRow, ChangeFeed } from './change-feed.ts'
import { openBookmark } from './bookmarks.ts'
import type { EventLog, NewEvent } from './event-log.ts'
import { startTurns } from './turns.ts'

/** Lines made into events in one transaction: some milliseconds. */
const LINES = 500
/** How often it is looked for events that are too old, in milliseconds. */
const DELETE_EVERY_MS = 60_000

/** Approvals are not among them: theirs come from daemon.db, where they are decided. */
const RECORDS: { readonly [table: string]: string } = {
  sessions: 'session',
  messages: 'message',
  tool_calls: 'tool_call',
  session_errors: 'session_error',
  compactions: 'compaction',
  projects: 'project',
  notifications: 'notification',
  memories: 'memory',
}
const VERBS: { readonly [verb: string]: string } = {
  insert: 'created',
  update: 'updated',
  delete: 'deleted',
}
/** Every type of event but `reset`. */
export const EVENT_TYPES: readonly string[] = [
  ...Object.values(RECORDS).flatMap((record) => Object.values(VERBS).map((verb) => `${record}_${verb}`)),
  'approval_created',
  'approval_resolved',
]

/** Makes lines of `local_changes` into events of daemon.db, the bookmark in the same transaction (D5). */
export function startEventsReader(options: {
  readonly database: Database.Database
  readonly feed: ChangeFeed
  readonly log: EventLog
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}): Disposable {
  const { database, feed, log, clock } = options
  const bookmark = openBookmark(database, 'events')

  const turn = (): boolean => {
    const at = bookmark.get()
    if (at === null) {
      // The first time: what was before is no news.
      bookmark.set(feed.end())
      return true
    }
    const page = feed.read(at, LINES)
    if (page === null) {
      const end = feed.end()
      database
        .transaction(() => {
          log.appendReset()
          bookmark.set(end)
        })
        .immediate()
    } else {
      if (page.next === at) return false
      database
        .transaction(() => {
          for (const event of page.rows.flatMap(toEvent)) log.append(event)
          bookmark.set(page.next)
        })
        .immediate()
    }
    log.wake()
    return true
  }

  const reading = startTurns({ ...options, name: 'The reader of events', turn })
  const deleting = startTurns({ ...options, name: 'Deleting old events', turn: () => log.deleteOld() })
  const unregister = feed.register(() => bookmark.get())
  const off = feed.on(() => reading.nudge())
  let cancel = (): void => {}
  const sweep = (): void => {
    deleting.nudge()
    cancel = clock.after(DELETE_EVERY_MS, sweep)
  }
  sweep()
  reading.nudge()
  return {
    [Symbol.dispose]() {
      cancel()
      off()
      unregister()
      reading[Symbol.dispose]()
      deleting[Symbol.dispose]()
    },
  }
}

function toEvent({ table, rowId, sessionId, verb }: ChangedRow): readonly NewEvent[] {
  const record = Object.hasOwn(RECORDS, table) ? RECORDS[table] : undefined
  const done = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined
  if (record === undefined || done === undefined) return []
  return [{ type: `${record}_${done}`, record_id: rowId, session_id: sessionId }]
}
