/**
 * Hybrid logical clock (Kulkarni et al., 2014) in one safe integer: milliseconds × 1,000 + counter. It
 * reaches the year 2255. Ties between replicas are broken by replica id, by whoever compares.
 */
export type Hlc = number

export const COUNTS_PER_MS = 1_000
/** The cloud takes no time further ahead of its own than this: one wrong clock cannot win for ever. */
export const HLC_MAX_AHEAD_MS = 60_000

export const hlcFromMs = (ms: number): Hlc => Math.floor(ms) * COUNTS_PER_MS
export const hlcToMs = (hlc: Hlc): number => Math.floor(hlc / COUNTS_PER_MS)

/** The time of an event here and now, after everything seen. */
export function hlcTick(seen: Hlc, nowMs: number): Hlc {
  return Math.max(seen + 1, hlcFromMs(nowMs))
}

/** `hlc`, but no further ahead of `nowMs` than `HLC_MAX_AHEAD_MS`. */
export function hlcClamp(hlc: Hlc, nowMs: number): Hlc {
  return Math.min(hlc, hlcFromMs(nowMs + HLC_MAX_AHEAD_MS))
}
