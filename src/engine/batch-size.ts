/**
 * How many rows go into one request. Starts at origin 000's 100 (line 113) and follows what the network shows:
 * quick requests grow it, slow ones shrink it, and so does a body over the byte target.
 */
export interface BatchSize {
  readonly rows: number
  /** Never above; a number that a person set. */
  readonly cap: number
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
/** And be about this large at the most. */
export const BATCH_TARGET_BYTES = 1024 * 1024

export function createBatchSize(cap?: number): BatchSize {
  const most = cap === undefined ? BATCH_MAX_ROWS : Math.max(1, Math.floor(cap))
  return { rows: Math.min(BATCH_FIRST_ROWS, most), cap: most }
}

/** The size after a request of this many rows and bytes took so long. */
export function observeBatch(size: BatchSize, seen: BatchObservation): BatchSize {
  if (!seen.ok) return { ...size, rows: Math.max(1, Math.floor(size.rows / 2)) }
  const byTime = (seen.rows * BATCH_TARGET_MS) / Math.max(1, seen.ms)
  const byBytes = (seen.rows * BATCH_TARGET_BYTES) / Math.max(1, seen.bytes)
  const wanted = Math.floor(Math.min(byTime, byBytes))
  // A small batch says little about a large one: growth is at most fourfold a step, a shrink at most halves.
  const rows = Math.min(size.cap, Math.max(1, Math.floor(size.rows / 2), Math.min(wanted, size.rows * 4)))
  const full = seen.rows >= size.rows
  return { ...size, rows: full || rows < size.rows ? rows : size.rows }
}
