import type { Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import { toSystemError } from '../machine/failures.ts'

/** Parts of a process that start one after another and end the other way round. */
export interface Parts extends AsyncDisposable {
  /**
   * Starts one. What fails names the part; the parts before it are ended by whoever disposes of all. Its end is given
   * so many milliseconds, and the next one's begins then.
   */
  start<T>(name: string, work: () => T | Promise<T>, end?: (part: T) => unknown, endMs?: number): Promise<T>
}

/** What most parts get to end in, in milliseconds. */
const END_MS = 3_000

export function createParts(clock: Clock, logger: () => Logger): Parts {
  const ends: { readonly name: string; readonly endMs: number; readonly end: () => unknown }[] = []
  let ending: Promise<void> | null = null

  const endAll = async (): Promise<void> => {
    for (const { name, endMs, end } of ends.splice(0).reverse()) {
      try {
        if (!(await isEnded(clock, endMs, end)))
          logger().warn(`The ${name} did not end in time`, { ms: endMs })
      } catch (thrown) {
        const { code, message } = toSystemError(thrown)
        logger().warn(`The ${name} did not end well`, { code, why: message })
      }
    }
  }
  return {
    async start(name, work, end, endMs = END_MS) {
      try {
        const part = await work()
        if (end !== undefined) ends.push({ name, endMs, end: () => end(part) })
        return part
      } catch (thrown) {
        const error = toSystemError(thrown)
        throw new TidemarkError(error.code, `The ${name} cannot start: ${error.message}`, {
          details: { ...error.details, part: name },
          cause: error.code === 'internal' ? error.cause : error,
        })
      }
    },
    [Symbol.asyncDispose]: () => (ending ??= endAll()),
  }
}

/** False where it goes on after the time it got. */
async function isEnded(clock: Clock, ms: number, end: () => unknown): Promise<boolean> {
  let cancel = (): void => {}
  const late = new Promise<boolean>((resolve) => {
    cancel = clock.after(ms, () => resolve(false))
  })
  try {
    return await Promise.race([(async () => (await end(), true))(), late])
  } finally {
    cancel()
  }
}
