import type { Clock } from '../../kernel/clock.ts'

/**
 * Those who wait for a decision. Each is told once, by whatever comes first: the decision, the end of its time, its
 * signal, the end of the daemon; what it gets is read at that moment, from `daemon.db` alone (D2).
 */
export interface Waiters<T> extends Disposable {
  /** Registers at once, before the caller makes the approval known (D3). */
  register(id: string, ms: number, signal: AbortSignal): Waiter<T>
  /** Ends the wait of all who wait for these. */
  wake(ids: readonly string[]): void
  readonly size: number
}

export interface Waiter<T> {
  /** Rejects only where reading fails. */
  readonly answer: Promise<T>
  /** Ends the wait now. */
  end(): void
}

export function createWaiters<T>(clock: Clock, read: (id: string) => T): Waiters<T> {
  const waiting = new Map<string, Set<() => void>>()
  let size = 0
  let closed = false
  const forget = (id: string, end: () => void): boolean => {
    const ends = waiting.get(id)
    if (ends?.delete(end) !== true) return false
    size--
    if (ends.size === 0) waiting.delete(id)
    return true
  }
  const wake = (ids: readonly string[]): void => {
    for (const id of ids) for (const end of waiting.get(id) ?? []) end()
  }
  return {
    register(id, ms, signal) {
      let resolve: (answer: T) => void = () => {}
      let reject: (error: unknown) => void = () => {}
      const answer = new Promise<T>((fulfil, fail) => {
        resolve = fulfil
        reject = fail
      })
      // Whoever ends a wait need not look at what it came to.
      answer.catch(() => {})
      const end = (): void => {
        if (!forget(id, end)) return
        cancel()
        signal.removeEventListener('abort', end)
        try {
          resolve(read(id))
        } catch (error) {
          reject(error)
        }
      }
      const ends = waiting.get(id) ?? new Set()
      waiting.set(id, ends.add(end))
      size++
      const cancel = clock.after(ms, end)
      signal.addEventListener('abort', end)
      if (signal.aborted || closed) end()
      return { answer, end }
    },
    wake,
    get size() {
      return size
    },
    [Symbol.dispose]() {
      closed = true
      wake([...waiting.keys()])
    },
  }
}
