import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../log/log.ts'

export type WakeCause = 'commit' | 'time' | 'stopped' | 'aborted'

/** One listener on the log for all who wait; commits that come while nobody looks are remembered once. */
export interface WakeUps {
  readonly stopped: boolean
  /** Commits of `replica` itself are no news to it. */
  watch(space: string, replica: string, signal: AbortSignal | undefined): Watch
  stop(): void
}

export interface Watch {
  /** Forgets the commits so far: what follows reads them. */
  reset(): void
  /** Resolves with what came first; at once when a commit came since `reset`. */
  wait(ms: number): Promise<WakeCause>
  /** Resolves after `ms`, or at once when stopped or aborted. */
  pause(ms: number): Promise<void>
  close(): void
}

interface Sleeper {
  readonly replica: string
  wake(cause: WakeCause): void
}

export function createWakeUps(log: Log, clock: Clock): WakeUps {
  const sleepers = new Map<string, Set<Sleeper>>()
  let stopped = false
  const stopListening = log.onCommit((space, _head, writer) => {
    for (const sleeper of sleepers.get(space) ?? [])
      if (writer === null || writer !== sleeper.replica) sleeper.wake('commit')
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
  #woken = false
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
    this.#woken = false
  }

  wake(cause: WakeCause): void {
    if (cause === 'commit') this.#woken = true
    this.#resolve?.(cause)
    this.#resolve = null
  }

  wait(ms: number): Promise<WakeCause> {
    return this.#first(ms, this.#woken)
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
