import { backOffMs } from '../../kernel/back-off.ts'
import type { Clock } from '../../kernel/clock.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Random } from '../../kernel/random.ts'
import { describeFailure } from './failures.ts'

/** Pauses after failures, in milliseconds: a lock is gone soon, a full disk is no reason to try all the time. */
const FIRST_PAUSE_MS = 250
const MAX_PAUSE_MS = 5_000

export interface Turns extends Disposable {
  /** There may be work. */
  nudge(): void
}

/**
 * Work in short turns, between which the event loop goes on. `turn` does a bounded piece and answers whether there is
 * more. One that throws is tried again after a while, the same piece: it must have left nothing half done.
 *
 *   idle ── nudge ──▶ due ── turn ──▶ idle, or due again
 *                      ▲       └─ throws ──▶ pausing ─┐
 *                      └───────────────────────────────┘
 */
export function startTurns(options: {
  readonly name: string
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly turn: () => boolean
}): Turns {
  const { name, clock, random, logger, turn } = options
  let due = false
  let running = false
  let failures = 0
  let stopped = false
  let cancel: (() => void) | null = null

  const schedule = (): void => {
    if (running || stopped || cancel !== null) return
    running = true
    setImmediate(run)
  }
  const run = (): void => {
    running = false
    if (stopped || !due) return
    due = false
    try {
      if (turn()) due = true
      if (failures > 0) logger.info(`${name} goes on`)
      failures = 0
    } catch (error) {
      due = true
      failures += 1
      if (failures === 1) logger.warn(`${name} cannot go on and tries again`, { ...describeFailure(error) })
      cancel = clock.after(
        backOffMs(failures, random, { firstMs: FIRST_PAUSE_MS, maxMs: MAX_PAUSE_MS }),
        () => {
          cancel = null
          schedule()
        },
      )
    }
    if (due) schedule()
  }

  return {
    nudge() {
      due = true
      schedule()
    },
    [Symbol.dispose]() {
      stopped = true
      cancel?.()
    },
  }
}
