import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'

/** What can end a request from outside: the caller's signal, and silence of the other side. */
export interface Watch {
  /** For fetch. */
  readonly signal: AbortSignal
  /** Waits for `work`, but for `ms` at the most. What it throws, or the silence, is a `TidemarkError`. */
  within<T>(ms: number, work: () => Promise<T>): Promise<T>
  /** The answer has come whole: there is nothing to cut any more. */
  release(): void
  /** Cuts the connection, unless the answer has come whole. */
  close(): void
}

/** Throws `aborted` at once when the signal already is. */
export function createWatch(clock: Clock, signal: AbortSignal, host: string): Watch {
  if (signal.aborted) throw new TidemarkError('aborted')
  const controller = new AbortController()
  let cut: TidemarkError | null = null
  let released = false
  const stop = (error: TidemarkError) => {
    cut ??= error
    controller.abort(cut)
  }
  const onAbort = () => stop(new TidemarkError('aborted'))
  signal.addEventListener('abort', onAbort, { once: true })

  return {
    signal: controller.signal,
    within(ms, work) {
      return new Promise((resolve, reject) => {
        const fail = (error: TidemarkError) => {
          finish()
          reject(error)
        }
        // A fetch that ignores its signal must not hold the engine up, so the wait ends by itself too.
        const onCut = () => fail(cut ?? new TidemarkError('aborted'))
        const cancel = clock.after(ms, () => stop(silence(host, ms)))
        const finish = () => {
          cancel()
          controller.signal.removeEventListener('abort', onCut)
        }
        if (cut !== null) return fail(cut)
        controller.signal.addEventListener('abort', onCut, { once: true })
        // Begun inside a promise: a fetch of the application's may throw before it answers with one, or answer with none.
        const begun = (async () => work())()
        begun.then(
          (value) => {
            finish()
            resolve(value)
          },
          (thrown: unknown) => fail(cut ?? toNetworkError(thrown, host)),
        )
      })
    },
    release() {
      released = true
      signal.removeEventListener('abort', onAbort)
    },
    close() {
      signal.removeEventListener('abort', onAbort)
      if (!released) stop(new TidemarkError('aborted'))
    },
  }
}

function silence(host: string, ms: number): TidemarkError {
  const seconds = Math.round(ms / 1_000)
  return new TidemarkError('network', `${host} did not answer for ${seconds} s`, {
    details: { host, reason: 'timeout' },
  })
}

/** What fetch threw; its reason is in the code of the innermost cause, where there is one. */
export function toNetworkError(thrown: unknown, host: string): TidemarkError {
  if (thrown instanceof TidemarkError) return thrown
  const reason = readReason(thrown)
  const why = reason === null ? '' : `: ${reason}`
  const details = reason === null ? { host } : { host, reason }
  return new TidemarkError('network', `${host} cannot be reached${why}`, { details, cause: thrown })
}

function readReason(thrown: unknown): string | null {
  let reason: string | null = null
  let at: unknown = thrown
  for (let depth = 0; depth < 4 && at instanceof Error; depth++) {
    const code: unknown = Reflect.get(at, 'code')
    if (typeof code === 'string') reason = code
    // Several addresses of one name were tried: the first one's failure tells enough.
    at = at instanceof AggregateError ? (at.errors as readonly unknown[])[0] : at.cause
  }
  return reason
}
