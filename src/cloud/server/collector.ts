import type { Clock } from '../../kernel/clock.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Random } from '../../kernel/random.ts'
import type { Directory } from '../directory.ts'
import type { Exclusive } from '../exclusive.ts'
import { describeFailure } from '../../http/failures.ts'
import type { Log } from '../log/log.ts'

const DAY_MS = 86_400_000
const FIRST_MS = 60_000
const EVERY_MS = 3_600_000
/** What the turn between nodes is called. */
const TURN = 'collect'

export interface Retention {
  /** A tombstone goes after it, whoever has not seen it; who was away longer reads the space anew. */
  readonly tombstoneMs: number
  /** A replica not seen for so long holds no tombstone back. */
  readonly replicaMs: number
}

export const RETENTION: Retention = { tombstoneMs: 30 * DAY_MS, replicaMs: 30 * DAY_MS }

/**
 * Drops old tombstones of every space now and then; of several nodes, one at a time. (Two would do no harm: the log
 * does it under the space's lock. They would do it twice.) The returned function stops it, after the space at hand.
 */
export function startCollector(deps: {
  readonly log: Log
  readonly directory: Directory
  readonly exclusive: Exclusive
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly retention: Retention
}): () => Promise<void> {
  const { clock, random, exclusive, logger } = deps
  let stopped = false
  let running = Promise.resolve()
  let cancel = schedule(FIRST_MS)

  function schedule(ms: number): () => void {
    // Clouds that were started together do not all collect together.
    return clock.after(ms * (1 + 0.2 * random.next()), () => {
      running = takeTurn().then(() => {
        if (!stopped) cancel = schedule(EVERY_MS)
      })
    })
  }

  async function takeTurn(): Promise<void> {
    try {
      await exclusive.run(TURN, (lost) => collectSpaces(deps, () => stopped || lost.aborted))
    } catch (error) {
      logger.warn('Tombstones were not collected', describeFailure(error))
    }
  }

  return async () => {
    stopped = true
    cancel()
    await running
  }
}

/** One round over all spaces; a space that fails does not stop the others. */
export async function collectSpaces(
  deps: {
    readonly log: Log
    readonly directory: Directory
    readonly clock: Clock
    readonly logger: Logger
    readonly retention: Retention
  },
  isStopped: () => boolean = () => false,
): Promise<void> {
  const { log, directory, clock, logger, retention } = deps
  const report = (error: unknown): void =>
    logger.warn('Tombstones were not collected', describeFailure(error))
  const spaces = await directory.listSpaces().catch((error: unknown) => {
    report(error)
    return []
  })
  for (const { id } of spaces) {
    if (isStopped()) return
    const now = clock.now()
    try {
      const gone = await log.collect(id, {
        liveSince: now - retention.replicaMs,
        retainSince: now - retention.tombstoneMs,
      })
      if (gone > 0) logger.debug('Tombstones collected', { space: id, gone })
    } catch (error) {
      report(error)
    }
  }
}
