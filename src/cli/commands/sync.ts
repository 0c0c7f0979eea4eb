import { TidemarkError } from '../../kernel/errors.ts'
import { describeReset, type EngineStatus } from '../../engine/status.ts'
import type { SyncResult } from '../../engine/waiters.ts'
import type { StoreCounts } from '../../engine/store.ts'
import type { Attachment } from '../../daemon/attachments.ts'
import { describeFailure } from '../../daemon/describe-failure.ts'
import type { ParkedReport } from '../../daemon/parked.ts'
import {
  lastSyncOf,
  overallStatus,
  reportAttachment,
  sumPending,
  type AttachmentReport,
} from '../../daemon/sync-report.ts'
import { fileTag } from '../../machine/files.ts'
import { resetUpload } from '../../daemon/batch/stored.ts'
import { decideSync } from '../../daemon/config.ts'
import { askControl, socketPath } from '../../daemon/control.ts'
import { rejoinFile } from '../../daemon/rejoin.ts'
import { openReplica, openStoreOf } from '../../daemon/replica.ts'
import { runFolder } from '../../machine/folders.ts'
import { holdReplica } from '../../daemon/runner.ts'
import { engineSettings, requireConnection } from '../../daemon/connection.ts'
import type { CliContext } from '../context.ts'
import { toSystemError } from '../../machine/failures.ts'
import { EXIT, exitCodeOf } from '../output.ts'
import { countOf, formatAgo, formatCount } from '../progress.ts'
import { chooseAttachments, inProfileOf, requireAttachments } from './files.ts'
import { describeUpload, findUpload, reportUpload, statusOfUpload, toJson, uploadNow } from './upload.ts'

/** How long a status tells that a file joined the cloud anew, in milliseconds. */
const TELL_RESET_MS = 7 * 24 * 3_600_000

/** tidemark sync status: origin 000's lines (83-97), then a line for each file. */
export async function showStatus(context: CliContext, file?: string): Promise<void> {
  const { output, clock } = context
  const chosen = chooseAttachments(context, file)
  const [named] = file === undefined ? [] : chosen
  const { config } = named === undefined ? context : inProfileOf(context, named)
  const decision = decideSync(config)
  const endpoint = config.read('endpoint').value
  const reports: AttachmentReport[] = []
  for (const attachment of chosen) reports.push(await report(context, attachment))
  const upload = file === undefined ? await reportUpload(context) : null
  const lastSyncAt = Math.max(lastSyncOf(reports) ?? 0, upload?.lastSyncAt ?? 0) || null
  const pending = { ...upload?.pending, ...sumPending(reports) }
  const status = upload !== null && decision.on ? statusOfUpload(upload) : overallStatus(decision.on, reports)
  const lines = [
    `Profile: ${config.profile}`,
    `Endpoint: ${typeof endpoint === 'string' ? endpoint : '-'}`,
    decision.on
      ? `Sync: Enabled (last sync: ${formatAgo(lastSyncAt, clock.now())})`
      : `Sync: Disabled (${decision.rule})`,
    ...(Object.keys(pending).length === 0 ? [] : [`Records pending: ${describePending(pending)}`]),
    `Status: ${status}`,
    ...(upload === null ? [] : describeUpload(upload)),
    ...reports.flatMap((report) => describeReport(report, clock.now())),
  ]
  output.result(
    {
      profile: config.profile,
      endpoint,
      enabled: decision.on,
      rule: decision.rule,
      last_sync: lastSyncAt,
      pending,
      status,
      upload: upload === null ? null : toJson(upload),
      files: reports,
    },
    lines,
  )
}

/** By the process that runs the file, else as it was last known. */
async function report({ folders }: CliContext, attachment: Attachment): Promise<AttachmentReport> {
  const path = socketPath(runFolder(folders), fileTag(attachment.file))
  const live = (await askControl(path, { command: 'status' })) as EngineStatus | null
  return reportAttachment(folders, attachment, { live })
}

