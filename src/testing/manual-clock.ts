import type { SteadyClock } from '../kernel/clock.ts'

/** Time that stands still until a test moves it. */
export interface ManualClock extends SteadyClock {
  /** Milliseconds until each timer that is set, the next one first. */
  readonly pending: readonly number[]
  /** Moves time on and runs the timers that are due, in order. */
  elapse(ms: number): void
  /** Sets the clock on the wall, forwards or back: no timer notices, as when a computer slept. */
  jump(ms: number): void
}

export function createManualClock(start = 0): ManualClock {
  const timers = new Set<{ readonly at: number; readonly run: () => void }>()
  let now = start
  let jumped = 0
  const inOrder = () => [...timers].sort((a, b) => a.at - b.at)
  return {
    now: () => now + jumped,
    steady: () => now,
    after(ms, run) {
      const timer = { at: now + ms, run }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    get pending() {
      return inOrder().map((timer) => timer.at - now)
    },
    elapse(ms) {
      const end = now + ms
      for (let next = inOrder()[0]; next !== undefined && next.at <= end; next = inOrder()[0]) {
        timers.delete(next)
        now = next.at
        next.run()
      }
      now = end
    },
    jump: (ms) => void (jumped += ms),
  }
}
