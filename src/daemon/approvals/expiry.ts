import type { Clock } from '../../kernel/clock.ts'
import type { Logger } from '../../kernel/logger.ts'
import { toTidemarkError } from '../../kernel/errors.ts'
import type { Ledger } from './ledger.ts'

/**
 * Timers of the system stand still while the machine sleeps, know nothing of a clock that is set, and end at 2^31 ms:
 * the time is looked at this often while anything is pending, in milliseconds.
 */
const LOOK_EVERY_MS = 30_000
/** After a failure, such as a full disk. */
const AGAIN_MS = 1_000

export interface ExpiryWatch extends Disposable {
  /** The next expiry may have become an earlier one. */
  look(): void
}

/** One timer, for the next expiry. */
export function watchExpiry(options: {
  readonly clock: Clock
  readonly logger: Logger
  readonly ledger: Pick<Ledger, 'nextExpiry' | 'expireDue'>
}): ExpiryWatch {
  const { clock, logger, ledger } = options
  let cancel = (): void => {}
  let closed = false
  const set = (leastMs: number): void => {
    cancel()
    if (closed) return
    const next = ledger.nextExpiry()
    if (next === null) return
    cancel = clock.after(Math.min(Math.max(next - clock.now(), leastMs), LOOK_EVERY_MS), run)
  }
  const run = (): void => {
    try {
      ledger.expireDue()
      set(0)
    } catch (error) {
      logger.error('approvals could not expire', { code: toTidemarkError(error).code })
      cancel = closed ? () => {} : clock.after(AGAIN_MS, run)
    }
  }
  return {
    look: () => set(0),
    [Symbol.dispose]() {
      closed = true
      cancel()
    },
  }
}
