import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'

import type { Clock } from '../../kernel/clock.ts'
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
      if (Number(headers['content-length'] ?? 0) > limits.bodyBytes) throw tooLarge(limits)
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
        const sent = await collect(source, clock, limits, hold)
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

const tooLarge = (limits: ServerLimits): TidemarkError =>
  new TidemarkError('payload_too_large', undefined, { details: { limit: limits.bodyBytes } })

/** The bytes as sent. What comes after a refusal is left to the connection to throw away. */
function collect(
  source: Readable,
  clock: Clock,
  limits: ServerLimits,
  hold: (bytes: number) => void,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const late = (): void => finish(new TidemarkError('unavailable', 'The body did not arrive in time'))
    const cancelTotal = clock.after(limits.bodyTotalMs, late)
    let cancelIdle = clock.after(limits.bodyIdleMs, late)

    const onData = (chunk: Buffer): void => {
      cancelIdle()
      cancelIdle = clock.after(limits.bodyIdleMs, late)
      length += chunk.length
      if (length > limits.bodyBytes) return finish(tooLarge(limits))
      try {
        hold(chunk.length)
        chunks.push(chunk)
      } catch (error) {
        finish(error)
      }
    }
    const onEnd = (): void => finish(null)
    const onBroken = (): void => finish(new TidemarkError('bad_request', 'The body broke off'))

    function finish(error: unknown): void {
      cancelTotal()
      cancelIdle()
      source.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken)
      // A stream without a listener for its errors ends the process.
      source.on('error', () => {})
      if (error === null)
        return resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, length))
      source.resume()
      reject(error)
    }

    source.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken)
  })
}
