import { PATIENCE_MS, type Patience } from '../engine/patience.ts'
import { TidemarkError, type ErrorCode } from '../kernel/errors.ts'
import { describeError, toSystemError } from '../machine/failures.ts'
import type { Output } from './output.ts'

/** A pause after a failure that may pass. */
export interface Wait {
  readonly code: ErrorCode
  readonly message: string
  readonly ms: number
}

/** Waits told in a result, at most so many. */
const MAX_TOLD = 100

/** Patience with a cloud that fails for a while: says each time that it waits, and why. */
export interface Waits extends Patience {
  readonly told: readonly Wait[]
}

export function createWaits(output: Output, label: string): Waits {
  const told: Wait[] = []
  return {
    ms: PATIENCE_MS,
    told,
    onWait(error, ms) {
      const message = describeError(error)
      if (told.length < MAX_TOLD) told.push({ code: error.code, message, ms })
      const line = `${label}: ${message}; trying again in ${Math.max(1, Math.round(ms / 1_000))} s`
      // With --json the output is one value at the end: a minute without a word would look like a standstill.
      if (output.json && !output.quiet) output.warn(line)
      else output.say(line)
    },
  }
}

const NEXT =
  'under sync: the same command goes on from where it stopped, as do tidemark run and tidemark sync now'

/** The failure of a first sync that is half done, with what to do about it. */
export function tellHowToGoOn(output: Output, thrown: unknown, file: string, { told }: Waits): TidemarkError {
  const error = toSystemError(thrown)
  const next = `${file} is ${NEXT}`
  if (error.code === 'aborted') output.warn(`Stopped, but ${next}`)
  const { retryAfterMs } = error
  return new TidemarkError(error.code, error.message, {
    details: { ...error.details, next, ...(told.length === 0 ? {} : { waits: told }) },
    cause: error.cause,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}
