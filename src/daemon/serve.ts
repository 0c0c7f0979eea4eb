import type { Clock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Folders } from '../machine/folders.ts'
import { agentHandlers } from './agents/handlers.ts'
import { NOTIFICATIONS, SESSIONS } from './agents/tables.ts'
import type { Handlers, Streams } from './api/handlers.ts'
import { removeRunNote, writeRunNote } from './api/run-note.ts'
import { startApi, type Api } from './api/server.ts'
import type { Approvals } from './approvals/approvals.ts'
import { createEventStream } from './changes/event-stream.ts'
import { createSearch } from './changes/search/search.ts'
import type { Parts } from './parts.ts'
import type { Records } from './records.ts'
import type { SyncHandlers } from './sync-handlers.ts'

/** What the API's own end gets, in milliseconds: it bounds itself. */
const API_END_MS = 8_000

/** Serves the API of all rooms. */
export async function serveApi(
  parts: Parts,
  options: {
    readonly records: Records
    readonly approvals: Approvals
    readonly sync: SyncHandlers
    readonly folders: Folders
    readonly port: number
    readonly anyPort: boolean
    readonly version: string
    readonly startedAt: number
    readonly clock: Clock
    readonly logger: Logger
    readonly token: string
  },
): Promise<Api> {
  const { records, approvals, sync, folders, port, anyPort, version, startedAt, clock, logger, token } =
    options
  const { agents, events, index } = records
  const handlers: Handlers = {
    ...agentHandlers(agents, clock),
    ...createSearch(index, clock),
    ...approvals.handlers,
    ...sync,
  }
  const streams: Streams = {
    ...approvals.streams,
    ...createEventStream(events, {
      session: (id) => agents.find(SESSIONS, id),
      notification: (id) => agents.find(NOTIFICATIONS, id),
      approval: (id) => approvals.find(id),
    }),
  }
  const api = await parts.start(
    'local API',
    () => startApi({ handlers, streams, token, port, anyPort, version, logger, clock }),
    (one) => one.close(),
    API_END_MS,
  )
  await parts.start(
    'note of where it listens',
    () => writeRunNote(folders, { url: api.url, version, started_at: startedAt }),
    () => removeRunNote(folders),
  )
  return api
}
