import type { ServerResponse } from 'node:http'

import { errorBody } from '../../http/errors.ts'
import { SECURITY_HEADERS } from '../../http/headers.ts'
import { sleep, type Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { ServerSentEvent } from './handlers.ts'
import { RETRY_MS, type ApiLimits } from './limits.ts'

export interface EventStream {
  readonly events: AsyncIterable<ServerSentEvent>
  readonly response: ServerResponse
  /** Aborted when the reader is gone or the daemon stops; aborts what makes the events. */
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly limits: ApiLimits
  toError(thrown: unknown): TidemarkError
}

/**
 * Sends events as they come, one asked for when the one before is on its way: a slow reader holds up its own stream
 * and nothing else. Rejects with what is thrown before anything was sent, so that it can be answered with a status;
 * what is thrown later is an event `error`, the last one.
 */
export async function sendEvents(stream: EventStream): Promise<void> {
  const { response, signal, clock, limits } = stream
  const iterator = stream.events[Symbol.asyncIterator]()
  const end = (): void => void response.end()
  try {
    let next = iterator.next()
    // A stream may say nothing for hours, and its reader wants to know that it is one.
    await settledWithin(next, clock, limits.firstEventMs)
    if (signal.aborted) throw new TidemarkError('unavailable', 'The daemon is stopping')
    signal.addEventListener('abort', end, { once: true })
    response.writeHead(200, {
      ...SECURITY_HEADERS,
      'content-type': 'text/event-stream; charset=utf-8',
      // Its connection is used for nothing after it.
      connection: 'close',
    })
    response.write(`retry: ${RETRY_MS}\n\n`)
    const stopKeepAlive = keepAlive(stream)
    try {
      for (let result = await next; result.done !== true; result = await next) {
        if (signal.aborted) return
        if (!response.write(frameOf(result.value))) await drained(stream)
        next = iterator.next()
      }
    } catch (thrown) {
      if (!signal.aborted)
        response.write(frameOf({ event: 'error', data: errorBody(stream.toError(thrown)) }))
    } finally {
      stopKeepAlive()
    }
  } finally {
    signal.removeEventListener('abort', end)
    if (response.headersSent) response.end()
    // Not waited for: one that is in the middle of a wait ends when its signal tells it.
    iterator.return?.().catch(() => {})
  }
}

export const frameOf = ({ event, id, data }: ServerSentEvent): string =>
  `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data ?? null)}\n\n`

/** Resolves when the promise has, or the time is over; rejects when it did within the time. */
async function settledWithin(promise: Promise<unknown>, clock: Clock, ms: number): Promise<void> {
  const waited = new AbortController()
  try {
    await Promise.race([promise, sleep(clock, ms, waited.signal)])
  } finally {
    waited.abort()
  }
}

/** Resolves when there is room again, or nobody reads any more. */
function drained({ response, signal, clock, limits }: EventStream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      cancel()
      response.off('drain', done).off('close', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const cancel = clock.after(limits.stallMs, () => response.destroy())
    response.on('drain', done).on('close', done)
    signal.addEventListener('abort', done, { once: true })
  })
}

/** A comment now and then, so that nobody between takes the stream for dead. Answers what stops it. */
function keepAlive({ response, clock, limits }: EventStream): () => void {
  let cancel = (): void => {}
  const schedule = (): void => {
    cancel = clock.after(limits.keepAliveMs, () => {
      if (response.writableEnded || response.destroyed) return
      if (!response.writableNeedDrain) response.write(': keep-alive\n\n')
      schedule()
    })
  }
  schedule()
  return () => cancel()
}
