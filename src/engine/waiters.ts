import type { Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import type { EngineEvent } from './engine.ts'
import { createWaiting, type Patience, type Waiting } from './patience.ts'

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
  /** Null: the first failure ends the wait. */
  readonly patience: Waiting | null
  readonly resolve: (result: SyncResult) => void
  readonly reject: (error: TidemarkError) => void
  /** No longer listens to its signal. */
  readonly leave: () => void
}

/** Ends of an effect that come of an answer of the cloud. */
const ANSWERS: ReadonlySet<string> = new Set(['page', 'hydrated', 'answered'])

/** What a failure does not take back: rows that the cloud took, or a first read that goes on from there. */
export const gotOn = (event: EngineEvent): boolean =>
  event.type === 'pushed' || (event.type === 'progress' && event.task === 'hydrate')

/** Callers that wait for a whole cycle, and what happened since they asked. */
export class Waiters {
  readonly #clock: Clock
  readonly #waiting = new Set<Waiter>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Resolves with the end of `cycle`; rejects with the first failure until then that is not waited out, or
   * `aborted`.
   */
  add(
    cycle: number,
    { signal, patience }: { readonly signal?: AbortSignal; readonly patience?: Patience },
  ): Promise<SyncResult> {
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
        patience: patience === undefined ? null : createWaiting(patience, this.#clock),
        resolve,
        reject,
        leave: () => signal?.removeEventListener('abort', stop),
      }
      signal?.addEventListener('abort', stop, { once: true })
      this.#waiting.add(waiter)
    })
  }

  count(event: EngineEvent): void {
    for (const { sum, patience } of this.#waiting) {
      if (gotOn(event)) patience?.gotOn()
      if (event.type === 'phase' && ANSWERS.has(event.event.type)) patience?.heard()
      if (event.type === 'pushed') sum.pushed += event.rows
      else if (event.type === 'pulled') sum.pulled += event.records
      else if (event.type === 'applied') sum.applied += event.rows
      else if (event.type === 'conflicts') sum.conflicts += event.count
      else if (event.type === 'quarantined') sum.quarantined += event.count
    }
  }

  /** The cycle `done` is whole. */
  resolve(done: number): void {
    for (const waiter of this.#take(({ cycle }) => cycle <= done)) {
      waiter.resolve({ ...waiter.sum, durationMs: this.#clock.now() - waiter.begun })
    }
  }

  /** Somebody waits through failures. */
  get patient(): boolean {
    return [...this.#waiting].some(({ patience }) => patience !== null)
  }

  /** A try failed; the next one comes at `nextAt`, in milliseconds since 1970. */
  fail(error: TidemarkError, nextAt: number): void {
    const left = this.#take(({ patience }) => patience?.waitsUntil(error, nextAt) !== true)
    for (const waiter of left) waiter.reject(error)
  }

  rejectAll(error: TidemarkError): void {
    for (const waiter of this.#take(() => true)) waiter.reject(error)
  }

  #take(chosen: (waiter: Waiter) => boolean): readonly Waiter[] {
    const taken = [...this.#waiting].filter(chosen)
    for (const waiter of taken) {
      this.#waiting.delete(waiter)
      waiter.leave()
    }
    return taken
  }
}
