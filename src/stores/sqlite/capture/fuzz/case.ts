/** One random case: a schema with rows, and what an application then does. All of it is text, to be read and shrunk. */
export interface FuzzCase {
  readonly seed: number
  /** Settings of the application's connection. */
  readonly pragmas: readonly string[]
  /** Before capture is installed. A statement that SQLite refuses is left out. */
  readonly setup: readonly string[]
  readonly steps: readonly FuzzStep[]
}

export interface FuzzStep {
  /**
   * - `write`: one statement of the application.
   * - `transaction`: begins or ends a transaction or a savepoint.
   * - `schema`: changes the schema; outside of a transaction.
   * - `repair`: Tidemark looks at the schema and puts capture in order; outside of a transaction.
   */
  readonly kind: 'write' | 'transaction' | 'schema' | 'repair'
  readonly sql: string
}

/** What the generator knows of a table while it writes statements for it. */
export interface FuzzTable {
  name: string
  columns: FuzzColumn[]
  /** Names of the key columns. */
  key: string[]
  readonly rowidAlias: boolean
  readonly withoutRowid: boolean
  readonly strict: boolean
  /** Targets for ON CONFLICT: column lists of unique constraints and plain unique indexes. */
  targets: string[]
  /** Columns that refer to a key column of a table, this one or another. */
  references: { column: string; readonly table: FuzzTable; readonly at: number }[]
  /** Names of indexes made by CREATE INDEX, with the columns they need. */
  indexes: { name: string; columns: string[] }[]
}

export interface FuzzColumn {
  name: string
  readonly type: string
  readonly generated: boolean
}
