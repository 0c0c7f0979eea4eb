import { connectDaemon } from '../../daemon/api/connect.ts'
import { readUpload, type StoredUpload } from '../../daemon/batch/stored.ts'
import { isErrorCode, TidemarkError, toTidemarkError } from '../../kernel/errors.ts'
import type { CliContext } from '../context.ts'
import { countOf } from '../progress.ts'

/** The one-way upload of the agents' records, where the endpoint of the profile is one that takes only that. */
export interface UploadReport extends StoredUpload {
  /** agents.db */
  readonly file: string
  readonly endpoint: string
  /** As the running daemon has it: `Synced`, `Offline: …`; null where none runs. */
  readonly status: string | null
}

/** Null where the profile syncs both ways, or not at all. */
export function findUpload({ config, folders }: CliContext): Omit<UploadReport, 'status'> | null {
  const { endpoint, protocol } = config.readAll()
  const stored = endpoint === null ? null : readUpload(folders, endpoint, protocol)
  return stored === null || endpoint === null ? null : { ...stored, file: folders.agents, endpoint }
}

export async function reportUpload(context: CliContext): Promise<UploadReport | null> {
  const found = findUpload(context)
  if (found === null) return null
  try {
    const { client } = await connectDaemon(context.folders, context)
    const { sync } = await client.getSyncStatus()
    const isThis = sync.profile === context.config.profile && sync.protocol === 'batch'
    return { ...found, status: isThis ? sync.status : null }
  } catch (thrown) {
    if (toTidemarkError(thrown).code !== 'daemon_not_running') throw thrown
    return { ...found, status: null }
  }
}

export const toJson = ({ file, status, lastSyncAt, pending, refused }: UploadReport): object => ({
  file,
  running: status !== null,
  last_sync: lastSyncAt,
  pending,
  refused,
})

/** In origin 000's words. */
export function statusOfUpload({ status, pending, lastSyncAt }: UploadReport): string {
  if (status !== null) return status
  if (Object.keys(pending).length > 0) return 'Pending'
  return lastSyncAt === null ? 'Ready' : 'Synced'
}

export const describeUpload = ({ file, endpoint, status, refused }: UploadReport): readonly string[] => [
  '',
  `${file} → ${endpoint}: sessions and messages, one way${status === null ? ' (not running)' : ''}`,
  ...(status === null ? ['  The daemon sends them: tidemark daemon start'] : []),
  ...(refused === 0
    ? []
    : [
        `  ${countOf(refused, 'record')} refused by the endpoint and put aside, until changed or after tidemark sync reset`,
      ]),
]

/** By the daemon, whose work it is. Throws `daemon_not_running`, and what keeps the upload from it. */
export async function uploadNow(
  context: CliContext,
): Promise<{ readonly file: string; readonly pushed: number }> {
  const { folders, signal } = context
  const { client } = await connectDaemon(folders, context)
  const { files } = await client.syncNow({ body: { file: folders.agents }, signal })
  const done = files.find(({ file }) => file === folders.agents)
  if (done === undefined) throw new TidemarkError('unavailable', 'The daemon does not upload in this profile')
  if (done.error !== null)
    throw new TidemarkError(isErrorCode(done.error.code) ? done.error.code : 'internal', done.error.message)
  return { file: done.file, pushed: done.pushed }
}