function describeReport(report: AttachmentReport, now: number): readonly string[] {
  const counts = report.counts
  const extras =
    counts === null
      ? []
      : [
          [counts.openConflicts === 1 ? 'conflict open' : 'conflicts open', counts.openConflicts],
          ['held', counts.held],
          ['parked', counts.parked],
          ['in quarantine', counts.quarantined],
          [counts.nullKeys === 1 ? 'row without a key' : 'rows without a key', counts.nullKeys],
        ]
          .filter(([, count]) => Number(count) > 0)
          .map(([name, count]) => `${formatCount(Number(count))} ${String(name)}`)
  return [
    '',
    `${report.file} ↔ ${report.space}: ${report.state}${report.running ? '' : ' (not running)'}, last sync ${formatAgo(report.lastSyncAt, now)}`,
    ...(report.reason === '' ? [] : [`  ${report.reason}`]),
    ...(report.lastReset === null || now - report.lastReset.at > TELL_RESET_MS
      ? []
      : [`  ${formatAgo(report.lastReset.at, now)}: ${describeReset(report.lastReset)}`]),
    ...(counts === null || Object.keys(counts.pending).length === 0
      ? []
      : [`  pending: ${describePending(counts.pending)}`]),
    ...(extras.length === 0 ? [] : [`  ${extras.join(', ')}`]),
    ...report.parked.map((parked) => `  ${describeParked(parked)}`),
  ]
}

const describePending = (pending: StoreCounts['pending']): string =>
  Object.entries(pending)
    .map(([table, count]) => `${formatCount(count)} ${table}`)
    .join(', ')

const describeParked = ({ table, reason, rows }: ParkedReport): string =>
  `parked: ${countOf(rows, 'row')} of ${table}: ${reason}`

/**
 * tidemark sync now: by the process that runs the file, else here. A file that fails does not keep the others (I9);
 * answers the exit code.
 */
export async function syncNow(context: CliContext, file?: string): Promise<number> {
  const uploads = file === undefined && findUpload(context) !== null
  const chosen = uploads ? chooseAttachments(context, file) : requireAttachments(context, file)
  const files: unknown[] = []
  const lines: string[] = []
  let exit: number = EXIT.done
  if (uploads) {
    const { file: name, pushed } = await uploadNow(context)
    files.push({ file: name, result: { pushed, pulled: 0, conflicts: 0 } })
    lines.push(`${name}: ${formatCount(pushed)} sent`)
  }
  for (const attachment of chosen) {
    const { file: name } = attachment
    try {
      const result = await syncFile(inProfileOf(context, attachment), name)
      files.push({ file: name, result })
      const { pushed, pulled, conflicts } = result
      lines.push(
        `${name}: ${formatCount(pushed)} sent, ${formatCount(pulled)} received, ${countOf(conflicts, 'conflict')}`,
      )
    } catch (thrown) {
      const error = toSystemError(thrown)
      if (chosen.length === 1 || context.signal.aborted) throw error
      files.push({ file: name, error })
      if (!context.output.json) context.output.warn(`${name}: ${describeFailure(name, error)}`)
      exit = exitCodeOf(error)
    }
  }
  context.output.result({ files }, lines)
  return exit
}

async function syncFile(context: CliContext, file: string): Promise<SyncResult> {
  const path = socketPath(runFolder(context.folders), fileTag(file))
  const known = await askControl(path, { command: 'now' })
  // The process that answers is of this version: one lock, one package.
  if (known !== null) return known as SyncResult
  const connection = requireConnection(context.config)
  const open = () => openReplica({ ...context, ...engineSettings(context.config), file, connection })
  await using running = await holdReplica(context.folders, open, file, context.clock, { borrow: true })
  return await running.syncNow({ signal: context.signal })
}

/** Keys told with `--verbose`, at most so many. */
const MAX_KEYS = 1_000

