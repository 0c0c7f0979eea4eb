import type { Clock } from '../../../kernel/clock.ts'
import type { Connection, Statement } from '../driver/driver.ts'

/** How often another process's writes are looked for while they come, and how rarely while nothing does. */
const ACTIVE_POLL_MS = 100
const IDLE_POLL_MS = 1_000
/** Polls without news after which the next one comes later. */
const POLLS_UNTIL_IDLE = 50
const SLOWER = 1.25

/**
 * Notices committed writes: those of the same process by `notify`, others by `PRAGMA data_version`, which costs
 * microseconds. One timer, and none while nobody watches.
 */
export class Watch {
  readonly #clock: Clock
  readonly #dataVersion: Statement
  readonly #totalChanges: Statement
  readonly #listeners = new Set<() => void>()
  #known = ''
  #quiet = 0
  #delay = ACTIVE_POLL_MS
  #cancel: (() => void) | null = null

  constructor(connection: Connection, clock: Clock) {
    this.#clock = clock
    this.#dataVersion = connection.prepare('PRAGMA main.data_version')
    this.#totalChanges = connection.prepare('SELECT total_changes()')
  }

  add(changed: () => void): () => void {
    const listener = (): void => changed()
    this.#listeners.add(listener)
    if (this.#cancel === null) {
      this.#known = this.#read()
      this.#quiet = 0
      this.#plan(ACTIVE_POLL_MS)
    }
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) this.stop()
    }
  }

  /** Someone in this process has committed a write. */
  notify(): void {
    this.#quiet = 0
    // Those who are told now look for themselves: the next poll has nothing to add to it.
    if (this.#cancel !== null) this.#known = this.#read()
    if (this.#cancel !== null && this.#delay > ACTIVE_POLL_MS) {
      this.#cancel()
      this.#plan(ACTIVE_POLL_MS)
    }
    for (const listener of this.#listeners) listener()
  }

  /**
   * What the store itself writes is no news. Called around each of its own transactions. `sawAll`: it has read
   * everything that the watchers would be told of, so that nothing is left to tell of what was committed before it.
   */
  own<T>(work: () => T, sawAll: (result: T) => boolean = () => false): T {
    if (this.#cancel === null) return work()
    const before = this.#read()
    // Only if nothing of others came before; what comes during it is told by the version of others.
    let seen = before === this.#known
    try {
      const result = work()
      seen ||= sawAll(result)
      return result
    } finally {
      if (seen) this.#known = this.#after(before)
    }
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  #plan(delay: number): void {
    this.#delay = delay
    this.#cancel = this.#clock.after(delay, () => this.#poll())
  }

  #poll(): void {
    const now = this.#read()
    const isNews = now !== this.#known
    this.#known = now
    this.#quiet = isNews ? 0 : this.#quiet + 1
    const isIdle = this.#quiet > POLLS_UNTIL_IDLE
    this.#plan(isIdle ? Math.min(IDLE_POLL_MS, Math.ceil(this.#delay * SLOWER)) : ACTIVE_POLL_MS)
    if (isNews) for (const listener of this.#listeners) listener()
  }

  /** Others' commits, and what was written by this connection, which the application may share. */
  #read(): string {
    return `${String(this.#dataVersion.get()?.[0])} ${String(this.#totalChanges.get()?.[0])}`
  }

  #after(before: string): string {
    return `${before.split(' ')[0] ?? ''} ${this.#read().split(' ')[1] ?? ''}`
  }
}
