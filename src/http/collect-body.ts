import type { Readable } from 'node:stream'

import type { Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'

export interface BodyLimits {
  readonly bodyBytes: number
  /** A body of which nothing arrives for so long is given up. */
  readonly bodyIdleMs: number
  /** A body must be whole after it. */
  readonly bodyTotalMs: number
}

export const bodyTooLarge = ({ bodyBytes }: BodyLimits): TidemarkError =>
  new TidemarkError('payload_too_large', undefined, { details: { limit: bodyBytes } })

/** The bytes of a body as sent, each part told to `hold` before it is kept. What comes after a refusal is left to the connection to throw away. */
export function collectBody(
  source: Readable,
  clock: Clock,
  limits: BodyLimits,
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
      if (length > limits.bodyBytes) return finish(bodyTooLarge(limits))
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