/** tidemark sync pending [--verbose] */
export async function showPending(
  context: CliContext,
  file: string | undefined,
  options: { readonly verbose?: boolean },
): Promise<void> {
  const files = []
  const upload = file === undefined ? findUpload(context) : null
  if (upload !== null) files.push({ file: upload.file, pending: upload.pending })
  for (const attachment of chooseAttachments(context, file)) {
    await using store = await openStoreOf(context.folders, attachment.file)
    const { pending } = await store.counts()
    const keys =
      options.verbose === true
        ? (await store.readDirty({ rows: MAX_KEYS, bytes: Infinity })).rows.map((row) => ({
            table: row.table,
            key: row.key,
            op: row.fields === null ? 'delete' : 'put',
          }))
        : undefined
    files.push({ file: attachment.file, pending, ...(keys === undefined ? {} : { keys }) })
  }
  const lines = files.flatMap(({ file: name, pending, keys }) => [
    `${name}: ${Object.keys(pending).length === 0 ? 'nothing pending' : describePending(pending)}`,
    ...(keys ?? []).map(({ table, key, op }) => `  ${op.padEnd(6)} ${table} ${key}`),
  ])
  context.output.result({ files }, lines.length === 0 ? ['No file is under sync.'] : lines)
}

export interface ResetOptions {
  readonly rejoin?: boolean
  readonly overwrite?: boolean
  readonly yes?: boolean
}

/**
 * tidemark sync reset: the next sync reads and compares everything; with `--rejoin` or `--overwrite` it joins the
 * cloud anew, as after a restore. Asks first.
 */
export async function resetSync(
  context: CliContext,
  file: string | undefined,
  options: ResetOptions,
): Promise<void> {
  const upload = file === undefined ? findUpload(context) : null
  const chosen = upload === null ? requireAttachments(context, file) : chooseAttachments(context, file)
  if (options.rejoin === true || options.overwrite === true) return rejoin(context, chosen, options)
  const question =
    upload === null
      ? `Read the whole space again with the next sync of ${chosen.length} file(s)? Local changes are kept.`
      : 'Send all sessions and messages again with the next sync?'
  if (options.yes !== true && !(await context.confirm(question))) throw new TidemarkError('not_confirmed')
  if (upload !== null) resetUpload(context.folders, upload.endpoint)
  for (const { file: name } of chosen) {
    await using store = await openStoreOf(context.folders, name, { borrow: context.clock })
    const state = await store.state()
    if (state.cursor !== null)
      await store.startHydrate({ cursor: state.cursor, tables: null, place: null, sweep: true })
  }
  const names = [...(upload === null ? [] : [upload.file]), ...chosen.map(({ file: name }) => name)]
  context.output.result({ reset: names }, [
    upload === null
      ? 'Done: the next sync reads everything again.'
      : 'Done: the next sync sends everything again.',
  ])
}

const REJOIN =
  'Join the cloud anew with the next sync? What the cloud has that is newer flows in; local changes are kept.'
const OVERWRITE =
  'Make the rows of this file win with the next sync? Every change that others made since this file was saved is undone on all devices, deletions included.'

async function rejoin(
  context: CliContext,
  chosen: readonly Attachment[],
  options: ResetOptions,
): Promise<void> {
  const [only, ...others] = chosen
  if (only === undefined || others.length > 0 || (options.rejoin === true && options.overwrite === true))
    throw new TidemarkError('bad_usage', 'Name one file, and one of --rejoin and --overwrite')
  const overwrite = options.overwrite === true
  if (options.yes !== true && !(await context.confirm(overwrite ? OVERWRITE : REJOIN)))
    throw new TidemarkError('not_confirmed')
  await rejoinFile({ ...context, file: only.file, overwrite })
  context.output.result({ reset: [only.file], overwrite }, [
    overwrite
      ? 'Done: with the next sync the rows of this file win.'
      : 'Done: the next sync joins the cloud anew.',
  ])
}
