import { TidemarkError } from '../../kernel/errors.ts'
import type { DaemonEvent } from '../../protocol/daemon-status.ts'
import type { ApiRequest, ServerSentEvent, Streams } from '../api/handlers.ts'
import { RESET, type EventLog, type LoggedEvent } from './event-log.ts'
import { EVENT_TYPES } from './events-reader.ts'

/** What an event's `data` is read with when it is sent; null: gone since. */
export interface EventRecords {
  readonly session: (id: string) => unknown
  readonly notification: (id: string) => unknown
  readonly approval: (id: string) => unknown
}

/** The first word of each stream. */
const READY = 'ready'
/** Events read at once for one listener: it has no more in memory, however slow it is. */
const PAGE = 100

/** `GET /stream/events`: reads the table as fast as the listener takes events, and waits at its end. */
export function createEventStream(log: EventLog, records: EventRecords): Pick<Streams, 'streamEvents'> {
  return {
    streamEvents(request) {
      const asked = placeOf(request)
      const filter = { types: typesOf(request), session: request.query.session_id ?? null }
      // Before this function answers: what happens while the listener gets ready is not missed.
      return stream(log, records, filter, asked, log.end(), request.signal)
    },
  }
}

async function* stream(
  log: EventLog,
  records: EventRecords,
  filter: Parameters<EventLog['read']>[1],
  asked: number | null,
  end: number,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent, void, void> {
  const waiting = listen(log, signal)
  try {
    let at = asked ?? end
    // Where it begins: whose connection breaks before the first event goes on from here all the same.
    yield { event: READY, id: at, data: { type: READY } }
    while (!signal.aborted) {
      waiting.expect()
      if (!log.holdsAfter(at)) {
        at = log.end()
        yield { event: RESET, id: at, data: { type: RESET } }
      }
      const { events, next } = log.read(at, filter, PAGE)
      for (const event of events) {
        if (signal.aborted) return
        yield toSent(event, records)
      }
      if (next === at) await waiting.next()
      at = next
    }
  } finally {
    waiting.close()
  }
}

/** Waits for the next `wake` since `expect`, or for the end. */
function listen(log: EventLog, signal: AbortSignal) {
  let woken = false
  let resolve = (): void => {}
  const wake = (): void => {
    woken = true
    resolve()
  }
  const off = log.on(wake)
  signal.addEventListener('abort', wake)
  return {
    expect: () => {
      woken = false
    },
    next: () =>
      new Promise<void>((done) => {
        resolve = done
        if (woken || signal.aborted) done()
      }),
    close() {
      off()
      signal.removeEventListener('abort', wake)
    },
  }
}

function toSent(
  { id, type, record_id, session_id, at }: LoggedEvent,
  records: EventRecords,
): ServerSentEvent {
  if (type === RESET) return { event: RESET, id, data: { type } }
  const data: DaemonEvent = { type, id: record_id, session_id, at }
  const read = readerOf(type, records)
  return { event: type, id, data: read === null ? data : { ...data, data: read(record_id) } }
}

function readerOf(type: string, records: EventRecords): ((id: string) => unknown) | null {
  if (/^session_(created|updated|deleted)$/.test(type)) return records.session
  if (type.startsWith('notification_')) return records.notification
  if (type.startsWith('approval_')) return records.approval
  return null
}

type Asked = ApiRequest<'streamEvents'>

/** Where to go on. What a listener got last says more than the address it was given at first. */
function placeOf({ lastEventId, query }: Asked): number | null {
  if (lastEventId === undefined || lastEventId === '') return query.after ?? null
  if (!/^\d{1,15}$/.test(lastEventId))
    throw new TidemarkError('bad_request', 'Last-Event-ID is not the id of an event')
  return Number(lastEventId)
}

function typesOf({ query }: Asked): readonly string[] | null {
  if (query.types === undefined) return null
  const types = query.types.split(',').map((type) => type.trim())
  const unknown = types.find((type) => type !== RESET && !EVENT_TYPES.includes(type))
  if (unknown !== undefined)
    throw new TidemarkError('bad_request', 'types names a type of event that there is not', {
      details: { types: EVENT_TYPES },
    })
  return types
}
