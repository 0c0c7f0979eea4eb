import { TidemarkError } from '../../kernel/errors.ts'
import type { QuarantineEntry } from '../../engine/inbox.ts'
import type { SqliteStore } from '../../stores/sqlite/store/store.ts'
import { openStoreOf } from '../../daemon/replica.ts'
import { readRecords } from '../../library/retries.ts'
import { createProvider } from '../../machine/cloud.ts'
import { requireConnection } from '../../daemon/connection.ts'
import type { CliContext } from '../context.ts'
import { formatAgo } from '../progress.ts'
import { findHolder, inProfileOf, requireAttachments } from './files.ts'

/** tidemark quarantine list [FILE] */
export async function listQuarantine(context: CliContext, file?: string): Promise<void> {
  const chosen = requireAttachments(context, file)
  const quarantine: unknown[] = []
  const lines: string[] = []
  for (const { file: name } of chosen) {
    await using store = await openStoreOf(context.folders, name)
    const entries = await store.listQuarantine(1_000)
    if (chosen.length > 1 && entries.length > 0) lines.push(`${name}:`)
    for (const entry of entries) {
      quarantine.push({ file: name, ...entry })
      lines.push(
        `${entry.id}  ${entry.op} ${entry.table} ${entry.key}: ${entry.message} (${entry.code})  ${formatAgo(entry.at, context.clock.now())}`,
      )
    }
  }
  context.output.result({ quarantine }, lines.length === 0 ? ['The quarantine is empty.'] : lines)
}

/** tidemark quarantine show ID */
export async function showQuarantine(context: CliContext, id: string, file?: string): Promise<void> {
  await using store = await openQuarantineOf(context, id, file)
  const entry = await readEntry(store, id)
  if (entry === undefined) throw noEntry()
  context.output.result(entry, [
    `${entry.op} of ${entry.table} ${entry.key}`,
    `${entry.message} (${entry.code})`,
    `Send it again: tidemark quarantine retry ${id}    Give it up: tidemark quarantine drop ${id}`,
  ])
}

/** tidemark quarantine retry ID */
export async function retryQuarantine(context: CliContext, id: string, file?: string): Promise<void> {
  await using store = await openQuarantineOf(context, id, file)
  if (!(await store.retryQuarantine(id))) throw noEntry()
  context.output.result({ retried: id }, ['It is sent again with the next sync.'])
}

/** tidemark quarantine drop ID: the row becomes the cloud's. Asks first. */
export async function dropQuarantine(
  context: CliContext,
  id: string,
  options: { readonly yes?: boolean; readonly file?: string },
): Promise<void> {
  const holder = await findHolderOf(context, id, options.file)
  await using store = await openStoreOf(context.folders, holder)
  const entry = await readEntry(store, id)
  if (entry === undefined) throw noEntry()
  const question = `Give up the local change of ${entry.table} ${entry.key}? The row becomes the cloud's.`
  if (options.yes !== true && !(await context.confirm(question))) throw new TidemarkError('not_confirmed')
  const [attachment] = requireAttachments(context, holder)
  const { config } = attachment === undefined ? context : inProfileOf(context, attachment)
  const provider = await createProvider(context, requireConnection(config))
  const [record = null] = await readRecords(provider, await store.state(), [entry], context.signal)
  if (!(await store.dropQuarantine(id, record))) throw noEntry()
  context.output.result({ dropped: id }, ['Given up; the row is as the cloud has it.'])
}

const readEntry = async (store: SqliteStore, id: string): Promise<QuarantineEntry | undefined> =>
  (await store.listQuarantine(100_000)).find((one) => one.id === id)

async function openQuarantineOf(
  context: CliContext,
  id: string,
  file: string | undefined,
): Promise<SqliteStore> {
  return await openStoreOf(context.folders, await findHolderOf(context, id, file))
}

const findHolderOf = (context: CliContext, id: string, file: string | undefined): Promise<string> =>
  findHolder(context, file, async (store) => (await readEntry(store, id)) !== undefined)

const noEntry = (): TidemarkError =>
  new TidemarkError('not_found', 'there is no such entry; see tidemark quarantine list')
