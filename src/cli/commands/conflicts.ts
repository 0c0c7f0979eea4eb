import { dismissEntry, resolveEntry, undoEntry } from '../../engine/conflicts.ts'
import type { InboxEntry } from '../../engine/inbox.ts'
import { encodingFault, type Fields } from '../../kernel/values.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { openStoreOf } from '../../daemon/replica.ts'
import type { SqliteStore } from '../../stores/sqlite/store/store.ts'
import type { CliContext } from '../context.ts'
import { formatAgo } from '../progress.ts'
import { findHolder, requireAttachments } from './files.ts'

/** tidemark conflicts list [FILE] [--all] */
export async function listConflicts(
  context: CliContext,
  file: string | undefined,
  options: { readonly all?: boolean },
): Promise<void> {
  const chosen = requireAttachments(context, file)
  const conflicts: unknown[] = []
  const lines: string[] = []
  for (const { file: name } of chosen) {
    await using store = await openStoreOf(context.folders, name)
    const entries = await store.listInbox({ ...(options.all === true ? {} : { open: true }), limit: 1_000 })
    if (chosen.length > 1 && entries.length > 0) lines.push(`${name}:`)
    for (const entry of entries) {
      const { local: _, remote: __, ...rest } = entry
      conflicts.push({ file: name, ...rest })
      lines.push(
        `${entry.id}  ${entry.kind.padEnd(9)} ${entry.table} ${entry.key}  ${describeChoice(entry)}  ${formatAgo(entry.at, context.clock.now())}`,
      )
    }
  }
  context.output.result({ conflicts }, lines.length === 0 ? ['The inbox is empty.'] : lines)
}

/** tidemark conflicts show ID: both values. */
export async function showConflict(context: CliContext, id: string, file?: string): Promise<void> {
  await using store = await openInboxOf(context, id, file)
  const entry = await store.readInbox(id)
  if (entry === null)
    throw new TidemarkError('not_found', 'there is no such conflict; see tidemark conflicts list')
  const columns =
    entry.columns.length > 0 ? entry.columns : Object.keys({ ...entry.local, ...entry.remote?.fields })
  const cell = (fields: Fields | null | undefined, column: string) =>
    fields === null || fields === undefined ? '(no row)' : JSON.stringify(fields[column] ?? null)
  context.output.result(entry, [
    `${entry.kind} in ${entry.table} ${entry.key} (${entry.status})`,
    entry.reason,
    `chosen: ${entry.chosen}, by ${entry.by}`,
    ...columns.map(
      (column) =>
        `  ${column}: here ${cell(entry.local, column)}  cloud ${cell(entry.remote?.fields, column)}`,
    ),
    ...describeChoices(entry),
  ])
}

/** tidemark conflicts resolve ID local|remote|JSON */
export async function resolveConflictEntry(
  context: CliContext,
  id: string,
  choice: string,
  file?: string,
): Promise<void> {
  await using store = await openInboxOf(context, id, file)
  await resolveEntry(
    store,
    id,
    choice === 'local' || choice === 'remote' ? choice : { row: parseRow(choice) },
  )
  context.output.result({ resolved: id, choice }, ['Resolved; the choice is sent with the next sync.'])
}

/** tidemark conflicts undo ID */
export async function undoConflict(context: CliContext, id: string, file?: string): Promise<void> {
  await using store = await openInboxOf(context, id, file)
  await undoEntry(store, id)
  context.output.result({ undone: id }, ['Put back; it is sent with the next sync.'])
}

/** tidemark conflicts dismiss ID */
export async function dismissConflict(context: CliContext, id: string, file?: string): Promise<void> {
  await using store = await openInboxOf(context, id, file)
  await dismissEntry(store, id)
  context.output.result({ dismissed: id }, ['Dismissed; nothing was changed.'])
}

async function openInboxOf(context: CliContext, id: string, file: string | undefined): Promise<SqliteStore> {
  const holder = await findHolder(context, file, async (store) => (await store.readInbox(id)) !== null)
  return await openStoreOf(context.folders, holder)
}

/** What can be done with an entry. */
function describeChoices({ id, chosen, status }: InboxEntry): readonly string[] {
  if (chosen === 'waits') return [`Decide: tidemark conflicts resolve ${id} local|remote`]
  return [
    // Where both rows stand nothing lost.
    ...(chosen === 'both' ? [] : [`Put back what lost: tidemark conflicts undo ${id}`]),
    ...(status === 'open' ? [`Leave it so: tidemark conflicts dismiss ${id}`] : []),
  ]
}

function parseRow(text: string): Fields {
  let row: unknown
  try {
    row = JSON.parse(text)
  } catch {
    throw new TidemarkError(
      'bad_usage',
      'the choice is local, remote, or a row as JSON such as {"name":"Ann"}',
    )
  }
  if (typeof row !== 'object' || row === null || Array.isArray(row))
    throw new TidemarkError('bad_usage', 'the row is not a JSON object')
  for (const value of Object.values(row)) {
    const fault = encodingFault(value)
    if (fault !== null)
      throw new TidemarkError('bad_usage', `the row holds a value that cannot be carried: ${fault}`)
  }
  return row as Fields
}

function describeChoice(entry: InboxEntry): string {
  if (entry.status !== 'open') return entry.status
  return entry.chosen === 'waits' ? 'waits for you' : `chose ${entry.chosen}`
}
