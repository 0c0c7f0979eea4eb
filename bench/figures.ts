import { readFileSync } from 'node:fs'

/** One line of the table: what was done, what was measured, what it should be. */
export type Print = (work: string, measured: string, target: string) => void

/** What a client says of rows that were moved. */
export interface Moved {
  readonly rows: number
  readonly ms: number
  readonly rss: number
}

/** What a client says of rounds. */
export interface Times {
  readonly p50: number
  readonly p99: number
  readonly lockMs: number
}

export const perSecond = (count: number, ms: number): number => Math.round((count / ms) * 1_000)
export const n = (count: number): string => count.toLocaleString('en-US')

const MIB = 1024
const inStatus = (pid: number, field: string): number =>
  Math.round(
    Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) /
      MIB,
  )
/** Most memory a process ever had, and what it has now; Linux only. */
export const peakMiB = (pid: number): number => inStatus(pid, 'VmHWM')
export const residentMiB = (pid: number): number => inStatus(pid, 'VmRSS')

/** Milliseconds of CPU that a process and its children have used so far; Linux only, 100 ticks a second. */
export function cpuMs(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter(Boolean)
    .map(Number)
  const own = (one: number): number => {
    try {
      // After the name, which may hold spaces: user and system time are the 12th and 13th.
      const fields = readFileSync(`/proc/${one}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
      return (Number(fields[11]) + Number(fields[12])) * 10
    } catch {
      return 0
    }
  }
  return [pid, ...children].reduce((sum, one) => sum + own(one), 0)
}
