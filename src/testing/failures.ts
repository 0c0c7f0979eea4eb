import { sleep, systemClock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'

/** What a promise rejects with. Throws when it does not, or with something that is none of our errors. */
export async function failureOf(work: Promise<unknown>): Promise<TidemarkError> {
  const thrown: unknown = await work.then(
    () => null,
    (reason: unknown) => reason,
  )
  if (thrown instanceof TidemarkError) return thrown
  throw new Error('it did not reject with a TidemarkError', { cause: thrown })
}

/** Waits for something that comes about by itself; a bounded number of short sleeps. */
export async function waitUntil(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 2_000 && !holds(); tries++) await sleep(systemClock, 5)
  if (!holds()) throw new Error('it did not come about')
}
