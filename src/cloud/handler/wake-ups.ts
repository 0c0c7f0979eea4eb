import type { Clock } from '../../kernel/clock.ts'
import type { Bus } from '../bus.ts'

export type WakeCause = 'commit' | 'time' | 'stopped' | 'aborted'

/** One listener on the bus for all who wait; hints that come while nobody looks are remembered as one. */
export interface WakeUps {
  readonly stopped: boolean
  /** Commits of `replica` itself are no news to it. */
  watch(space: string, replica: string, signal: AbortSignal | undefined): Watch
  stop(): void
}

export interface Watch {
  /** Forgets the hints so far: what follows reads what they tell of. */
  reset(): void
  /**
   * Resolves with what came first; `read` is the head that was read, of which no hint is news. At once when one of
   * a later head came since `reset`.
   */
  wait(read: number, ms: number): Promise<WakeCause>
  /** Resolves after `ms`, or at once when stopped or aborted. */
  pause(ms: number): Promise<void>
  close(): void
}

interface Sleeper {
  readonly replica: string
  hear(head: number): void
  wake(cause: WakeCause): void
}

export function createWakeUps(bus: Pick<Bus, 'subscribe'>, clock: Clock): WakeUps {
  const sleepers = new Map<string, Set<Sleeper>>()
  let stopped = false
  const stopListening = bus.subscribe({
    hear(space, head, writer) {
      for (const sleeper of sleepers.get(space) ?? []) if (writer !== sleeper.replica) sleeper.hear(head)
    },
    watched: () => sleepers.keys(),
  })

  function add(space: string, sleeper: Sleeper): () => void {
    const set = sleepers.get(space) ?? new Set()
    sleepers.set(space, set.add(sleeper))
    return () => {
      set.delete(sleeper)
      if (set.size === 0 && sleepers.get(space) === set) sleepers.delete(space)
    }
  }

  return {
    get stopped() {
      return stopped
    },
    watch(space, replica, signal) {
      const watch = new SleepingWatch(replica, clock, () => stopped, signal)
      watch.onClose(add(space, watch))
      return watch
    },
    stop() {
      stopped = true
      stopListening()
      for (const set of sleepers.values()) for (const sleeper of set) sleeper.wake('stopped')
    },
  }
}

class SleepingWatch implements Watch, Sleeper {
  readonly replica: string
  readonly #clock: Clock
  readonly #isStopped: () => boolean
  readonly #signal: AbortSignal | undefined
  readonly #onAbort = (): void => this.wake('aborted')
  /** The latest head that a hint told of since `reset`. */
  #latest = 0
  /** While it waits: the head that was read. */
  #read: number | null = null
  #resolve: ((cause: WakeCause) => void) | null = null
  #remove = (): void => {}

  constructor(replica: string, clock: Clock, isStopped: () => boolean, signal: AbortSignal | undefined) {
    this.replica = replica
    this.#clock = clock
    this.#isStopped = isStopped
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort)
  }

  onClose(remove: () => void): void {
    this.#remove = remove
  }

  reset(): void {
    this.#latest = 0
  }

  hear(head: number): void {
    this.#latest = Math.max(this.#latest, head)
    // A head below it may be that of a database that was put back: it is for the pull to tell.
    if (head !== this.#read) this.wake('commit')
  }

  wake(cause: WakeCause): void {
    this.#resolve?.(cause)
    this.#resolve = null
  }

  async wait(read: number, ms: number): Promise<WakeCause> {
    this.#read = read
    try {
      return await this.#first(ms, this.#latest > read)
    } finally {
      this.#read = null
    }
  }

  async pause(ms: number): Promise<void> {
    const until = this.#clock.now() + ms
    for (let left = ms; left > 0; left = until - this.#clock.now()) {
      if ((await this.#first(left, false)) !== 'commit') return
    }
  }

  close(): void {
    this.#remove()
    this.#signal?.removeEventListener('abort', this.#onAbort)
  }

  async #first(ms: number, woken: boolean): Promise<WakeCause> {
    if (this.#signal?.aborted === true) return 'aborted'
    if (this.#isStopped()) return 'stopped'
    if (woken) return 'commit'
    const cancel = this.#clock.after(ms, () => this.wake('time'))
    try {
      return await new Promise<WakeCause>((resolve) => {
        this.#resolve = resolve
      })
    } finally {
      cancel()
    }
  }
}
