import { TidemarkError } from '../kernel/errors.ts'
import type { Fields } from '../kernel/values.ts'
import type { InboxEntry } from './inbox.ts'
import type { Settlement, Store } from './store.ts'

/** What a person chooses for an inbox entry: a side, or a row given by hand. */
export type Choice = 'local' | 'remote' | { readonly row: Fields }

/**
 * Settles an entry of the inbox. Each choice is an edit like the application's own, so it reaches every device.
 * - An entry that waits (`manual`): the held row takes that side, or the given row.
 * - An entry that was decided: `local` or `remote` writes that side's row again.
 * Throws `not_found` for an unknown entry and `unprocessable` where the side has no row to write.
 */
export async function resolveEntry(store: Store, id: string, choice: Choice): Promise<void> {
  const entry = await requireEntry(store, id)
  const choiceName = typeof choice === 'string' ? choice : 'row'
  const fields = typeof choice === 'string' ? sideOf(entry, choice) : { ...entry.local, ...choice.row }
  const given = typeof choice === 'string' ? [] : Object.keys(choice.row)
  const edit = editOf(entry, fields, given)
  const agree = entry.chosen === 'waits' && entry.remote !== null ? { agree: entry.remote } : {}
  await store.settleInbox(id, { status: 'resolved', choice: choiceName, edit, ...agree })
}

/** Puts back what lost: the row as it was on the side that was not chosen. */
export async function undoEntry(store: Store, id: string): Promise<void> {
  const entry = await requireEntry(store, id)
  if (entry.chosen === 'waits')
    throw new TidemarkError('unprocessable', 'nothing was chosen yet; resolve the conflict instead')
  if (entry.chosen === 'both')
    throw new TidemarkError('unprocessable', 'both rows stand; there is nothing to put back')
  const lost = entry.chosen === 'local' ? 'remote' : 'local'
  const edit = editOf(entry, sideOf(entry, lost), [])
  await store.settleInbox(id, { status: 'undone', choice: lost, edit })
}

/** Takes note without changing anything. An entry that waits must be resolved instead. */
export async function dismissEntry(store: Store, id: string): Promise<void> {
  const entry = await requireEntry(store, id)
  if (entry.chosen === 'waits')
    throw new TidemarkError('unprocessable', 'the row waits for a decision; resolve the conflict instead')
  await store.settleInbox(id, { status: 'dismissed', choice: 'none' })
}

/** Only the columns in question: other edits made since stay as they are (I1). */
function editOf(
  entry: InboxEntry,
  fields: Fields | null,
  given: readonly string[],
): NonNullable<Settlement['edit']> {
  const { table, key, columns } = entry
  return { table, key, fields, ...(columns.length === 0 ? {} : { columns: [...columns, ...given] }) }
}

function sideOf(entry: InboxEntry, side: 'local' | 'remote'): Fields | null {
  if (side === 'local') return entry.local
  return entry.remote === null || entry.remote.deleted === true ? null : (entry.remote.fields ?? null)
}

async function requireEntry(store: Store, id: string): Promise<InboxEntry> {
  const entry = await store.readInbox(id)
  if (entry === null) throw new TidemarkError('not_found', 'there is no such conflict')
  return entry
}
