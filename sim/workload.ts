import type { Encoded, Fields } from '../src/kernel/values.ts'
import type { Application, Statement } from './application.ts'
import type { Chance } from './chance.ts'
import type { Hidden, Model } from './model.ts'
import { keyColumns, keyFields, MAX_EXTRA_COLUMNS, extraColumn, TOKEN_COLUMNS } from './shape.ts'

/** What an application does at random, one transaction each. Weights say how often. */
export const WORK = {
  'insert-own': 6,
  'insert-shared': 3,
  'insert-integer': 6,
  'insert-child': 4,
  'insert-tagged': 4,
  update: 12,
  hot: 1,
  'update-many': 4,
  delete: 5,
  'delete-parent': 2,
  reinsert: 3,
  replace: 2,
  transfer: 8,
  swap: 4,
  'change-key': 3,
  retag: 3,
  'rule-break': 3,
  'long-key': 0.3,
  'add-column': 0.4,
} as const

export type WorkKind = keyof typeof WORK

export interface WorkPlace {
  readonly name: string
  readonly application: Application
  readonly model: Model
  readonly chance: Chance
  readonly now: number
  /** The group of accounts that this replica alone moves money in. */
  readonly group: string
  /** What its application does not see of a row. */
  readonly hidden: (table: string, key: string) => Hidden
}

/** Runs one transaction of this kind; false when the application itself was refused or had nothing to do. */
export function performWork(kind: WorkKind, place: WorkPlace): boolean {
  if (kind === 'add-column') return addColumn(place)
  const statements = STATEMENTS[kind](place)
  return statements.length > 0 && commit(place, statements)
}

/** One transaction, learned by the model. */
export function commit(place: WorkPlace, statements: readonly Statement[]): boolean {
  const before = place.application.read()
  if (!place.application.write(statements)) return false
  place.model.learn(place.name, before, place.application.read(), { at: place.now, hidden: place.hidden })
  return true
}

