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
import type { Parts } from './parts.ts'

/** The records of agents, and what is made of their changes. */
export interface Records {
  readonly agents: Agents
  readonly feed: ChangeFeed
  readonly events: EventLog
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
  let feed: ChangeFeed | null = null
  const agents = await parts.start(
    "agents' database",
    () => openAgents({ file, clock, random, onWrite: () => feed?.wake() }),
    (one) => one[Symbol.dispose](),
  )
  const changes = await parts.start(
    'feed of changes',
    () => openChangeFeed({ open: () => openAgentsDatabase(file), clock, logger }),
    (one) => one[Symbol.dispose](),
  )
  feed = changes
  const events = await parts.start('log of events', () => openEventLog(database, clock))
  await parts.start(
    'reader of events',
    () => startEventsReader({ database, feed: changes, log: events, clock, random, logger }),
    (one) => one[Symbol.dispose](),
  )
  return { agents, feed: changes, events }
}
