/**
 * How many rows go into one request. Starts at origin 000's 100 (line 113), or where a person set it, and follows what
 * the network shows: quick requests grow it, slow ones shrink it, and so does a body over the byte target.
 *
 * A long round trip makes every request slow, the smallest too, and says nothing against its rows. It is told
 * from their time by two requests of different size, and the target is not below twice the round trip. Time
 * alone never shrinks a batch below its first size.
 */
export interface BatchSize {
  readonly rows: number
  /** Never above; a number that a person set. */
  readonly cap: number
  /** Where it starts, and what time alone never takes it below. */
  readonly first: number
  /** Milliseconds of a request without rows, as far as is known. */
  readonly roundTripMs?: number
  /** The request with which the next one of another size is compared, and how many came since. */
  readonly compared?: { readonly rows: number; readonly ms: number; readonly age: number }
}

export interface BatchObservation {
  readonly rows: number
  readonly bytes: number
  readonly ms: number
  readonly ok: boolean
}

export const BATCH_FIRST_ROWS = 100
export const BATCH_MAX_ROWS = 5_000
/** A request should take about this long: long enough to be worth its overhead, short enough to be repeated. */
export const BATCH_TARGET_MS = 300
/** The longest that a request should take because the round trip does. */
export const BATCH_SLOWEST_TARGET_MS = 2_000
/** And be about this large at the most. */
export const BATCH_TARGET_BYTES = 1024 * 1024
/** Sizes that differ less tell nothing: chance makes up as much. */
const COMPARABLE_RATIO = 1.5
/** Requests after which a batch that time holds at its first size goes with twice as many, to see whether rows matter. */
const PROBE_AFTER = 16

export function createBatchSize(cap = BATCH_MAX_ROWS, first = BATCH_FIRST_ROWS): BatchSize {
  const most = Math.max(1, Math.floor(cap))
  const rows = Math.min(most, Math.max(1, Math.floor(first)))
  return { rows, cap: most, first: rows }
}

/** The size after a request of this many rows and bytes took so long. */
export function observeBatch(size: BatchSize, seen: BatchObservation): BatchSize {
  if (!seen.ok) return { ...size, rows: Math.max(1, Math.floor(size.rows / 2)) }
  const ms = Math.max(1, seen.ms)
  const known = learnRoundTrip(size, seen.rows, ms)
  const targetMs = Math.min(BATCH_SLOWEST_TARGET_MS, Math.max(BATCH_TARGET_MS, 2 * known.roundTripMs))
  const wantedByTime = (seen.rows * targetMs) / ms
  // Sizes so near the first one would never be told from it, and the round trip never be known.
  const isStuck = wantedByTime < size.first * COMPARABLE_RATIO || Math.floor(wantedByTime) <= size.first
  const probe = isStuck && isDue(size, known.compared)
  const byTime = Math.max(size.first * (probe ? 2 : 1), wantedByTime)
  const byBytes = (seen.rows * BATCH_TARGET_BYTES) / Math.max(1, seen.bytes)
  const wanted = Math.floor(Math.min(byTime, byBytes))
  // A small batch says little about a large one: growth is at most fourfold a step, a shrink at most halves.
  const rows = Math.min(size.cap, Math.max(1, Math.floor(size.rows / 2), Math.min(wanted, size.rows * 4)))
  const full = seen.rows >= size.rows
  return { ...size, ...known, rows: full || rows < size.rows ? rows : size.rows }
}

/** At the first request, and then every so many since two were compared. */
const isDue = ({ compared }: BatchSize, { age }: NonNullable<BatchSize['compared']>): boolean =>
  compared === undefined || (age > 0 && age % PROBE_AFTER === 0)

/** The line through two requests of different size meets no rows at the round trip. */
function learnRoundTrip(
  size: BatchSize,
  rows: number,
  ms: number,
): { readonly roundTripMs: number; readonly compared: NonNullable<BatchSize['compared']> } {
  const { compared, roundTripMs = 0 } = size
  const fresh = { rows, ms, age: 0 }
  if (compared === undefined) return { roundTripMs, compared: fresh }
  const ratio = rows / compared.rows
  if (ratio < COMPARABLE_RATIO && ratio > 1 / COMPARABLE_RATIO) {
    return { roundTripMs: Math.min(roundTripMs, ms), compared: { ...compared, age: compared.age + 1 } }
  }
  const msPerRow = Math.max(0, (ms - compared.ms) / (rows - compared.rows))
  return { roundTripMs: Math.max(0, ms - msPerRow * rows), compared: fresh }
}
