import { TidemarkError } from '../kernel/errors.ts'

/** Throws the signal's reason as `aborted`. */
export function throwIfAborted(signal: AbortSignal): void {
  if (!signal.aborted) return
  const { reason } = signal as { readonly reason: unknown }
  throw reason instanceof TidemarkError ? reason : new TidemarkError('aborted', undefined, { cause: reason })
}

/** Settles as `work` does, or rejects when the signal aborts: the work itself is told by the same signal. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      try {
        throwIfAborted(signal)
      } catch (error) {
        reject(error)
      }
    }
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
