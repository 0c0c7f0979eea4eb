import type { Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import type { EngineEvent } from './engine.ts'

/** What one `syncNow` did. Counts of rows. */
export interface SyncResult {
  readonly pushed: number
  readonly pulled: number
  readonly applied: number
  readonly conflicts: number
  readonly quarantined: number
  readonly durationMs: number
}

type Sum = { -readonly [count in keyof Omit<SyncResult, 'durationMs'>]: number }

interface Waiter {
  /** Settled by the end of this cycle or a later one. */
  readonly cycle: number
  readonly begun: number
  readonly sum: Sum
  readonly resolve: (result: SyncResult) => void
  readonly reject: (error: TidemarkError) => void
  /** No longer listens to its signal. */
  readonly leave: () => void
}

/** Callers that wait for a whole cycle, and what happened since they asked. */
export class Waiters {
  readonly #clock: Clock
  readonly #waiting = new Set<Waiter>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Resolves with the end of `cycle`; rejects with the first failure until then, or `aborted`. */
  add(cycle: number, signal?: AbortSignal): Promise<SyncResult> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(new TidemarkError('aborted'))
      const stop = () => {
        this.#waiting.delete(waiter)
        reject(new TidemarkError('aborted'))
      }
      const waiter: Waiter = {
        cycle,
        begun: this.#clock.now(),
        sum: { pushed: 0, pulled: 0, applied: 0, conflicts: 0, quarantined: 0 },
        resolve,
        reject,
        leave: () => signal?.removeEventListener('abort', stop),
      }
      signal?.addEventListener('abort', stop, { once: true })
      this.#waiting.add(waiter)
    })
  }

  count(event: EngineEvent): void {
    for (const { sum } of this.#waiting) {
      if (event.type === 'pushed') sum.pushed += event.rows
      else if (event.type === 'pulled') sum.pulled += event.records
      else if (event.type === 'applied') sum.applied += event.rows
      else if (event.type === 'conflicts') sum.conflicts += event.count
      else if (event.type === 'quarantined') sum.quarantined += event.count
    }
  }

  /** The cycle `done` is whole. */
  resolve(done: number): void {
    for (const waiter of this.#take(done)) {
      waiter.resolve({ ...waiter.sum, durationMs: this.#clock.now() - waiter.begun })
    }
  }

  rejectAll(error: TidemarkError): void {
    for (const waiter of this.#take(Infinity)) waiter.reject(error)
  }

  #take(done: number): readonly Waiter[] {
    const taken = [...this.#waiting].filter(({ cycle }) => cycle <= done)
    for (const waiter of taken) {
      this.#waiting.delete(waiter)
      waiter.leave()
    }
    return taken
  }
}