const STATEMENTS: {
  readonly [kind in Exclude<WorkKind, 'add-column'>]: (place: WorkPlace) => readonly Statement[]
} = {
  'insert-own': (place) => {
    const id = `${place.name}-${place.chance.int(1_000_000)}`
    return [place.chance.odds(0.5) ? insertNote(place, id, null) : insertSlot(place, id)]
  },
  'insert-shared': (place) => {
    const id = `shared-${place.chance.int(6)}`
    if (place.chance.odds(0.4)) return [insertRule(place)]
    return [insertNote(place, id, null)]
  },
  'insert-tagged': (place) => [insertNote(place, `${place.name}-${place.chance.int(1_000_000)}`, tag(place))],
  'insert-integer': (place) => [insertItem(place, nextId(place, 'items'))],
  'insert-child': (place) => {
    const item = anyRow(place, 'items')
    if (item !== null && place.chance.odds(0.7))
      return [insertPart(place, nextId(place, 'parts'), item['id'] ?? null)]
    const id = nextId(place, 'items')
    return [insertItem(place, id), insertPart(place, nextId(place, 'parts'), id)]
  },
  update: (place) => {
    const table = place.chance.pick(UPDATED)
    const row = anyRow(place, table)
    return row === null ? [] : [updateRow(place, table, row)]
  },
  hot: (place) => {
    const hot = rows(place, 'notes').filter((row) => String(row['id']).startsWith('shared-'))
    return hot.length < 3
      ? [insertNote(place, `shared-${hot.length}`, null)]
      : [writeHot(place, place.chance.odds(0.7) ? (hot[0] as Fields) : place.chance.pick(hot))]
  },
  'update-many': (place) => {
    const statements: Statement[] = []
    for (let count = place.chance.between(2, 5); count > 0; count--) {
      const table = place.chance.pick(UPDATED)
      const row = anyRow(place, table)
      if (row !== null) statements.push(updateRow(place, table, row))
    }
    return statements
  },
  delete: (place) => {
    const table = place.chance.pick(['notes', 'parts', 'slots', 'rules', 'items'])
    const row = anyRow(place, table)
    return row === null ? [] : [{ op: 'delete', table, where: keyFields(table, row) }]
  },
  'delete-parent': (place) => {
    const row = anyRow(place, 'items')
    return row === null ? [] : [{ op: 'delete', table: 'items', where: keyFields('items', row) }]
  },
  reinsert: (place) => {
    const row = anyRow(place, 'notes')
    if (row === null) return []
    const where = keyFields('notes', row)
    return [{ op: 'delete', table: 'notes', where }, insertNote(place, String(row['id']), row['tag'] ?? null)]
  },
  replace: (place) => {
    const note = insertNote(place, `${place.name}-${place.chance.int(1_000_000)}`, tag(place))
    return [{ ...note, op: 'replace' }]
  },
  transfer: (place) => transfer(place),
  swap: (place) => {
    const slots = rows(place, 'slots').filter((row) => row['place'] !== null)
    if (slots.length < 2) return [insertSlot(place, `${place.name}-${place.chance.int(1_000_000)}`)]
    const one = place.chance.pick(slots)
    const other = place.chance.pick(slots)
    if (one === other) return []
    const move = (row: Fields, to: Encoded): Statement => ({
      op: 'update',
      table: 'slots',
      where: keyFields('slots', row),
      set: { place: to },
    })
    return [move(one, null), move(other, one['place'] ?? null), move(one, other['place'] ?? null)]
  },
  'change-key': (place) => {
    const table = place.chance.pick(['notes', 'items', 'rules'])
    const row = anyRow(place, table)
    if (row === null) return []
    const set =
      table === 'items'
        ? { id: place.chance.odds(0.5) ? nextId(place, 'items') + 1 : place.chance.between(1, 8) }
        : table === 'rules'
          ? { b: `b${place.chance.int(4)}` }
          : { id: `${place.name}-moved-${place.chance.int(1_000)}` }
    return [{ op: 'update', table, where: keyFields(table, row), set }]
  },
  retag: (place) => {
    const row = anyRow(place, 'notes')
    if (row === null) return []
    return [{ op: 'update', table: 'notes', where: keyFields('notes', row), set: { tag: tag(place) } }]
  },
  'rule-break': (place) => {
    const row = anyRow(place, 'rules')
    if (row === null) return [insertRule(place)]
    const word = place.model.mint(place.name, 'rules', 'word')
    return [{ op: 'update', table: 'rules', where: keyFields('rules', row), set: { grade: null, word } }]
  },
  'long-key': (place) => [
    insertNote(place, `${place.name}-${'x'.repeat(1_200)}-${place.chance.int(100)}`, null),
  ],
}

const UPDATED = ['notes', 'notes', 'items', 'parts', 'slots', 'rules'] as const

function transfer(place: WorkPlace): readonly Statement[] {
  const accounts = rows(place, 'accounts').filter((row) => row['grp'] === place.group)
  if (accounts.length === 0) {
    return Array.from({ length: place.chance.between(2, 4) }, (_, at) => ({
      op: 'insert',
      table: 'accounts',
      row: {
        id: `${place.group}-${at}`,
        grp: place.group,
        balance: 0,
        memo: mint(place, 'accounts', 'memo'),
      },
    }))
  }
  if (accounts.length < 2) return []
  const from = place.chance.pick(accounts)
  const to = place.chance.pick(accounts.filter((row) => row !== from))
  const amount = place.chance.between(1, 100)
  const move = (row: Fields, by: number): Statement => ({
    op: 'update',
    table: 'accounts',
    where: keyFields('accounts', row),
    set: { balance: Number(row['balance']) + by, memo: mint(place, 'accounts', 'memo') },
  })
  return [move(from, -amount), move(to, amount)]
}

