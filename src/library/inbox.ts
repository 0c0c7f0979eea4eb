import { resolveEntry } from '../engine/conflicts.ts'
import type { Row } from './conflict.ts'
import { toDetectedConflict, type DetectedConflict } from './detected.ts'
import type { OpenReplica } from './replica.ts'
import { encodeRow } from './resolvers.ts'

/** Entries of the conflict inbox, the newest first. */
export async function readConflicts(
  { store }: OpenReplica,
  filter: { readonly open?: boolean; readonly limit?: number },
): Promise<readonly DetectedConflict[]> {
  const entries = await store.listInbox(filter)
  return entries.map((entry) => toDetectedConflict(entry, null))
}

/** Gives an entry a side, or a row of its own, in the application's values. */
export async function chooseSide(
  { store }: OpenReplica,
  id: string,
  choice: 'local' | 'remote' | Row,
): Promise<void> {
  if (typeof choice === 'string') return resolveEntry(store, id, choice)
  const entry = await store.readInbox(id)
  return resolveEntry(store, id, { row: encodeRow(choice, entry?.local, entry?.remote?.fields) })
}
