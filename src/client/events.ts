import { backOffMs } from '../kernel/back-off.ts'
import { sleep } from '../kernel/clock.ts'
import { TidemarkError, toTidemarkError } from '../kernel/errors.ts'
import type { Random } from '../kernel/random.ts'
import type { QueryOf } from '../protocol/daemon-api.ts'
import { DaemonEvent } from '../protocol/daemon-status.ts'
import { readEvents, type ReceivedEvent } from './event-stream.ts'
import { fits } from './fits.ts'
import { openAnswer, type Line } from './request.ts'

/** How long to wait before a stream that broke off is asked for again, in milliseconds: at first, and at most. */
const FIRST_MS = 250
const MAX_MS = 15_000
/** The daemon's first word: where the stream begins. Never handed on. */
const READY = 'ready'
const RESET = 'reset'

/** `event` is null where `type` is `reset`: events are missing, list anew. */
export interface StreamedEvent {
  /** To go on behind it, as `lastEventId`. */
  readonly id: number | null
  readonly type: string
  readonly event: DaemonEvent | null
}

export interface EventsInput {
  readonly query?: QueryOf<'streamEvents'>
  /** Goes on behind this event. Absent: from now on. */
  readonly lastEventId?: number | null
  readonly signal?: AbortSignal | undefined
}

/**
 * What changes, as it changes, for ever: a stream that breaks off is asked for again from where it was. Throws what
 * the daemon refuses, `network` where it does not answer the first time, and `aborted`.
 */
export async function* streamEvents(
  line: Line,
  random: Random,
  { query, lastEventId = null, signal }: EventsInput,
): AsyncGenerator<StreamedEvent, void, void> {
  let last = lastEventId
  let isOpen = false
  for (let failures = 0; ;) {
    try {
      const { response, toError } = await openAnswer(line, 'streamEvents', {
        ...(query === undefined ? {} : { query }),
        lastEventId: last,
        signal,
      })
      isOpen = true
      try {
        for await (const received of readEvents(response)) {
          failures = 0
          last = received.id ?? last
          if (received.event !== READY) yield toStreamed(received)
        }
      } catch (thrown) {
        throw toError(thrown)
      }
    } catch (thrown) {
      const error = toTidemarkError(thrown)
      // The daemon stops with `aborted` too; that the caller did is asked of the caller.
      if (signal?.aborted === true) throw new TidemarkError('aborted')
      if (!isOpen || !error.retry) throw error
    }
    failures++
    await sleep(line.clock, backOffMs(failures, random, { firstMs: FIRST_MS, maxMs: MAX_MS }), signal).catch(
      () => {
        throw new TidemarkError('aborted')
      },
    )
  }
}

function toStreamed({ id, event: type, data }: ReceivedEvent): StreamedEvent {
  if (type === RESET) return { id, type, event: null }
  if (fits<DaemonEvent>(DaemonEvent, data)) return { id, type, event: data }
  throw new TidemarkError('bad_answer', `The event ${type} does not fit the protocol`)
}
