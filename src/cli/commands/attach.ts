import { existsSync } from 'node:fs'
import { basename, extname } from 'node:path'

import { TidemarkError } from '../../kernel/errors.ts'
import { attachFile, cloneSpace, detachFile, planAttach, type AttachPlan } from '../../daemon/attach.ts'
import { readSpace, resumeFile } from '../../daemon/rejoin.ts'
import { openReplica, openStoreOf } from '../../daemon/replica.ts'
import { findAttachment, readStatus } from '../../daemon/attachments.ts'
import { holdReplica, type RunningReplica } from '../../daemon/runner.ts'
import { engineSettings, requireConnection, type Connection } from '../../daemon/connection.ts'
import type { CliContext } from '../context.ts'
import { countOf, startProgress } from '../progress.ts'
import { inProfileOf } from './files.ts'
import { createWaits, tellHowToGoOn, type Wait, type Waits } from '../waits.ts'

export interface AttachOptions {
  readonly space?: string
  readonly tables?: string
  readonly exclude?: string
  readonly merge?: boolean
  readonly yes?: boolean
  /** False with `--no-sync`: marks only, nothing is sent yet. */
  readonly sync?: boolean
}

export const splitNames = (names: string | undefined): readonly string[] | undefined =>
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
export async function attach(given: CliContext, file: string, options: AttachOptions): Promise<void> {
  const context = inItsProfile(given, file)
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
    throw new TidemarkError('not_confirmed')
  }
  // An empty file is filled from the space.
  const label = plan.tables.every(({ rows }) => rows === 0) ? 'Downloading' : 'Uploading'
  const waits = createWaits(output, label)
  await attachFile({
    ...context,
    file,
    space,
    connection,
    profile: context.config.profile,
    tables: splitNames(options.tables),
    exclude: splitNames(options.exclude),
    merge: options.merge === true,
    patience: waits,
  })
  const synced = options.sync === false ? null : await firstSync(context, file, connection, label, waits)
  tellAttached(context, file, { space, plan, synced })
}

/** With the profile that the file is attached under, where it is: a first sync goes on to where it began. */
function inItsProfile(context: CliContext, file: string): CliContext {
  const attachment = findAttachment(context.folders, file)
  return attachment === undefined ? context : inProfileOf(context, attachment)
}

/** The first sync of a file that was attached here has never come to its end. */
const isBegun = ({ folders }: CliContext, file: string): boolean =>
  findAttachment(folders, file) !== undefined && (readStatus(folders, file)?.lastSyncAt ?? null) === null

/** A file that brings its sync along: a first sync that was cut off, a copy, or one that was restored or moved. */
async function resume(
  context: CliContext,
  file: string,
  space: string,
  connection: Connection,
  options: AttachOptions,
): Promise<void> {
  const { output } = context
  const begun = isBegun(context, file)
  const listed = findAttachment(context.folders, file) !== undefined
  if ((listed && !begun) || (options.space ?? space) !== space)
    throw new TidemarkError('already_attached', undefined, { details: { file, space } })
  if (begun) {
    output.say(`${file} is attached to ${space}, but its first sync did not end: it goes on as it began.`)
    const rest = options.sync === false ? null : await firstSync(context, file, connection, 'Uploading')
    return tellAttached(context, file, { space, plan: null, synced: rest })
  }
  output.say(`${file} is under sync with ${space} already: a copy, or a file that was restored or moved.`)
  output.say('It goes on as it is; a copy gets an identity of its own.')
  if (options.yes !== true && !(await context.confirm('Go on with it?')))
    throw new TidemarkError('not_confirmed')
  await resumeFile({ ...context, file, profile: context.config.profile })
  const synced = options.sync === false ? null : await firstSync(context, file, connection, 'Joining')
  output.result({ file, space, plan: null, synced }, [
    `${file} is attached to ${space} again.`,
    'Keep it in step: tidemark run',
  ])
}

