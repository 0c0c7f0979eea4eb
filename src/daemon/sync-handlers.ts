import { canonicalPath } from '../machine/files.ts'
import { toSystemError } from '../machine/failures.ts'
import type { Folders } from '../machine/folders.ts'
import { TidemarkError } from '../kernel/errors.ts'
import type { AttachedFile, SyncNowAnswer, SyncReport } from '../protocol/daemon-status.ts'
import type { Handlers } from './api/handlers.ts'
import { listAttachments, type Attachment } from './attachments.ts'
import type { Hosting } from './hosting/hosting.ts'
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
  readonly hosting: () => Hosting | null
  readonly settings: SettingsBook
  readonly version: string
  readonly protocol: () => SyncReport['protocol']
}): SyncHandlers {
  const { folders, settings, version, protocol } = options
  const requireHosting = (): Hosting => {
    const hosting = options.hosting()
    if (hosting === null) throw new TidemarkError('unavailable', 'The daemon is starting')
    return hosting
  }

  const report = async (attachment: Attachment): Promise<AttachmentReport> => {
    const hosting = requireHosting()
    const live = await hosting.running(attachment.file)?.status()
    const problem = settings.of(attachment.profile)?.problem ?? null
    const failure = hosting.failure(attachment.file) ?? problem
    return reportAttachment(folders, attachment, { live: live ?? null, failure })
  }
  const reports = (): Promise<readonly AttachmentReport[]> =>
    Promise.all(listAttachments(folders).map(report))

  return {
    getHealth: () => ({ status: 'ok', version }),

    async getSyncStatus() {
      const { profile, endpoint, on, rule, problem } = settings.current()
      const all = await reports()
      return {
        sync: {
          profile,
          endpoint,
          enabled: on,
          rule,
          protocol: protocol(),
          last_sync: lastSyncOf(all),
          pending: sumPending(all),
          status: problem === null ? overallStatus(on, all) : `Blocked: ${problem.message}. ${problem.hint}`,
          files: all.map(toAttachedFile),
        },
        backup: null,
      }
    },

    async syncNow({ body, signal }) {
      const chosen = chooseFiles(folders, body.file)
      const { engine, problem, endpoint, rule } = settings.current()
      if (engine === null && chosen.every(({ profile }) => (settings.of(profile)?.engine ?? null) === null)) {
        if (problem !== null) throw problem
        if (endpoint === null) throw new TidemarkError('not_connected')
        throw new TidemarkError('sync_disabled', `Sync is off: ${rule}`)
      }
      const hosting = requireHosting()
      return { files: await Promise.all(chosen.map(({ file }) => syncFile(hosting, file, signal))) }
    },

    async listPending() {
      const all = await reports()
      return { files: all.map(({ file, counts }) => ({ file, pending: counts?.pending ?? {} })) }
    },

    listAttachments: async () => ({ attachments: (await reports()).map(toAttachedFile) }),
  }
}

function chooseFiles(folders: Folders, file: string | undefined): readonly Attachment[] {
  const all = listAttachments(folders)
  if (file === undefined) return all
  const path = canonicalPath(file)
  const chosen = all.filter((attachment) => attachment.file === path)
  if (chosen.length === 0) throw new TidemarkError('not_attached', undefined, { details: { file } })
  return chosen
}

/** A file that fails does not keep the others (I9). */
async function syncFile(
  hosting: Hosting,
  file: string,
  signal: AbortSignal,
): Promise<SyncNowAnswer['files'][number]> {
  try {
    const { pushed, pulled, conflicts } = await hosting.syncNow(file, signal)
    return { file, pushed, pulled, conflicts, error: null }
  } catch (thrown) {
    if (signal.aborted) throw new TidemarkError('aborted')
    const { code, message } = toSystemError(thrown)
    return { file, pushed: 0, pulled: 0, conflicts: 0, error: { code, message } }
  }
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
