/** `2026-01-29 14:30:00` as SQLite's `datetime('now')` writes it: UTC without saying so. */
const WITHOUT_ZONE = /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?$/
/** Numbers below it are seconds (until the year 5138), from it on milliseconds (since 1973). */
const SECONDS_BELOW = 1e11
/** Year 2255: past it a time does not fit the hybrid clock. */
const MAX_MS = 9e12

/** Milliseconds since 1970 of what a row calls its time: ISO text, seconds or milliseconds; null when unreadable. */
export function readInstant(value: unknown): number | null {
  const ms =
    typeof value === 'string'
      ? readText(value.trim())
      : typeof value === 'number'
        ? readNumber(value)
        : Number.NaN
  return ms >= 0 && ms <= MAX_MS ? Math.floor(ms) : null
}

const readNumber = (value: number): number => (value < SECONDS_BELOW ? value * 1_000 : value)

function readText(text: string): number {
  if (text.length > 64) return Number.NaN
  return Date.parse(WITHOUT_ZONE.test(text) ? `${text.replace(' ', 'T')}Z` : text)
}
