import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'

import type { Clock } from '../../kernel/clock.ts'
import { bodyTooLarge, collectBody } from '../../http/collect-body.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { silentMetrics, type Metrics } from '../metrics.ts'
import { decompress, isQuick, readEncoding } from './decompress.ts'
import type { ServerLimits } from './limits.ts'
import { createTurns } from './turns.ts'

/**
 * Large bodies that are decompressed at the same time. What comes out of one is in memory twice, at the end, before
 * anybody knows how much it is: each may take 64 MiB, and more than two would not be through sooner on two cores.
 */
const DECOMPRESSED_AT_ONCE = 2
/** Large bodies that wait for it, as they were sent. */
const MAX_WAITING = 64

/** Bytes of request bodies in memory, counted over all requests. */
export interface BodyBudget {
  used: number
}

export interface BodyReader {
  /** Rejects with `payload_too_large`, `unsupported_encoding`, `bad_request`, `unavailable`. */
  read(source: Readable, headers: IncomingMessage['headers']): Promise<ReceivedBody>
}

export interface ReceivedBody {
  readonly bytes: Buffer
  /** Gives its bytes back to the budget; once. */
  release(): void
}

/** Reads bodies whole, within a bound each and a bound together, and never waits for ever. */
export function createBodyReader(
  clock: Clock,
  limits: ServerLimits,
  metrics: Metrics = silentMetrics,
): BodyReader {
  const budget: BodyBudget = { used: 0 }
  const turns = createTurns(DECOMPRESSED_AT_ONCE, MAX_WAITING, TOO_MANY)
  metrics.watch('bodyBytes', {}, () => budget.used)
  metrics.watch('waitingBodies', {}, () => turns.waiting)

  return {
    async read(source, headers) {
      const encoding = readEncoding(headers['content-encoding'])
      if (Number(headers['content-length'] ?? 0) > limits.bodyBytes) throw bodyTooLarge(limits)
      let held = 0
      const hold = (bytes: number): void => {
        held += bytes
        budget.used += bytes
        if (budget.used > limits.bodiesBytes) {
          throw new TidemarkError('unavailable', TOO_MANY, { retryAfterMs: 1_000 })
        }
      }
      const release = (): void => {
        budget.used -= held
        held = 0
      }
      try {
        const sent = await collectBody(source, clock, limits, hold)
        if (encoding === 'identity') return { bytes: sent, release }
        const work = () => decompress(encoding, sent, limits.bodyBytes)
        const bytes = await (isQuick(sent) ? work() : turns.take(work))
        hold(bytes.length - sent.length)
        return { bytes, release }
      } catch (error) {
        release()
        throw error
      }
    },
  }
}

const TOO_MANY = 'Too many large requests at the same time'