function tellAttached(
  { output }: CliContext,
  file: string,
  done: { readonly space: string; readonly plan: AttachPlan | null; readonly synced: unknown },
): void {
  const { space } = done
  output.result({ file, ...done }, [
    `${file} is attached to ${space}.`,
    `Keep it in step: tidemark run    Elsewhere: tidemark clone ${space} FILE`,
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
  waits: Waits = createWaits(context.output, label),
): Promise<unknown> {
  const open = () => openReplica({ ...context, ...engineSettings(context.config), file, connection })
  await using running: RunningReplica = await holdReplica(context.folders, open, file, context.clock, {
    borrow: true,
  })
  return await syncWithProgress(context, running, label, waits)
}

/**
 * Waits for a whole cycle, through failures of the cloud that pass, and shows how far it is; answers what was done,
 * how fast, and what it waited for.
 */
export async function syncWithProgress(
  context: CliContext,
  running: RunningReplica,
  label: string,
  waits: Waits = createWaits(context.output, label),
): Promise<{ readonly rows: number; readonly rate: number; readonly waits: readonly Wait[] }> {
  const progress = startProgress(context.output, label, context.clock)
  let done = 0
  /** A first read that was cut counts from its own place on: what came before, and what it counts. */
  let [before, counted] = [0, 0]
  const total = Object.values((await running.status()).counts.pending).reduce((sum, count) => sum + count, 0)
  const off = running.replica.engine.on((event) => {
    if (event.type === 'error') [before, counted] = [before + counted, 0]
    if (event.type === 'pushed') done += event.rows
    else if (event.type === 'progress' && event.task === 'hydrate') {
      counted = event.done
      done = before + counted
    } else return
    progress.update(done, event.type === 'progress' ? event.total : Math.max(done, total))
  })
  try {
    await running.syncNow({ signal: context.signal, patience: waits })
  } catch (thrown) {
    throw tellHowToGoOn(context.output, thrown, running.replica.file, waits)
  } finally {
    off()
  }
  return { ...progress.end(done), waits: waits.told }
}

/** tidemark detach FILE: the file is as it was before it was attached, its rows as they are now. */
export async function detach(
  context: CliContext,
  file: string,
  options: { readonly yes?: boolean },
): Promise<void> {
  if (findAttachment(context.folders, file) === undefined && (await readSpace(file)) === null)
    throw new TidemarkError('not_attached', undefined, { details: { file } })
  const question = `Take ${file} off sync? Its rows stay; unsent changes stay here only.`
  if (options.yes !== true && !(await context.confirm(question))) throw new TidemarkError('not_confirmed')
  const { journalRestored } = await detachFile({ ...context, file })
  context.output.result({ detached: file, journalRestored }, [
    `${file} is detached; nothing of Tidemark is left in it.`,
  ])
  if (!journalRestored)
    context.output.warn('It stays in WAL mode, for another program has it open: see PRAGMA journal_mode')
}

async function readTables({ folders }: CliContext, file: string): Promise<readonly string[]> {
  await using store = await openStoreOf(folders, file)
  return (await store.schema()).tables.map(({ name }) => name)
}

/** tidemark clone SPACE FILE: a new replica of a space, or the rest of one whose first sync was cut off. */
export async function clone(
  given: CliContext,
  space: string,
  file: string,
  options: { readonly sync?: boolean },
): Promise<void> {
  const context = inItsProfile(given, file)
  const connection = requireConnection(context.config)
  const waits = createWaits(context.output, 'Downloading')
  const { profile } = context.config
  const begun = existsSync(file) && isBegun(context, file) && (await readSpace(file)) === space
  if (begun) context.output.say(`${file} is a replica of ${space}, but not whole yet: it goes on.`)
  const made = begun
    ? { tables: await readTables(context, file), notes: [] }
    : await cloneSpace({ ...context, space, file, connection, profile, patience: waits })
  const synced =
    options.sync === false ? null : await firstSync(context, file, connection, 'Downloading', waits)
  context.output.result({ file, space, tables: made.tables, notes: made.notes, synced }, [
    `${file} is a replica of ${space} with ${countOf(made.tables.length, 'table')}. Triggers and views are not copied.`,
    ...made.notes,
    'Keep it in step: tidemark run',
  ])
}
