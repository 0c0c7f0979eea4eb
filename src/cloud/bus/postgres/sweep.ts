import type { Clock } from '../../../kernel/clock.ts'
import type { Random } from '../../../kernel/random.ts'

/** A hint that was lost is made up for within it. */
export const SWEEP_MS = 10_000
/** Nodes that started together do not all look together. */
const JITTER = 0.2
/** However often others say "look at everything". */
const REST_MS = 100

export interface Sweep {
  /** Asks for a look that begins after this call. */
  soon(): void
  stop(): void
}

/** Calls `look` now and then and when asked, one at a time. It must not reject. */
export function startSweep(clock: Clock, random: Random, look: () => Promise<void>): Sweep {
  let isAsked = false
  let isBusy = false
  let stopped = false
  let cancel = (): void => {}

  function schedule(): void {
    isBusy = false
    cancel()
    const ms = isAsked ? 0 : (SWEEP_MS - REST_MS) * (1 - JITTER * random.next())
    cancel = clock.after(ms, () => void run())
  }

  async function run(): Promise<void> {
    isBusy = true
    isAsked = false
    await look()
    if (!stopped) cancel = clock.after(REST_MS, schedule)
  }

  schedule()
  return {
    soon() {
      isAsked = true
      if (!isBusy && !stopped) schedule()
    },
    stop() {
      stopped = true
      cancel()
    },
  }
}
