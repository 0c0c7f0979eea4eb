import { systemClock, type Clock } from '../kernel/clock.ts'
import { requireFit } from './given.ts'

/** Origin 004, line 382: a sync follows the last change by this much. */
const DEBOUNCE_MS = 5_000

export interface DebounceOptions {
  /** Milliseconds after the last change. Default 5,000. */
  readonly waitMs?: number
  /** Failures. Default: ignored here, since the manager tells them as `sync_error`. */
  readonly onError?: (error: unknown) => void
  readonly clock?: Clock
}

/** Call it after each change: one sync follows the last of them. */
export interface DebouncedSync extends Disposable {
  (): void
  /** Forgets a sync that waits. */
  cancel(): void
}

/** Syncs once after many changes: `performSync` a while after the last call. */
export function debounceSync(
  manager: { performSync(): Promise<unknown> },
  { waitMs = DEBOUNCE_MS, onError = () => {}, clock = systemClock }: DebounceOptions = {},
): DebouncedSync {
  requireFit({ manager, onError })
  let forget: (() => void) | null = null
  const cancel = () => {
    forget?.()
    forget = null
  }
  const trigger = () => {
    cancel()
    forget = clock.after(waitMs, () => {
      forget = null
      manager.performSync().catch(onError)
    })
  }
  return Object.assign(trigger, { cancel, [Symbol.dispose]: cancel })
}
