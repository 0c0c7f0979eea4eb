import { keyOf } from '../src/kernel/keys.ts'
import type { Encoded, Fields } from '../src/kernel/values.ts'
import type { SchemaColumn, SchemaTable } from '../src/protocol/schema.ts'

/** The tables of the simulated application, and how they differ from replica to replica. */
export interface Variant {
  /** This replica alone refuses `rules` without a value: others' rows without one are parked here. */
  readonly strictRules: boolean
  /** This replica has no unique index on `slots.place`: it can push what others can't hold. */
  readonly looseSlots: boolean
  /** Columns of `notes` that only a newer version of the application knows. */
  readonly extraColumns: number
}

const column = (name: string, type: string, more: Partial<SchemaColumn> = {}): SchemaColumn => ({
  name,
  type,
  ...more,
})

/** Columns whose values are tokens: a write that is lost shows. The others carry what constraints need. */
export const TOKEN_COLUMNS: { readonly [table: string]: readonly string[] } = {
  notes: ['title', 'body'],
  items: ['name', 'remark'],
  parts: ['label'],
  accounts: ['memo'],
  slots: ['label'],
  rules: ['word'],
}

export const extraColumn = (at: number): string => `extra${at}`
export const MAX_EXTRA_COLUMNS = 2

export function tablesOf(variant: Variant): readonly SchemaTable[] {
  const extras = Array.from({ length: variant.extraColumns }, (_, at) => column(extraColumn(at), 'TEXT'))
  return [
    {
      name: 'accounts',
      columns: [
        column('id', 'TEXT'),
        column('grp', 'TEXT'),
        column('balance', 'INTEGER'),
        column('memo', 'TEXT'),
      ],
      key: ['id'],
      unique: [],
      foreignKeys: [],
    },
    {
      name: 'items',
      columns: [column('id', 'INTEGER'), column('name', 'TEXT'), column('remark', 'TEXT')],
      key: ['id'],
      rowidAlias: true,
      unique: [],
      foreignKeys: [],
    },
    {
      name: 'notes',
      columns: [
        column('id', 'TEXT'),
        column('title', 'TEXT'),
        column('body', 'TEXT'),
        column('tag', 'TEXT'),
        ...extras,
      ],
      key: ['id'],
      unique: [{ claim: 'tag', terms: [{ column: 'tag' }], index: 'notes_tag' }],
      foreignKeys: [],
    },
    {
      name: 'parts',
      columns: [column('id', 'INTEGER'), column('item', 'INTEGER'), column('label', 'TEXT')],
      key: ['id'],
      rowidAlias: true,
      unique: [],
      foreignKeys: [{ columns: ['item'], table: 'items', references: ['id'], onDelete: 'CASCADE' }],
    },
    {
      name: 'rules',
      columns: [
        column('a', 'TEXT'),
        column('b', 'TEXT'),
        column('word', 'TEXT'),
        column('grade', 'INTEGER', variant.strictRules ? { notNull: true } : {}),
      ],
      key: ['a', 'b'],
      unique: [],
      foreignKeys: [],
    },
    {
      name: 'slots',
      columns: [column('id', 'TEXT'), column('place', 'INTEGER'), column('label', 'TEXT')],
      key: ['id'],
      unique: variant.looseSlots
        ? []
        : [{ claim: 'place', terms: [{ column: 'place' }], index: 'slots_place' }],
      foreignKeys: [],
    },
  ]
}

const KEYS: { readonly [table: string]: readonly string[] } = {
  accounts: ['id'],
  items: ['id'],
  notes: ['id'],
  parts: ['id'],
  rules: ['a', 'b'],
  slots: ['id'],
}

export const TABLE_NAMES = Object.keys(KEYS)

export const keyColumns = (table: string): readonly string[] => KEYS[table] ?? ['id']

/** The canonical key of a row. */
export function rowKey(table: string, row: Fields): string {
  return keyOf(keyColumns(table).map((name) => row[name] as Encoded))
}

/** Only the key columns of a row. */
export function keyFields(table: string, row: Fields): Fields {
  return Object.fromEntries(keyColumns(table).map((name) => [name, row[name] as Encoded]))
}
