import type { Clock } from '../kernel/clock.ts'
import type { Output } from './output.ts'

/** Redraws on a terminal this often, prints a line elsewhere this often, in milliseconds. */
const REDRAW_MS = 80
const LINE_MS = 5_000
const BAR_CHARS = 24

/** Shows how far long work has come: a bar on a terminal, a line now and then elsewhere. */
export interface Progress {
  update(done: number, total: number | null): void
  /** Ends with a line; the rate is in rows a second. */
  end(done: number): { readonly rows: number; readonly seconds: number; readonly rate: number }
}

export function startProgress(output: Output, label: string, clock: Clock): Progress {
  const begun = clock.now()
  let shown = begun
  return {
    update(done, total) {
      const now = clock.now()
      if (now - shown < (output.live ? REDRAW_MS : LINE_MS)) return
      shown = now
      const rate = formatCount(Math.round((done * 1_000) / Math.max(1, now - begun)))
      const parts =
        total === null ? `${formatCount(done)} rows` : `${formatCount(done)} of ${formatCount(total)} rows`
      if (output.live) output.redraw(`${label} ${drawBar(done, total)} ${parts}, ${rate}/s`)
      else output.say(`${label}: ${parts}, ${rate}/s`)
    },
    end(done) {
      const seconds = Math.max(1, clock.now() - begun) / 1_000
      const rate = Math.round(done / seconds)
      if (done === 0) output.say(`${label}: nothing to do`)
      else
        output.say(
          `${label}: ${countOf(done, 'row')} in ${seconds.toFixed(2)} s, ${formatCount(rate)} rows/s`,
        )
      return { rows: done, seconds, rate }
    },
  }
}

function drawBar(done: number, total: number | null): string {
  if (total === null || total === 0) return ''
  const full = Math.min(BAR_CHARS, Math.round((done / total) * BAR_CHARS))
  return `[${'█'.repeat(full)}${'·'.repeat(BAR_CHARS - full)}] ${Math.min(100, Math.floor((done / total) * 100))} %`
}

/** 135233 → 135,233 */
export const formatCount = (count: number): string => count.toLocaleString('en-US')

/** 2, 'row' → 2 rows */
export const countOf = (count: number, noun: string): string =>
  `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`

/** A time in words as origin 000 prints it: never, just now, 5 minutes ago. */
export function formatAgo(at: number | null, now: number): string {
  if (at === null) return 'never'
  const seconds = Math.max(0, Math.round((now - at) / 1_000))
  if (seconds < 10) return 'just now'
  const [count, unit] =
    seconds < 60
      ? [seconds, 'second']
      : seconds < 3_600
        ? [Math.floor(seconds / 60), 'minute']
        : seconds < 86_400
          ? [Math.floor(seconds / 3_600), 'hour']
          : [Math.floor(seconds / 86_400), 'day']
  return `${count} ${unit}${count === 1 ? '' : 's'} ago`
}
