import type { Collation } from '../../../kernel/keys.ts'
import type { SchemaTable } from '../../../protocol/schema.ts'

/** A table of the file as the store works with it. Everything SQLite says, and what only the text says. */
export interface Shape {
  readonly name: string
  /** In the table's order, generated ones included. `SELECT` lists and triggers are made from it. */
  readonly columns: readonly ShapeColumn[]
  /** Key columns in key order. */
  readonly key: readonly KeyColumn[]
  /** The key is one `INTEGER PRIMARY KEY` column: the row's own number. */
  readonly rowidAlias: boolean
  readonly autoincrement: boolean
  readonly withoutRowid: boolean
  readonly strict: boolean
  /** Some constraint has an ON CONFLICT of its own, which may delete rows without a trace. */
  readonly resolves: boolean
  /** A name by which the hidden row number can be written; null when there is none. */
  readonly hiddenRowid: string | null
  /** Unique indexes other than the key's own. */
  readonly unique: readonly ShapeIndex[]
  readonly indexes: readonly ShapeIndex[]
  readonly foreignKeys: readonly ShapeForeignKey[]
  /** Some table of the file refers to it, so that its rows' changes may set off others. */
  readonly referenced: boolean
  /** Texts of CHECK conditions. */
  readonly checks: readonly string[]
  /** The application's triggers, in the order of the schema table. */
  readonly triggers: readonly ShapeTrigger[]
  readonly sql: string
  /** What travels. */
  readonly table: SchemaTable
  /** Of everything that reading, writing or capturing a row depends on; triggers apart. */
  readonly fingerprint: string
}

export type Affinity = 'INTEGER' | 'TEXT' | 'BLOB' | 'REAL' | 'NUMERIC'

export interface ShapeColumn {
  readonly name: string
  /** As declared; empty when there is none. */
  readonly type: string
  readonly affinity: Affinity
  readonly collation: string
  readonly notNull: boolean
  /** Text of the default expression; null when there is none. */
  readonly default: string | null
  readonly generated: { readonly as: string; readonly stored: boolean } | null
}

export interface KeyColumn {
  readonly name: string
  /** Place among `columns`. */
  readonly at: number
  /** The key index's own, which may differ from the column's. */
  readonly collation: Collation
  readonly nullable: boolean
}

export interface ShapeIndex {
  readonly name: string
  /** Canonical text of terms, collations and condition, the same in every replica; only for unique ones. */
  readonly claim: string
  readonly terms: readonly IndexTerm[]
  /** Text of the WHERE condition; null when there is none. */
  readonly where: string | null
  /** Made by a UNIQUE constraint of the table, so that it cannot be dropped alone. */
  readonly constraint: boolean
}

export interface IndexTerm {
  /** Exactly one of the two. */
  readonly column: string | null
  readonly expression: string | null
  readonly collation: string
  readonly descending: boolean
}

export interface ShapeForeignKey {
  readonly columns: readonly string[]
  readonly table: string
  /** Empty when the constraint names none: the key of the other table. */
  readonly references: readonly string[]
  readonly onUpdate: string
  readonly onDelete: string
  readonly deferred: boolean
}

export interface ShapeTrigger {
  readonly name: string
  readonly sql: string
}

/** Everything read from a file in one go. */
export interface FileShapes {
  /** By table name, synced ones only. */
  readonly shapes: ReadonlyMap<string, Shape>
  /** Tables that cannot be synced, and why. The reason is for people and holds no row values. */
  readonly refused: readonly TableRefusal[]
  /** Hints that do not stop sync, such as references that are not declared. */
  readonly warnings: readonly TableWarning[]
  /**
   * Some trigger or constraint of the file says FAIL: a statement may end with an error and leave what it has done until
   * then.
   */
  readonly mayFail: boolean
  /** `PRAGMA schema_version` it was read at. */
  readonly schemaVersion: number
  readonly fingerprint: string
}

export interface TableRefusal {
  readonly table: string
  readonly reason: string
}

export interface TableWarning {
  readonly table: string
  readonly warning: string
}
