import type { InboxDraft } from '../../engine/inbox.ts'
import type { MemoryFile, StoredEntry } from './file.ts'
import { isDangling, referencesOf, referencesTo, type Reference } from './foreign-keys.ts'
import type { MemoryTable } from './table.ts'

const RULE = 'foreign key'

/** Keys of rows that were written or deleted, by table; `all`: the whole table. */
export type Touched = Map<MemoryTable, Set<string> | 'all'>

/** Notes for references that point nowhere, from touched rows or to rows that went; each only once. */
export function findIntegrityNotes(file: MemoryFile, touched: Touched): readonly InboxDraft[] {
  const known = new Set(openFindings(file).map(({ entry }) => findingId(entry)))
  const notes = new Map<string, InboxDraft>()
  for (const [table, keys] of touched) {
    for (const reference of referencesOf(file, table)) note(reference, keys)
    const isGone = keys === 'all' || [...keys].some((key) => !table.rows.has(key))
    if (isGone) for (const reference of referencesTo(file, table)) note(reference, 'all')
  }
  return [...notes.values()]

  function note(reference: Reference, keys: Set<string> | 'all'): void {
    const { child, foreignKey } = reference
    if (file.synced(child.name) === undefined) return
    for (const key of keys === 'all' ? child.rows.keys() : keys) {
      const local = child.rows.get(key)
      if (local === undefined || !isDangling(reference, local)) continue
      const { columns, table: parent } = foreignKey
      const reason = `A foreign key to ${parent} points to no row.`
      const place = { table: child.name, key, columns }
      const finding = {
        ...place,
        kind: 'integrity',
        local,
        remote: null,
        chosen: 'both',
        by: RULE,
        reason,
      } as const
      if (!known.has(findingId(finding))) notes.set(findingId(finding), finding)
    }
  }
}

/** Open findings that no longer hold. */
export function healedFindings(file: MemoryFile): readonly StoredEntry[] {
  return openFindings(file).filter(({ entry }) => {
    const child = file.synced(entry.table)
    const row = child?.rows.get(entry.key)
    if (child === undefined || row === undefined) return true
    return !referencesOf(file, child).some(
      (reference) =>
        findingId({ ...entry, columns: reference.foreignKey.columns }) === findingId(entry) &&
        isDangling(reference, row),
    )
  })
}

function openFindings(file: MemoryFile): readonly StoredEntry[] {
  return [...file.inbox.entries()]
    .map(([, stored]) => stored)
    .filter(({ entry }) => entry.kind === 'integrity' && entry.status === 'open')
}

const findingId = (note: Pick<InboxDraft, 'table' | 'key' | 'columns'>): string =>
  [note.table, note.key, ...note.columns].join('\0')
