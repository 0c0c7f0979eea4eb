import { describeFailure } from './describe-failure.ts'
import { describeParkedRows, type ParkedReport } from './parked.ts'
import { readStatus, type Attachment } from './attachments.ts'
import { openStoreOf } from './replica.ts'
import type { EngineStatus, Reset } from '../engine/status.ts'
import type { StoreCounts } from '../engine/store.ts'
import type { TidemarkError } from '../kernel/errors.ts'
import { toSystemError } from '../machine/failures.ts'
import type { Folders } from '../machine/folders.ts'

/** One attachment as `sync status` and the daemon's API tell it. */
export interface AttachmentReport {
  readonly file: string
  readonly space: string
  readonly running: boolean
  readonly state: string
  readonly reason: string
  readonly lastSyncAt: number | null
  readonly lastReset: Reset | null
  readonly counts: StoreCounts | null
  /** Why rows of others cannot stand here; empty where none is parked. */
  readonly parked: readonly ParkedReport[]
}

/** What is known of an attachment's engine by the process that has it. */
export interface Known {
  /** Null: no engine runs. */
  readonly live: EngineStatus | null
  /** What keeps the file from being opened. */
  readonly failure?: TidemarkError | null
}

export async function reportAttachment(
  folders: Folders,
  { file, space }: Attachment,
  { live, failure = null }: Known,
): Promise<AttachmentReport> {
  if (live !== null) {
    const { state, reason, lastSyncAt, lastReset, counts } = live
    const parked = counts.parked === 0 ? [] : await readParked(folders, file).catch(() => [])
    return { file, space, running: true, state, reason, lastSyncAt, lastReset, counts, parked }
  }
  const last = readStatus(folders, file)
  const { lastSyncAt = null, lastReset = null } = last ?? {}
  const known = { file, space, running: false }
  try {
    if (failure !== null) throw failure
    await using store = await openStoreOf(folders, file)
    const reason =
      last === null
        ? 'Never synced yet.'
        : `Nothing runs for this file now; last seen ${last.state}${last.reason === '' ? '.' : `: ${last.reason}`}`
    const counts = await store.counts()
    const parked = counts.parked === 0 ? [] : await readParked(folders, file)
    return { ...known, state: 'stopped', reason, lastSyncAt, lastReset, counts, parked }
  } catch (thrown) {
    const reason = describeFailure(file, toSystemError(thrown))
    return { ...known, state: 'unreadable', reason, lastSyncAt, lastReset, counts: null, parked: [] }
  }
}

async function readParked(folders: Folders, file: string): Promise<readonly ParkedReport[]> {
  await using store = await openStoreOf(folders, file)
  return await describeParkedRows(store)
}

/** When the last of them was last in step. */
export const lastSyncOf = (reports: readonly AttachmentReport[]): number | null =>
  reports.reduce<number | null>(
    (last, { lastSyncAt: at }) => (at === null ? last : Math.max(at, last ?? 0)),
    null,
  )

/** Changes that were not sent, per table, of all files. */
export function sumPending(reports: readonly AttachmentReport[]): { readonly [table: string]: number } {
  const sum: { [table: string]: number } = {}
  for (const { counts } of reports) {
    for (const [table, count] of Object.entries(counts?.pending ?? {}))
      if (count > 0) sum[table] = (sum[table] ?? 0) + count
  }
  return sum
}

/** The one line about all files: `Disabled`, `Ready`, `Pending`, `Synced`, `Offline: …`, `Blocked: …`. */
export function overallStatus(isOn: boolean, reports: readonly AttachmentReport[]): string {
  if (!isOn && reports.every(({ running }) => !running)) return 'Disabled'
  const worst =
    reports.find(({ state }) => state === 'blocked' || state === 'unreadable') ??
    reports.find(({ state }) => state === 'offline')
  if (worst !== undefined) return `${worst.state === 'offline' ? 'Offline' : 'Blocked'}: ${worst.reason}`
  if (Object.keys(sumPending(reports)).length > 0) return 'Pending'
  return reports.some(({ lastSyncAt }) => lastSyncAt !== null) ? 'Synced' : 'Ready'
}
