import { uuidV7, type Random } from '../../kernel/random.ts'
import type { InboxDraft, InboxEntry } from '../../engine/inbox.ts'
import type { MemoryFile, StoredEntry } from './file.ts'
import { findIntegrityNotes, healedFindings, type Touched } from './integrity.ts'

/** A conflict that is met again is noted once, as long as its note is open. */
export function addNote(file: MemoryFile, draft: InboxDraft, random: Random): void {
  for (const [, { entry, lost }] of file.inbox.entries())
    if (entry.status === 'open' && !lost && isSameDraft(entry, draft)) return
  const at = file.clock.now()
  const id = uuidV7(at, random)
  file.inbox.set(id, { entry: { ...draft, id, at, status: 'open' }, lost: false })
}

const isSameDraft = (
  { id: _id, at: _at, status: _status, ...entry }: InboxEntry,
  draft: InboxDraft,
): boolean =>
  entry.key === draft.key && entry.table === draft.table && JSON.stringify(entry) === JSON.stringify(draft)

export function setStatus(file: MemoryFile, stored: StoredEntry, status: InboxEntry['status']): void {
  file.inbox.set(stored.entry.id, { ...stored, entry: { ...stored.entry, status } })
}

/** Notes references that point nowhere, and resolves the notes of those that point somewhere again. */
export function noteIntegrity(file: MemoryFile, touched: Touched, random: Random): number {
  for (const stored of healedFindings(file)) setStatus(file, stored, 'resolved')
  const notes = findIntegrityNotes(file, touched)
  for (const note of notes) addNote(file, note, random)
  return notes.length
}
