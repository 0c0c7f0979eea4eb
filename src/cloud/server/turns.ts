import { TidemarkError } from '../../kernel/errors.ts'

/** Lets few work at the same time, lets some wait for their turn, and turns the others away. */
export interface Turns {
  /** How many wait. */
  readonly waiting: number
  /** Runs `work` when it is its turn. Rejects with `unavailable`, to be tried again, when too many wait already. */
  take<T>(work: () => Promise<T>): Promise<T>
}

/** What those turned away are asked to wait, in milliseconds: by then a queue is through. */
const RETRY_AFTER_MS = 2_000

export function createTurns(atOnce: number, maxWaiting: number, refusal: string): Turns {
  const waiting: (() => void)[] = []
  let working = 0
  return {
    get waiting() {
      return waiting.length
    },
    async take(work) {
      if (working >= atOnce) {
        if (waiting.length >= maxWaiting)
          throw new TidemarkError('unavailable', refusal, { retryAfterMs: RETRY_AFTER_MS })
        // Whoever ends gives the place away: nobody who comes in between takes it.
        await new Promise<void>((resolve) => waiting.push(resolve))
      } else working++
      try {
        return await work()
      } finally {
        const next = waiting.shift()
        if (next === undefined) working--
        else next()
      }
    },
  }
}
