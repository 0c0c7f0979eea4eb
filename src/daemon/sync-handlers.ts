import type { SyncResult } from '../engine/waiters.ts'
import { canonicalPath } from '../machine/files.ts'
import { toSystemError } from '../machine/failures.ts'
import type { Folders } from '../machine/folders.ts'
import { TidemarkError } from '../kernel/errors.ts'
import type { AttachedFile, SyncNowAnswer } from '../protocol/daemon-status.ts'
import type { Handlers } from './api/handlers.ts'
import type { BatchStatus } from './batch/batch-sync.ts'
import type { Upload } from './upload.ts'
import { listAttachments, type Attachment } from './attachments.ts'
import type { HostedSync } from './hosting/start.ts'
import type { SettingsBook } from './hosting/sync-settings.ts'
import {
  lastSyncOf,
  overallStatus,
  reportAttachment,
  sumPending,
  type AttachmentReport,
} from './sync-report.ts'

export type SyncHandlers = Pick<
  Handlers,
  'getHealth' | 'getSyncStatus' | 'syncNow' | 'listPending' | 'listAttachments'
>

/** What the daemon tells of itself and its sync. */
export function createSyncHandlers(options: {
  readonly folders: Folders
  /** Null while the daemon starts. */
  readonly hosted: () => HostedSync | null
  readonly upload: Upload
  readonly settings: SettingsBook
  readonly version: string
}): SyncHandlers {
  const { folders, settings, version, upload } = options
  const requireHosted = (): HostedSync => {
    const hosted = options.hosted()
    if (hosted === null) throw new TidemarkError('unavailable', 'The daemon is starting')
    return hosted
  }

  const report = async (attachment: Attachment): Promise<AttachmentReport> => {
    const { hosting, protocols } = requireHosted()
    const live = await hosting.running(attachment.file)?.status()
    const found = settings.of(attachment.profile)
    const problem = found === null ? null : (found.problem ?? protocols.problem(found))
    const failure = hosting.failure(attachment.file) ?? problem
    return reportAttachment(folders, attachment, { live: live ?? null, failure })
  }
  const reports = (): Promise<readonly AttachmentReport[]> =>
    Promise.all(listAttachments(folders).map(report))

  return {
    getHealth: () => ({ status: 'ok', version }),

    async getSyncStatus() {
      const current = settings.current()
      const { profile, endpoint, on, rule } = current
      const { protocols } = requireHosted()
      const problem = current.problem ?? protocols.problem(current)
      const all = await reports()
      const uploaded = upload.running()?.status() ?? null
      const pending = sumPending(all)
      return {
        sync: {
          profile,
          endpoint,
          enabled: on,
          rule,
          protocol: protocols.of(current),
          last_sync: uploaded?.lastSyncAt ?? lastSyncOf(all),
          pending: uploaded === null ? pending : { ...pending, ...uploaded.pending },
          status:
            problem !== null
              ? `${problem.retry ? 'Offline' : 'Blocked'}: ${problem.message}. ${problem.hint}`
              : uploaded === null
                ? overallStatus(on, all)
                : describeUpload(uploaded),
          files: all.map(toAttachedFile),
        },
        backup: null,
      }
    },

    async syncNow({ body, signal }) {
      const { hosting } = requireHosted()
      const chosen = chooseFiles(folders, body.file)
      const sending = body.file === undefined || isAgents(folders, body.file) ? upload.running() : null
      requireOn(settings, chosen)
      const files = chosen.map(({ file }) => syncFile(() => hosting.syncNow(file, signal), file, signal))
      if (sending !== null)
        files.push(
          syncFile(
            async () => ({ pulled: 0, conflicts: 0, ...(await sending.syncNow(signal)) }),
            folders.agents,
            signal,
          ),
        )
      return { files: await Promise.all(files) }
    },

    async listPending() {
      const all = await reports()
      return { files: all.map(({ file, counts }) => ({ file, pending: counts?.pending ?? {} })) }
    },

    listAttachments: async () => ({ attachments: (await reports()).map(toAttachedFile) }),
  }
}

/** Throws why nothing can be synced at all. */
function requireOn(settings: SettingsBook, chosen: readonly Attachment[]): void {
  const { engine, problem, endpoint, rule } = settings.current()
  if (engine !== null || chosen.some(({ profile }) => (settings.of(profile)?.engine ?? null) !== null)) return
  if (problem !== null) throw problem
  if (endpoint === null) throw new TidemarkError('not_connected')
  throw new TidemarkError('sync_disabled', `Sync is off: ${rule}`)
}

function chooseFiles(folders: Folders, file: string | undefined): readonly Attachment[] {
  const all = listAttachments(folders)
  if (file === undefined) return all
  const path = canonicalPath(file)
  const chosen = all.filter((attachment) => attachment.file === path)
  // With an endpoint that only takes uploads the agents' database is sent, and not attached.
  if (chosen.length === 0 && !isAgents(folders, file))
    throw new TidemarkError('not_attached', undefined, { details: { file } })
  return chosen
}

const isAgents = (folders: Folders, file: string): boolean =>
  canonicalPath(file) === canonicalPath(folders.agents)

/** A file that fails does not keep the others (I9). */
async function syncFile(
  work: () => Promise<Pick<SyncResult, 'pushed' | 'pulled' | 'conflicts'>>,
  file: string,
  signal: AbortSignal,
): Promise<SyncNowAnswer['files'][number]> {
  try {
    const { pushed, pulled, conflicts } = await work()
    return { file, pushed, pulled, conflicts, error: null }
  } catch (thrown) {
    if (signal.aborted) throw new TidemarkError('aborted')
    const { code, message } = toSystemError(thrown)
    return { file, pushed: 0, pulled: 0, conflicts: 0, error: { code, message } }
  }
}

function describeUpload({ state, reason, pending, lastSyncAt }: BatchStatus): string {
  if (state === 'offline') return `Offline: ${reason}`
  if (state === 'blocked') return `Blocked: ${reason}`
  if (Object.values(pending).some((count) => count > 0)) return 'Pending'
  return lastSyncAt === null ? 'Ready' : 'Synced'
}

const toAttachedFile = (report: AttachmentReport): AttachedFile => ({
  file: report.file,
  space: report.space,
  running: report.running,
  state: report.state,
  reason: report.reason,
  last_sync: report.lastSyncAt,
  pending: { ...report.counts?.pending },
  conflicts: report.counts?.openConflicts ?? 0,
  quarantined: report.counts?.quarantined ?? 0,
})
