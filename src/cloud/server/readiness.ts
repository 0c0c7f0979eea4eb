import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { LogDetails, Logger } from '../../kernel/logger.ts'

/** A storage that takes longer to answer is not ready: whoever asks has given up by then. In milliseconds. */
const ANSWER_MS = 3_000

export interface Readiness {
  /** Rejects with `unavailable`, which names the part that is not ready and nothing of why: anybody may ask. */
  check(): Promise<void>
  /** From now on the server is not ready, whatever else is. */
  stop(): void
}

/**
 * Whether the server can work now. However many ask, the storage is asked once at a time. The log has each turn of it,
 * there and back at one level: who reads only what is bad must not take a storage for gone that is back.
 */
export function createReadiness(clock: Clock, checkStorage: () => Promise<void>, logger: Logger): Readiness {
  let stopping = false
  let asking: Promise<void> | null = null
  let isOut = false

  const askStorage = (): Promise<void> =>
    (asking ??= checkStorage().finally(() => {
      asking = null
    }))

  return {
    async check() {
      if (stopping) throw notReady('server', 'The server is stopping')
      try {
        await inTime(clock, askStorage())
        if (isOut) logger.warn('The storage answers again')
        isOut = false
      } catch (cause) {
        if (!isOut) logger.warn('The storage does not answer: requests fail until it does', whyOf(cause))
        isOut = true
        throw notReady('storage', 'The storage does not answer', cause)
      }
      // A stop while the storage was asked.
      if (stopping) throw notReady('server', 'The server is stopping')
    },
    stop() {
      stopping = true
    },
  }
}

/** Sentences of ours hold no secret; those of others may. */
const whyOf = (cause: unknown): LogDetails =>
  cause instanceof TidemarkError
    ? { code: cause.code, sqlstate: textOf(cause.details['sqlstate']), reason: cause.message }
    : {}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

const notReady = (part: string, message: string, cause?: unknown): TidemarkError =>
  new TidemarkError('unavailable', message, { details: { not_ready: part }, cause })

function inTime(clock: Clock, work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ANSWER_MS, () => reject(new TidemarkError('unavailable', 'No answer in time')))
    work.then(resolve, reject).finally(cancel)
  })
}
