/** One thing of a cloud's storage that was looked at. */
export interface Finding {
  /** `fail`: a cloud does not work on it, or not rightly. `warn`: it works, until something else goes wrong. */
  readonly state: 'ok' | 'warn' | 'fail'
  readonly about: string
  readonly what: string
  /** What to do; absent where nothing is to be done. */
  readonly fix?: string
}

export const ok = (about: string, what: string): Finding => ({ state: 'ok', about, what })
export const warn = (about: string, what: string, fix: string): Finding => ({
  state: 'warn',
  about,
  what,
  fix,
})
export const fail = (about: string, what: string, fix: string): Finding => ({
  state: 'fail',
  about,
  what,
  fix,
})

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const

export function formatBytes(bytes: number): string {
  const power = Math.min(UNITS.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1_024 ** power
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`
}
