import type { SchemaColumn, SchemaTable } from '../../protocol/schema.ts'

/** The tables of the contract: one for each kind of rule that a store has to keep. */

const column = (name: string, type: string, more: Partial<SchemaColumn> = {}): SchemaColumn => ({
  name,
  type,
  ...more,
})

/** A text key, which may be NULL, and two columns without rules. */
export const NOTES: SchemaTable = {
  name: 'notes',
  columns: [column('id', 'TEXT'), column('title', 'TEXT'), column('body', 'TEXT')],
  key: ['id'],
  unique: [],
  foreignKeys: [],
}

/** A key that folds case. */
export const WORDS: SchemaTable = {
  name: 'words',
  columns: [column('word', 'TEXT', { collation: 'NOCASE' }), column('meaning', 'TEXT')],
  key: ['word'],
  unique: [],
  foreignKeys: [],
}

/** An integer key that SQLite chooses. */
export const ITEMS: SchemaTable = {
  name: 'items',
  columns: [column('id', 'INTEGER'), column('name', 'TEXT')],
  key: ['id'],
  rowidAlias: true,
  unique: [],
  foreignKeys: [],
}

/** Children of items, with an integer key of their own. */
export const PARTS: SchemaTable = {
  name: 'parts',
  columns: [column('id', 'INTEGER'), column('item', 'INTEGER'), column('label', 'TEXT')],
  key: ['id'],
  rowidAlias: true,
  unique: [],
  foreignKeys: [{ columns: ['item'], table: 'items', references: ['id'], onDelete: 'CASCADE' }],
}

/** Children of items whose key holds the reference. */
export const LINES: SchemaTable = {
  name: 'lines',
  columns: [column('item', 'INTEGER'), column('line', 'INTEGER'), column('text', 'TEXT')],
  key: ['item', 'line'],
  unique: [],
  foreignKeys: [{ columns: ['item'], table: 'items', references: ['id'], onDelete: 'CASCADE' }],
}

/** A unique value, and a column that takes no NULL. */
export const SEATS: SchemaTable = {
  name: 'seats',
  columns: [
    column('id', 'TEXT'),
    column('place', 'INTEGER'),
    column('label', 'TEXT', { notNull: true, default: "'-'" }),
  ],
  key: ['id'],
  unique: [{ claim: 'place', terms: [{ column: 'place' }], index: 'seats_place' }],
  foreignKeys: [],
}

/** A column without a type holds any value as it is. */
export const THINGS: SchemaTable = {
  name: 'things',
  columns: [column('id', 'TEXT'), column('value', '')],
  key: ['id'],
  unique: [],
  foreignKeys: [],
}

export const TABLES: readonly SchemaTable[] = [NOTES, WORDS, ITEMS, PARTS, LINES, SEATS, THINGS]

/** A table that is not there when the store is opened. */
export const LATER: SchemaTable = {
  name: 'later',
  columns: [column('id', 'TEXT'), column('text', 'TEXT')],
  key: ['id'],
  unique: [],
  foreignKeys: [],
}
