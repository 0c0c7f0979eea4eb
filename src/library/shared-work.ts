import { TidemarkError } from '../kernel/errors.ts'

/**
 * Work that is done once for all who ask while it goes on. Each may stop waiting by a signal of their own, which
 * rejects with `aborted`; the work itself is stopped when nobody waits for it any more.
 */
export function shareWork<T>(work: (signal: AbortSignal) => Promise<T>): (signal: AbortSignal) => Promise<T> {
  let current: { readonly result: Promise<T>; readonly stop: AbortController; waiting: number } | null = null

  const start = () => {
    const stop = new AbortController()
    const started = { result: work(stop.signal), stop, waiting: 0 }
    const forget = () => {
      if (current === started) current = null
    }
    stop.signal.addEventListener('abort', forget)
    started.result.then(forget, forget)
    return (current = started)
  }

  return (signal) => {
    if (signal.aborted) return Promise.reject(new TidemarkError('aborted'))
    const shared = current ?? start()
    shared.waiting++
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        if (--shared.waiting === 0) shared.stop.abort()
        reject(new TidemarkError('aborted'))
      }
      signal.addEventListener('abort', onAbort, { once: true })
      const settle = () => signal.removeEventListener('abort', onAbort)
      shared.result.then(resolve, reject)
      shared.result.then(settle, settle)
    })
  }
}
