import type { Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Folders } from '../machine/folders.ts'
import { OPERATIONS } from '../protocol/daemon-api.ts'
import { agentHandlers } from './agents/handlers.ts'
import { NOTIFICATIONS, SESSIONS } from './agents/tables.ts'
import type { Handlers, Streams } from './api/handlers.ts'
import { removeRunNote, writeRunNote } from './api/run-note.ts'
import { startApi, type Api } from './api/server.ts'
import { createEventStream } from './changes/event-stream.ts'
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
    readonly sync: SyncHandlers
    readonly folders: Folders
    readonly port: number
    readonly version: string
    readonly startedAt: number
    readonly clock: Clock
    readonly logger: Logger
    readonly token: string
  },
): Promise<Api> {
  const { records, sync, folders, port, version, startedAt, clock, logger, token } = options
  const { agents, events } = records
  const handlers = withMissing({ ...agentHandlers(agents, clock), ...sync })
  const { streamEvents } = createEventStream(events, {
    session: (id) => agents.find(SESSIONS, id),
    notification: (id) => agents.find(NOTIFICATIONS, id),
    approval: () => null,
  })
  const streams: Streams = {
    streamEvents,
    streamApprovalContext: () => {
      throw new TidemarkError('unavailable', 'This operation is not there yet')
    },
  }
  const api = await parts.start(
    'local API',
    () => startApi({ handlers, streams, token, port, version, logger, clock }),
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

/** Operations whose rooms are not there yet refuse by name. */
function withMissing(known: Partial<Handlers>): Handlers {
  const missing = Object.keys(OPERATIONS).map((id) => [
    id,
    () => {
      throw new TidemarkError('unavailable', 'This operation is not there yet')
    },
  ])
  return { ...(Object.fromEntries(missing) as Handlers), ...known }
}
