import type { Clock } from '../kernel/clock.ts'
import type { ErrorCode, TidemarkError } from '../kernel/errors.ts'

/** How long a failure that may pass is waited out for a person: some restarts of a cloud, in milliseconds. */
export const PATIENCE_MS = 90_000
/** The first pause while somebody waits; those that follow grow as always. */
export const PATIENT_FIRST_MS = 1_000

/** Failures that are worth waiting for: the others need a person, or another endpoint. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'network',
  'unavailable',
  'rate_limited',
  'internal',
  'database_locked',
])

/** A caller that waits through failures which may pass. */
export interface Patience {
  /** Milliseconds from the first failure since anything got on. */
  readonly ms: number
  /** The next try comes in so many milliseconds. */
  readonly onWait: (error: TidemarkError, ms: number) => void
}

/** One caller's patience as time goes by. */
export interface Waiting {
  /** Whether it waits for a try at this time, given in milliseconds since 1970; tells it then that it does. */
  waitsUntil(error: TidemarkError, nextAt: number): boolean
  /** The cloud answered: it is there. */
  heard(): void
  /** Something got on: the next failure is the first again. */
  gotOn(): void
}

/** A connection that stood was cut: somebody is there. */
const CUT: ReadonlySet<unknown> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])

export function createWaiting({ ms, onWait }: Patience, clock: Clock): Waiting {
  let since: number | null = null
  let heard = false
  return {
    waitsUntil(error, nextAt) {
      const now = clock.now()
      since ??= now
      if (error.code !== 'network' || CUT.has(error.details['reason'])) heard = true
      // Before anything was heard, a wrong endpoint is likelier than a cloud that restarts.
      if (!heard || !PASSING.has(error.code) || nextAt - since > ms) return false
      onWait(error, nextAt - now)
      return true
    },
    heard() {
      heard = true
    },
    gotOn() {
      since = null
    },
  }
}
