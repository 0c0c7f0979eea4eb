import type { SyncEngine } from '../../engine/engine.ts'
import type { Clock } from '../../kernel/clock.ts'

/** A push that the cloud may have taken already, and whose answer is on its way or being noted. */
const PUSHING: ReadonlySet<SyncEngine['phase']> = new Set<SyncEngine['phase']>(['sending', 'acking'])

/**
 * Resolves as soon as no push is under way, after `ms` at the latest. A push that is cut off is sent again as it was
 * (I3): this spares the next start the repeat, and whoever waits for it an error.
 */
export function drain(engine: SyncEngine, clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    if (ms === 0 || !PUSHING.has(engine.phase)) return resolve()
    const end = () => {
      off()
      cancel()
      resolve()
    }
    const off = engine.on((event) => {
      if (event.type === 'phase' && !PUSHING.has(event.to.phase)) end()
    })
    const cancel = clock.after(ms, end)
  })
}
