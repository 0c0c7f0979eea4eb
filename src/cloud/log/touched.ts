import { TidemarkError } from '../../kernel/errors.ts'

/**
 * Bytes of the rows, as they stand, that one request may touch: a decision holds all of them, and its answer shows
 * what it refuses. Past it the client sends fewer changes at a time; one row always fits.
 */
export const MAX_TOUCHED_BYTES = 64 * 1024 * 1024

/** Adds up what is read; throws `payload_too_large` past the limit, before anything is done. */
export function meterTouched(): (bytes: number) => void {
  let touched = 0
  return (bytes) => {
    touched += bytes
    checkTouched(touched)
  }
}

export function checkTouched(bytes: number): void {
  if (bytes <= MAX_TOUCHED_BYTES) return
  throw new TidemarkError(
    'payload_too_large',
    `The rows that the request touches hold more than ${MAX_TOUCHED_BYTES} bytes together`,
    { details: { limit: MAX_TOUCHED_BYTES } },
  )
}
