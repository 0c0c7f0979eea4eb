import type { InboxDraft, InboxEntry } from '../../../engine/inbox.ts'
import type { Encoded } from '../../../kernel/values.ts'
import { quoteName } from '../driver/driver.ts'
import { newBounds, pushBounds, Template, type Bounds } from './bind.ts'
import { decodeValue, placesOf, selectList } from './decode.ts'
import { pointsTo, referencesOf, referencesTo, type Reference } from './references.ts'
import type { Session } from './session.ts'
import type { SyncedTable } from './synced-table.ts'

/** Keys of rows that were written or deleted, by number of the table; `all`: the whole table. */
export type Touched = Map<number, ReadonlySet<string> | 'all'>

/** Findings of one check; more of one kind say nothing new. */
const MAX_FINDINGS = 10_000
/** Keys that went, named in one query. */
const GONE_KEYS = 500

/**
 * Notes references that point nowhere, from touched rows or to rows that went, each only once; and resolves the
 * notes of those that point somewhere again. After the commit of what it is about, in a transaction of its own: a
 * finding never blocks, and one that could not be written now is found the next time.
 */
export function noteIntegrity(session: Session, touched: Touched): number {
  const all = session.uncheckedTables
  for (const [number, keys] of touched) all.set(number, all.has(number) ? 'all' : keys)
  try {
    const { notes, healed } = session.read(() => findIntegrity(session, all))
    if (notes.length > 0 || healed.length > 0) {
      session.write(() => {
        for (const { id } of healed) session.notebook.settle(id, 'resolved', 'store')
        for (const note of notes) session.note(note)
      })
    }
    all.clear()
    return notes.length
  } catch {
    for (const number of touched.keys()) all.set(number, 'all')
    return 0
  }
}

function findIntegrity(
  session: Session,
  touched: Touched,
): { readonly notes: readonly InboxDraft[]; readonly healed: readonly InboxEntry[] } {
  const open = session.notebook.listOpen('integrity')
  const healed = open.filter((entry) => isHealed(session, entry))
  const known = new Set(open.filter((entry) => !healed.includes(entry)).map(findingId))
  const notes: InboxDraft[] = []
  const note = (reference: Reference, key: string): void => {
    const finding = findingOf(reference, key)
    if (finding === null || known.has(findingId(finding)) || notes.length >= MAX_FINDINGS) return
    known.add(findingId(finding))
    notes.push(finding)
  }
  for (const table of session.tables) {
    const keys = touched.get(table.number)
    if (keys === undefined) continue
    for (const reference of referencesOf(session, table)) {
      if (keys === 'all') for (const key of danglingKeys(reference)) note(reference, key)
      else for (const key of keys) if (isDangling(reference, key)) note(reference, key)
    }
    const to = referencesTo(session, table)
    const gone = to.length === 0 || keys === 'all' ? [] : [...keys].filter((key) => !stands(table, key))
    for (const reference of to) {
      if (keys === 'all') for (const key of danglingKeys(reference)) note(reference, key)
      else if (gone.length > 0) for (const key of orphansOf(reference, gone)) note(reference, key)
    }
  }
  return { notes, healed }
}

function findingOf({ child, foreignKey }: Reference, key: string): InboxDraft | null {
  const bounds = child.bindKey(key)
  const local = bounds === null ? null : child.rows.read(bounds)
  if (local === null) return null
  return {
    kind: 'integrity',
    table: child.name,
    key,
    columns: foreignKey.columns,
    local,
    remote: null,
    chosen: 'both',
    by: 'foreign key',
    reason: `A foreign key to ${foreignKey.table} points to no row.`,
  }
}

const findingId = (note: Pick<InboxDraft, 'table' | 'key' | 'columns'>): string =>
  [note.table, note.key, ...note.columns].join('\0')

function isHealed(session: Session, entry: InboxEntry): boolean {
  const child = session.table(entry.table)
  if (child === undefined || !stands(child, entry.key)) return true
  const reference = referencesOf(session, child).find(
    ({ foreignKey }) => foreignKey.columns.join('\0') === entry.columns.join('\0'),
  )
  return reference === undefined || !isDangling(reference, entry.key)
}

function stands(table: SyncedTable, key: string): boolean {
  const bounds = table.bindKey(key)
  return bounds !== null && table.rows.read(bounds) !== null
}

/** The condition that a child `c` points to no parent. */
function danglingSql(reference: Reference): string {
  const set = reference.foreignKey.columns.map((name) => `c.${quoteName(name)} IS NOT NULL`).join(' AND ')
  const parent = `SELECT 1 FROM main.${quoteName(reference.parent.name)} p WHERE ${pointsTo(reference, 'c', 'p')}`
  return `${set} AND NOT EXISTS (${parent})`
}

function isDangling(reference: Reference, key: string): boolean {
  const { child } = reference
  const bounds = child.bindKey(key)
  if (bounds === null) return false
  const from = `main.${quoteName(child.name)} c`
  const own = (place: (at: number) => string): string =>
    child
      .keyTerms('c')
      .map((term, at) => `${term} = ${place(at)}`)
      .join(' AND ')
  return (
    child
      .query(
        `dangling ${reference.foreignKey.columns.join()}`,
        (place) => `SELECT 1 FROM ${from} WHERE ${own(place)} AND ${danglingSql(reference)}`,
      )
      .get(bounds) !== undefined
  )
}

function danglingKeys(reference: Reference): readonly string[] {
  return readKeys(reference.child, `${danglingSql(reference)} LIMIT ${MAX_FINDINGS}`, newBounds(), () => '')
}

/** Children of rows that went. */
function orphansOf(reference: Reference, gone: readonly string[]): readonly string[] {
  const { foreignKey, references, parent } = reference
  const [column] = foreignKey.columns
  const isByKey =
    foreignKey.columns.length === 1 && references[0] === parent.keyNames[0] && parent.keyNames.length === 1
  if (!isByKey || column === undefined) return danglingKeys(reference)
  const found: string[] = []
  for (let from = 0; from < gone.length; from += GONE_KEYS) {
    const bounds = newBounds()
    for (const key of gone.slice(from, from + GONE_KEYS)) {
      const bound = parent.bindKey(key)
      if (bound !== null) pushBounds(bounds, bound)
    }
    const list = (place: (at: number) => string): string =>
      ` AND c.${quoteName(column)} IN (${bounds.values.map((_, at) => place(at)).join(', ')})`
    found.push(...readKeys(reference.child, danglingSql(reference), bounds, list))
  }
  return found
}

function readKeys(
  table: SyncedTable,
  where: string,
  bounds: Bounds,
  more: (place: (at: number) => string) => string,
): readonly string[] {
  const keys = selectList('c.', table.keyNames, 'exact')
  return new Template(
    table.connection,
    (place) => `SELECT ${keys} FROM main.${quoteName(table.name)} c WHERE ${where}${more(place)}`,
  )
    .all(bounds)
    .flatMap((row) => {
      const values = table.keyNames.map((_, at) =>
        decodeValue(row, at * placesOf('exact'), 'exact', table.encoding),
      )
      return values.some((value) => value == null) ? [] : [table.keyOfValues(values as readonly Encoded[])]
    })
}
