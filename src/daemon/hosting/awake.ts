import type { SteadyClock } from '../../kernel/clock.ts'

/** How often the clocks are looked at, and what they may be late, in milliseconds: a busy computer is no sleep. */
const LOOK_EVERY_MS = 5_000
const GAP_MS = 10_000

/**
 * Calls `woke` when time went by unseen: after sleep, a stopped process or virtual machine, or when the clock was set
 * forward. Timers count on as if nothing had been, so a pause of five minutes would go on for what was left of it. A
 * clock that is set back is nothing: timers don't read it.
 */
export function watchTime(clock: SteadyClock, woke: (gapMs: number) => void): () => void {
  let cancel = (): void => {}
  const look = (wall: number, steady: number): void => {
    cancel = clock.after(LOOK_EVERY_MS, () => {
      const [now, steadyNow] = [clock.now(), clock.steady()]
      // The steady clock may stand still in a sleep, the one on the wall may be set: the longer time tells.
      const gap = Math.max(now - wall, steadyNow - steady) - LOOK_EVERY_MS
      look(now, steadyNow)
      if (gap > GAP_MS) woke(gap)
    })
  }
  look(clock.now(), clock.steady())
  return () => cancel()
}
