import type { Fields } from '../../kernel/values.ts'
import type { SchemaColumn, SchemaTable } from '../../protocol/schema.ts'
import type { Store } from '../../engine/store.ts'

/**
 * What a store has to bring along to be put through the contract: a fresh file for every test, the store on it,
 * and an application that writes to the same file by its own connection.
 */
export interface StoreHarness extends AsyncDisposable {
  /** The store as it is open now: another object after `reopen` and `crash`. */
  readonly store: Store
  readonly app: ContractApplication
  /** Closes the store and opens it again on the same file. */
  reopen(): Promise<void>
  /** Opens the file again without having closed the store, as after a killed process. */
  crash?(): Promise<void>
}

/** Statements of the application. Values are encoded; `where` holds the key columns of the one row meant. */
export interface ContractStatements {
  insert(table: string, row: Fields): Promise<void>
  update(table: string, where: Fields, set: Fields): Promise<void>
  remove(table: string, where: Fields): Promise<void>
}

/** Each statement by itself is one committed transaction; it rejects when a constraint refuses it. */
export interface ContractApplication extends ContractStatements {
  /** Every row with every column, in any order. */
  rows(table: string): Promise<readonly Fields[]>
  /** One transaction: what `run` rejects with takes everything back, and is rejected with. */
  transaction(run: (statements: ContractStatements) => Promise<void>): Promise<void>
  addTable(table: SchemaTable): Promise<void>
  dropTable(table: string): Promise<void>
  /** `ALTER TABLE … ADD COLUMN`. */
  addColumn(table: string, column: SchemaColumn): Promise<void>
}

export interface OpenOptions {
  readonly tables: readonly SchemaTable[]
  readonly space: string
  readonly replica: string
  /** Rows that are in the file before a store is opened on it for the first time. */
  readonly rows: { readonly [table: string]: readonly Fields[] }
}

/** Makes a fresh file with these tables and rows, and opens a store on it. */
export type OpenStore = (options: OpenOptions) => Promise<StoreHarness>

export interface ContractOptions {
  /** Values of columns without a type: `sqlite` has no booleans, arrays, objects and dates. Default `sqlite`. */
  readonly values?: 'sqlite' | 'json'
}
