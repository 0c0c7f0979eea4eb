import type { Random } from './random.ts'

/** Origin 000, line 163: retries wait 15 s, 30 s, 60 s … and at most 5 min. */
export const BACK_OFF_FIRST_MS = 15_000
export const BACK_OFF_MAX_MS = 300_000
/** Share of the delay that chance may take off, so that clients don't return together. */
export const BACK_OFF_JITTER = 0.2

/**
 * Milliseconds to wait before attempt `failures + 1`; `failures` counts from 1.
 * A server's `retryAfterMs` is a floor under it.
 */
export function backOffMs(
  failures: number,
  random: Random,
  options: { readonly firstMs?: number; readonly maxMs?: number; readonly retryAfterMs?: number } = {},
): number {
  const first = options.firstMs ?? BACK_OFF_FIRST_MS
  const max = options.maxMs ?? BACK_OFF_MAX_MS
  const full = Math.min(max, first * 2 ** Math.min(30, Math.max(0, failures - 1)))
  const delay = Math.round(full * (1 - BACK_OFF_JITTER * random.next()))
  return Math.max(delay, options.retryAfterMs ?? 0)
}
