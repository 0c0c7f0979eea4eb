import { join } from 'node:path'

import type Database from 'better-sqlite3'

import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Random } from '../kernel/random.ts'
import type { Folders } from '../machine/folders.ts'
import { openAgents, type Agents } from './agents/agents.ts'
import { openAgentsDatabase } from './agents/database.ts'
import { openChangeFeed, type ChangeFeed } from './changes/change-feed.ts'
import { openEventLog, type EventLog } from './changes/event-log.ts'
import { startEventsReader } from './changes/events-reader.ts'
import { startIndexer, type SearchIndex } from './changes/search/indexer.ts'
import type { Parts } from './parts.ts'

/** The records of agents, and what is made of their changes. */
export interface Records {
  readonly agents: Agents
  readonly feed: ChangeFeed
  readonly events: EventLog
  readonly index: SearchIndex
  /** Calls when another file has taken the place of agents.db. */
  onReplaced(listener: () => void): () => void
  /** Before sync opens a file that has taken its place: here the WAL of the one before is put away. Does not throw. */
  reopen(): void
}

/** `database` is daemon.db. */
export async function startRecords(
  parts: Parts,
  options: {
    readonly database: Database.Database
    readonly folders: Folders
    readonly clock: Clock
    readonly random: Random
    readonly logger: Logger
  },
): Promise<Records> {
  const { database, folders, clock, random, logger } = options
  const file = folders.agents
  const listeners = new Set<() => void>()
  let feed: ChangeFeed | null = null
  const onReplaced = (): void => {
    logger.warn("Another file has taken the place of the agents' database, or none; it is opened anew", {
      file,
    })
    for (const listener of listeners) listener()
  }
  const agents = await parts.start(
    "agents' database",
    () => openAgents({ file, clock, random, onWrite: () => feed?.wake(), onReplaced }),
    (one) => one[Symbol.dispose](),
  )
  const open = (): Database.Database => {
    // First, so that no WAL of a file that was replaced is read with the one that stands there now.
    void agents.database
    return openAgentsDatabase(file)
  }
  const changes = await parts.start(
    'feed of changes',
    () => openChangeFeed({ open, clock, logger }),
    (one) => one[Symbol.dispose](),
  )
  feed = changes
  const events = await parts.start('log of events', () => openEventLog(database, clock))
  await parts.start(
    'reader of events',
    () => startEventsReader({ database, feed: changes, log: events, clock, random, logger }),
    (one) => one[Symbol.dispose](),
  )
  const index = await parts.start(
    'search index',
    () => startIndexer({ file: join(folders.data, 'search.db'), open, feed: changes, clock, random, logger }),
    (one) => one[Symbol.dispose](),
  )
  return {
    agents,
    feed: changes,
    events,
    index,
    onReplaced(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    reopen() {
      try {
        void agents.database
      } catch {
        // What stands there is told by who needs it.
      }
    },
  }
}
