import { resolveEntry } from '../engine/conflicts.ts'
import { WrongAnswer } from '../engine/resolvers.ts'
import type { InboxEntry } from '../engine/inbox.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { sameValue, type Fields } from '../kernel/values.ts'
import type { Row } from './conflict.ts'
import { toDetectedConflict, type DetectedConflict } from './detected.ts'
import type { OpenReplica } from './replica.ts'
import { encodeRow } from './resolvers.ts'

/** Which conflicts are asked for. */
export interface ConflictFilter {
  /** Only those that nobody has settled or taken note of yet, decided or not; false: only the others. */
  readonly open?: boolean | undefined
  /** Only those in which nothing is chosen yet: their rows wait for a decision. */
  readonly waiting?: boolean | undefined
  readonly limit?: number | undefined
}

/** Entries of the conflict inbox, the newest first. */
export async function readConflicts(
  { store }: OpenReplica,
  { open, waiting, limit }: ConflictFilter,
): Promise<readonly DetectedConflict[]> {
  if (waiting === true) {
    const entries = (await store.listInbox({ open: true })).filter(({ chosen }) => chosen === 'waits')
    return entries.slice(0, limit).map((entry) => toDetectedConflict(entry, null))
  }
  const entries = await store.listInbox({
    ...(open === undefined ? {} : { open }),
    ...(limit === undefined ? {} : { limit }),
  })
  return entries.map((entry) => toDetectedConflict(entry, null))
}

/** Gives an entry a side, or a row of its own, in the application's values. Throws `bad_usage` for anything else. */
export async function chooseSide(
  { store }: OpenReplica,
  id: string,
  choice: 'local' | 'remote' | Row,
): Promise<void> {
  if (choice === 'local' || choice === 'remote') return resolveEntry(store, id, choice)
  const entry = await store.readInbox(id)
  if (entry === null) throw new TidemarkError('not_found', 'There is no such conflict')
  const { tables } = await store.schema()
  const key = tables.find(({ name }) => name === entry.table)?.key ?? []
  return resolveEntry(store, id, { row: rowOf(choice, entry, key) })
}

function rowOf(choice: unknown, entry: InboxEntry, key: readonly string[]): Fields {
  const [local, remote] = [entry.local ?? {}, entry.remote?.fields ?? {}]
  const row = encodeChoice(choice, local, remote)
  const unknown = Object.keys(row).filter(
    (column) => !Object.hasOwn(local, column) && !Object.hasOwn(remote, column),
  )
  if (unknown.length > 0) throw wrongChoice(`the table has no column ${unknown.join(', ')}`)
  const moved = key.filter(
    (column) =>
      Object.hasOwn(row, column) && ![local, remote].some((side) => sameValue(side[column], row[column])),
  )
  if (moved.length > 0) throw wrongChoice(`the key of a row stays: ${moved.join(', ')}`)
  return row
}

function encodeChoice(choice: unknown, local: Fields, remote: Fields): Fields {
  if (typeof choice !== 'object' || choice === null || Object.keys(choice).length === 0)
    throw wrongChoice(`it takes 'local', 'remote' or a row with values of columns`)
  try {
    return encodeRow(choice as Row, local, remote)
  } catch (error) {
    throw wrongChoice(error instanceof WrongAnswer ? error.message : 'the row cannot be read', error)
  }
}

const wrongChoice = (why: string, cause?: unknown): TidemarkError =>
  new TidemarkError('bad_usage', `The conflict was not settled: ${why}`, { cause })
