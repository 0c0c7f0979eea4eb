import { basename, extname } from 'node:path'

import { TidemarkError } from '../../kernel/errors.ts'
import { attachFile, cloneSpace, detachFile, planAttach, type AttachPlan } from '../../daemon/attach.ts'
import { readSpace, resumeFile } from '../../daemon/rejoin.ts'
import { openReplica } from '../../daemon/replica.ts'
import { findAttachment } from '../../daemon/attachments.ts'
import { runReplica, type RunningReplica } from '../../daemon/runner.ts'
import { engineSettings, requireConnection, type CliContext, type Connection } from '../context.ts'
import { countOf, startProgress } from '../progress.ts'

export interface AttachOptions {
  readonly space?: string
  readonly tables?: string
  readonly exclude?: string
  readonly merge?: boolean
  readonly yes?: boolean
  /** False with `--no-sync`: marks only, nothing is sent yet. */
  readonly sync?: boolean
}

const splitNames = (names: string | undefined): readonly string[] | undefined =>
  names
    ?.split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')

/** The space of a file that names none: the file's own name. */
export function spaceOfFile(file: string): string {
  const name = basename(file, extname(file))
    .replace(/[^A-Za-z0-9._:-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+|-+$/g, '')
  return name === '' ? 'default' : name.slice(0, 128)
}

/** tidemark attach FILE: says what it will sync and what it refuses, asks, attaches, and sends the first time. */
export async function attach(context: CliContext, file: string, options: AttachOptions): Promise<void> {
  const { output } = context
  const connection = requireConnection(context.config)
  const known = await readSpace(file)
  if (known !== null) return resume(context, file, known, connection, options)
  const space = options.space ?? spaceOfFile(file)
  const plan = planAttach(file, { tables: splitNames(options.tables), exclude: splitNames(options.exclude) })
  for (const line of describePlan(plan, space, connection)) output.say(line)
  if (plan.tables.length === 0) {
    const reasons = Object.fromEntries(plan.refused.map(({ table, reason }) => [table, reason]))
    throw new TidemarkError('nothing_to_sync', undefined, { details: reasons })
  }
  if (options.yes !== true && !(await context.confirm('Attach?'))) {
    throw new TidemarkError('aborted', 'Nothing was changed; say --yes to attach without asking')
  }
  await attachFile({
    ...context,
    file,
    space,
    connection,
    profile: context.config.profile,
    tables: splitNames(options.tables),
    exclude: splitNames(options.exclude),
    merge: options.merge === true,
  })
  const synced = options.sync === false ? null : await firstSync(context, file, connection, 'Uploading')
  output.result({ file, space, plan, synced }, [
    `${file} is attached to ${space}.`,
    `Keep it in step: tidemark run    Elsewhere: tidemark clone ${space} FILE`,
  ])
}

/** A file that brings its sync along: a copy, or one that was restored or moved. */
async function resume(
  context: CliContext,
  file: string,
  space: string,
  connection: Connection,
  options: AttachOptions,
): Promise<void> {
  const { output } = context
  if (findAttachment(context.folders, file) !== undefined || (options.space ?? space) !== space)
    throw new TidemarkError('already_attached', undefined, { details: { file, space } })
  output.say(`${file} is under sync with ${space} already: a copy, or a file that was restored or moved.`)
  output.say('It goes on as it is; a copy gets an identity of its own.')
  if (options.yes !== true && !(await context.confirm('Go on with it?')))
    throw new TidemarkError('aborted', 'Nothing was changed; say --yes to go on without asking')
  await resumeFile({ ...context, file, profile: context.config.profile })
  const synced = options.sync === false ? null : await firstSync(context, file, connection, 'Joining')
  output.result({ file, space, plan: null, synced }, [
    `${file} is attached to ${space} again.`,
    'Keep it in step: tidemark run',
  ])
}

export function describePlan(plan: AttachPlan, space: string, connection: Connection): readonly string[] {
  const rows = plan.tables.reduce((sum, table) => sum + table.rows, 0)
  return [
    `${plan.file} → ${space} at ${connection.endpoint}`,
    `  will sync ${countOf(plan.tables.length, 'table')}, ${countOf(rows, 'row')}:`,
    ...plan.tables.map(({ name, rows: count }) => `    ${name} (${countOf(count, 'row')})`),
    ...(plan.refused.length === 0 ? [] : ['  will not sync:']),
    ...plan.refused.map(({ table, reason }) => `    ${table}: ${reason}`),
    ...plan.warnings.map(({ table, warning }) => `  note: ${table}: ${warning}`),
  ]
}

/** One whole cycle with progress. */
export async function firstSync(
  context: CliContext,
  file: string,
  connection: Connection,
  label: string,
): Promise<unknown> {
  const open = () => openReplica({ ...context, ...engineSettings(context.config), file, connection })
  try {
    await using running: RunningReplica = await runReplica(context.folders, open, file, context.clock)
    return await syncWithProgress(context, running, label)
  } catch (thrown) {
    context.output.warn(
      `${file} is under sync, but the first sync did not end: tidemark run goes on with it, or tidemark sync now`,
    )
    throw thrown
  }
}

/** Waits for a whole cycle and shows how far it is; answers what was done and how fast. */
export async function syncWithProgress(
  context: CliContext,
  running: RunningReplica,
  label: string,
): Promise<{ readonly rows: number; readonly rate: number }> {
  const progress = startProgress(context.output, label, context.clock)
  let done = 0
  const total = Object.values((await running.status()).counts.pending).reduce((sum, count) => sum + count, 0)
  const off = running.replica.engine.on((event) => {
    if (event.type === 'pushed') done += event.rows
    else if (event.type === 'progress' && event.task === 'hydrate') done = Math.max(done, event.done)
    else return
    progress.update(done, event.type === 'progress' ? event.total : Math.max(done, total))
  })
  try {
    await running.syncNow(context.signal)
  } finally {
    off()
  }
  return progress.end(done)
}

/** tidemark detach FILE: the file is as it was before it was attached, its rows as they are now. */
export async function detach(
  context: CliContext,
  file: string,
  options: { readonly yes?: boolean },
): Promise<void> {
  const question = `Take ${file} off sync? Its rows stay; unsent changes stay here only.`
  if (options.yes !== true && !(await context.confirm(question)))
    throw new TidemarkError('aborted', 'Nothing was changed; say --yes to detach without asking')
  const { journalRestored } = await detachFile({ ...context, file })
  context.output.result({ detached: file, journalRestored }, [
    `${file} is detached; nothing of Tidemark is left in it.`,
  ])
  if (!journalRestored)
    context.output.warn('It stays in WAL mode, for another program has it open: see PRAGMA journal_mode')
}

/** tidemark clone SPACE FILE: a new replica of a space. */
export async function clone(
  context: CliContext,
  space: string,
  file: string,
  options: { readonly sync?: boolean },
): Promise<void> {
  const connection = requireConnection(context.config)
  const made = await cloneSpace({ ...context, space, file, connection, profile: context.config.profile })
  const synced = options.sync === false ? null : await firstSync(context, file, connection, 'Downloading')
  context.output.result({ file, space, tables: made.tables, notes: made.notes, synced }, [
    `${file} is a replica of ${space} with ${countOf(made.tables.length, 'table')}. Triggers and views are not copied.`,
    ...made.notes,
    'Keep it in step: tidemark run',
  ])
}
