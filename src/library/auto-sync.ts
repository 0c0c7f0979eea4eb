import { backOffMs } from '../kernel/back-off.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Random } from '../kernel/random.ts'

export interface AutoSyncOptions {
  readonly clock: Clock
  readonly random: Random
  readonly intervalMs: () => number
  /** Until something is due that only a sync does; infinite where nothing is. */
  readonly dueMs: () => number
  /** One sync; its failure was told already. */
  readonly sync: () => Promise<unknown>
}

/**
 * What is due already may still be after a sync that did not come so far, as beside another process: it would be asked
 * for over and over.
 */
const LEAST_DUE_MS = 1_000

/**
 * Syncs at once when it is started, and then an interval after the end of each. After failures sooner, with growing
 * pauses, and never later than the interval.
 */
export class AutoSync {
  readonly #options: AutoSyncOptions
  #cancel: (() => void) | null = null
  #running = false
  #atWork = false
  #failures = 0

  constructor(options: AutoSyncOptions) {
    this.#options = options
  }

  get isRunning(): boolean {
    return this.#running
  }

  start(): void {
    if (this.#running) return
    this.#running = true
    this.#failures = 0
    this.#plan(0)
  }

  stop(): void {
    this.#running = false
    this.#cancel?.()
    this.#cancel = null
  }

  /** Syncs now, as when it was started. */
  restart(): void {
    this.stop()
    this.start()
  }

  /** The interval has changed, or what is due: it counts from now. */
  replan(): void {
    if (this.#running && !this.#atWork) this.#plan(this.#pauseMs())
  }

  #pauseMs(): number {
    const { intervalMs, dueMs, random } = this.#options
    const sooner = this.#failures === 0 ? Math.max(LEAST_DUE_MS, dueMs()) : backOffMs(this.#failures, random)
    return Math.min(intervalMs(), sooner)
  }

  #plan(ms: number): void {
    this.#cancel?.()
    this.#cancel = this.#options.clock.after(ms, () => void this.#tick())
  }

  async #tick(): Promise<void> {
    // Started anew while the sync of before is still at work: that one plans the next.
    if (this.#atWork) return
    this.#cancel = null
    this.#atWork = true
    try {
      await this.#options.sync()
      this.#failures = 0
    } catch {
      this.#failures++
    } finally {
      this.#atWork = false
      if (this.#running) this.#plan(this.#pauseMs())
    }
  }
}
