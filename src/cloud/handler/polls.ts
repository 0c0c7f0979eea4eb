import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { Random } from '../../kernel/random.ts'
import type { PullAnswer, PullRequest } from '../../protocol/pull.ts'
import type { Bus } from '../bus.ts'
import type { Log } from '../log/log.ts'
import type { Metrics } from '../metrics.ts'
import type { HandlerLimits } from './limits.ts'
import { createWakeUps, type WakeUps } from './wake-ups.ts'

export interface Poll {
  readonly space: string
  readonly request: PullRequest
  /** Whose poll it is, for the bound on open ones. */
  readonly tokenId: string
  readonly signal: AbortSignal | undefined
  /** Told each time what was slept, in milliseconds: waiting for a change is no latency. */
  readonly onWaited: ((ms: number) => void) | undefined
  /** Throws when the credentials no longer hold: a token revoked while the poll waited stops at once (I12). */
  recheck(): Promise<void>
}

export interface Polls {
  /** One answer of pull, held back while it is empty, for at most `request.wait` seconds. */
  pull(poll: Poll): Promise<PullAnswer>
  /** Answers every poll that waits, and lets none wait any more. */
  stop(): void
}

/** Wake-ups for nothing (writes to other tables) are read ever less often, up to this. */
const MAX_PAUSE_MS = 100
const PAUSE_STEP_MS = 5

/** Waiting polls: each costs a timer and a place in a map, no query until there is a hint of a commit. */
export function createPolls(deps: {
  readonly log: Log
  readonly bus: Bus
  readonly clock: Clock
  readonly random: Random
  readonly limits: HandlerLimits
  readonly metrics: Metrics
}): Polls {
  const { log, clock, metrics } = deps
  const wakeUps = createWakeUps(deps.bus, clock)
  const openByToken = new Map<string, number>()
  let open = 0
  metrics.watch('waitingPolls', {}, () => open)

  function enter(tokenId: string): () => void {
    const own = openByToken.get(tokenId) ?? 0
    if (own >= deps.limits.pollsPerToken || open >= deps.limits.polls) {
      throw new TidemarkError('rate_limited', 'Too many pulls wait at the same time', {
        retryAfterMs: 1_000 + Math.round(1_000 * deps.random.next()),
      })
    }
    open++
    openByToken.set(tokenId, own + 1)
    return () => {
      open--
      const left = (openByToken.get(tokenId) ?? 1) - 1
      if (left === 0) openByToken.delete(tokenId)
      else openByToken.set(tokenId, left)
    }
  }

  return {
    async pull(poll) {
      const { request } = poll
      if ((request.wait ?? 0) === 0 || wakeUps.stopped) return log.pull(poll.space, request)
      const leave = enter(poll.tokenId)
      let waited = 0
      const onWaited = (ms: number): void => {
        waited += ms
        poll.onWaited?.(ms)
      }
      try {
        return await pullWaiting(log, clock, wakeUps, { ...poll, onWaited })
      } finally {
        leave()
        if (waited > 0) metrics.observe('waitSeconds', {}, waited / 1_000)
      }
    },
    stop: () => wakeUps.stop(),
  }
}

async function pullWaiting(log: Log, clock: Clock, wakeUps: WakeUps, poll: Poll): Promise<PullAnswer> {
  const deadline = clock.now() + (poll.request.wait ?? 0) * 1_000
  // Watching begins before the first read, or a commit between the two would be slept through.
  const watch = wakeUps.watch(poll.space, poll.request.replica, poll.signal)
  try {
    for (let round = 0; ; round++) {
      watch.reset()
      const answer = await log.pull(poll.space, poll.request)
      if (answer.records.length > 0 || answer.has_more) return answer
      const left = deadline - clock.now()
      if (left <= 0 || wakeUps.stopped) return answer
      const since = clock.now()
      const cause = await watch.wait(answer.head, left)
      if (round > 0 && cause !== 'aborted' && cause !== 'stopped')
        await watch.pause(Math.min(MAX_PAUSE_MS, round * PAUSE_STEP_MS))
      poll.onWaited?.(clock.now() - since)
      if (cause === 'aborted') throw new TidemarkError('aborted')
      if (cause === 'stopped') return answer
      await poll.recheck()
    }
  } finally {
    watch.close()
  }
}