function addColumn(place: WorkPlace): boolean {
  for (let at = 0; at < MAX_EXTRA_COLUMNS; at++) {
    const column = extraColumn(at)
    if (place.application.hasColumn('notes', column)) continue
    return place.application.addColumn('notes', column)
  }
  return false
}

const mint = (place: WorkPlace, table: string, column: string): string =>
  place.model.mint(place.name, table, column)

type Insert = Extract<Statement, { readonly op: 'insert' | 'replace' }>

function insertNote(place: WorkPlace, id: string, tagged: Encoded): Insert {
  const row = { id, title: mint(place, 'notes', 'title'), body: mint(place, 'notes', 'body'), tag: tagged }
  return { op: 'insert', table: 'notes', row: { ...row, ...extras(place) } }
}

function extras(place: WorkPlace): Fields {
  const fields: { [column: string]: Encoded } = {}
  for (let at = 0; at < MAX_EXTRA_COLUMNS; at++) {
    const column = extraColumn(at)
    if (place.application.hasColumn('notes', column)) fields[column] = mint(place, 'notes', column)
  }
  return fields
}

function insertSlot(place: WorkPlace, id: string): Statement {
  const row = { id, place: place.chance.int(12), label: mint(place, 'slots', 'label') }
  return { op: 'insert', table: 'slots', row }
}

function insertItem(place: WorkPlace, id: Encoded): Statement {
  const row = { id, name: mint(place, 'items', 'name'), remark: mint(place, 'items', 'remark') }
  return { op: 'insert', table: 'items', row }
}

function insertPart(place: WorkPlace, id: Encoded, item: Encoded): Statement {
  return { op: 'insert', table: 'parts', row: { id, item, label: mint(place, 'parts', 'label') } }
}

function insertRule(place: WorkPlace): Statement {
  const key = { a: `a${place.chance.int(3)}`, b: `b${place.chance.int(3)}` }
  return {
    op: 'insert',
    table: 'rules',
    row: { ...key, word: mint(place, 'rules', 'word'), grade: grade(place) },
  }
}

const GRADES: readonly Encoded[] = [1, 2, -3, { $int: '9007199254740993' }, 0.5]

const grade = (place: WorkPlace): Encoded => (place.chance.odds(0.25) ? null : place.chance.pick(GRADES))

const tag = (place: WorkPlace): Encoded => (place.chance.odds(0.2) ? null : `tag${place.chance.int(5)}`)

/** One or two token columns of a row get new tokens. */
function updateRow(place: WorkPlace, table: string, row: Fields): Statement {
  const columns = [...(TOKEN_COLUMNS[table] ?? [])]
  for (let at = 0; at < MAX_EXTRA_COLUMNS; at++) {
    if (table === 'notes' && place.application.hasColumn(table, extraColumn(at)))
      columns.push(extraColumn(at))
  }
  const set: { [column: string]: Encoded } = {}
  const first = place.chance.pick(columns)
  set[first] = mint(place, table, first)
  const second = place.chance.pick(columns)
  if (place.chance.odds(0.3)) set[second] = mint(place, table, second)
  return { op: 'update', table, where: keyFields(table, row), set }
}

/** Both columns at once, so that any two writers are in each other's way. */
function writeHot(place: WorkPlace, row: Fields): Statement {
  const set = { title: mint(place, 'notes', 'title'), body: mint(place, 'notes', 'body') }
  return { op: 'update', table: 'notes', where: keyFields('notes', row), set }
}

const rows = (place: WorkPlace, table: string): readonly Fields[] => [
  ...(place.application.read().get(table)?.values() ?? []),
]

function anyRow(place: WorkPlace, table: string): Fields | null {
  const all = rows(place, table)
  return all.length === 0 ? null : place.chance.pick(all)
}

/** What SQLite would choose for a new row: replicas choose the same number. */
function nextId(place: WorkPlace, table: string): number {
  let max = 0
  for (const row of rows(place, table)) max = Math.max(max, Number(row[keyColumns(table)[0] as string]))
  return max + 1
}
