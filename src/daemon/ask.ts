import { createWaiting, PATIENT_FIRST_MS, type Patience } from '../engine/patience.ts'
import { backOffMs } from '../kernel/back-off.ts'
import { sleep, type Clock } from '../kernel/clock.ts'
import { TidemarkError, toTidemarkError } from '../kernel/errors.ts'
import type { Random } from '../kernel/random.ts'

export interface Asking {
  readonly clock: Clock
  readonly random: Random
  readonly signal?: AbortSignal | undefined
  /** Absent: the first failure is the answer. */
  readonly patience?: Patience | undefined
}

/**
 * Asks the cloud something outside of the engine, which waits in its own way, and as patiently. Rejects with the
 * failure that was not waited out, and with `aborted`.
 */
export async function askPatiently<Answer>(
  { clock, random, signal, patience }: Asking,
  ask: (signal: AbortSignal) => Promise<Answer>,
): Promise<Answer> {
  const waiting = patience === undefined ? null : createWaiting(patience, clock)
  for (let failures = 1; ; failures++) {
    try {
      return await ask(signal ?? new AbortController().signal)
    } catch (thrown) {
      const error = toTidemarkError(thrown)
      const { retryAfterMs = 0 } = error
      const ms = backOffMs(failures, random, { firstMs: PATIENT_FIRST_MS, retryAfterMs })
      if (waiting?.waitsUntil(error, clock.now() + ms) !== true) throw error
      await sleep(clock, ms, signal).catch(() => {
        throw new TidemarkError('aborted')
      })
    }
  }
}
