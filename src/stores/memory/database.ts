import type { Clock } from '../../kernel/clock.ts'
import type { Encoded, Fields } from '../../kernel/values.ts'
import type { SchemaColumn, SchemaTable } from '../../protocol/schema.ts'
import { createApplication, type Application } from './application.ts'
import { columnDefault } from './column-default.ts'
import { MemoryFile, type Snapshot } from './file.ts'
import { MemoryTable } from './table.ts'

export type { Application } from './application.ts'
export type { Snapshot } from './file.ts'

export interface DatabaseOptions {
  /** Stamps the marks: `max(clock, what was seen)`. */
  readonly clock: Clock
  readonly tables?: readonly SchemaTable[]
  /** The application enforces foreign keys. Default true, as both Node drivers have it. */
  readonly foreignKeys?: boolean
}

/**
 * A database file in memory: what an application and a store have in common. It holds everything durable, the
 * engine's state too, so that a crash, a lost power supply, a restored or a copied file are a matter of snapshots.
 * Every write of the application leaves a mark in its own transaction.
 *
 * It models keys with collations, NOT NULL, STRICT types, unique columns, defaults that are literals, and foreign
 * keys; not affinity, checks, triggers, or indexes with expressions and conditions.
 */
export class MemoryDatabase {
  readonly #options: DatabaseOptions
  readonly #listeners = new Set<() => void>()
  #file: MemoryFile

  constructor(options: DatabaseOptions, snapshot?: Snapshot) {
    this.#options = options
    this.#file = new MemoryFile(options.clock, snapshot)
    for (const table of options.tables ?? []) if (!this.#file.tables.has(table.name)) this.addTable(table)
  }

  /** The content, for the store: read anew for every transaction, since `restore` replaces it. */
  get file(): MemoryFile {
    return this.#file
  }

  /** One transaction of the application: what `run` throws takes everything back. */
  write<T>(run: (app: Application) => T): T {
    const { result, wrote } = this.#file.transact(() => {
      const app = createApplication(this.#file, { foreignKeys: this.#options.foreignKeys ?? true })
      const done = run(app)
      app.finish()
      return done
    })
    if (wrote) this.notify()
    return result
  }

  rows(table: string): readonly Fields[] {
    return [...(this.#file.tables.get(table)?.rows.entries() ?? [])].map(([, row]) => row)
  }

  get tables(): readonly SchemaTable[] {
    return [...this.#file.tables.entries()].map(([, { schema }]) => schema)
  }

  addTable(schema: SchemaTable): void {
    const file = this.#file
    file.transact(() => file.tables.set(schema.name, new MemoryTable(file.journal, schema)))
    this.notify()
  }

  /** The table goes with everything known of it; the cloud's rows stay. */
  dropTable(name: string): void {
    const file = this.#file
    file.transact(() => {
      file.tables.delete(name)
      file.setMeta({ covered: file.meta.get().covered.filter((covered) => covered !== name) })
      for (const [id, entry] of file.quarantine.entries())
        if (entry.table === name) file.quarantine.delete(id)
    })
    this.notify()
  }

  /** Existing rows get the default, or what the cloud is known to hold in the column; neither is an edit. */
  addColumn(table: string, column: SchemaColumn): void {
    this.#alter(table, (known) => {
      const schema = { ...known.schema, columns: [...known.schema.columns, column] }
      const filled = (key: string): Encoded => {
        const { image } = known.state(key)
        return Object.hasOwn(image, column.name) ? (image[column.name] ?? null) : columnDefault(column)
      }
      return { schema, row: (key, row) => ({ ...row, [column.name]: filled(key) }) }
    })
  }

  dropColumn(table: string, column: string): void {
    this.#alter(table, (known) => {
      const schema = { ...known.schema, columns: known.schema.columns.filter(({ name }) => name !== column) }
      return {
        schema,
        row: (_, row) => Object.fromEntries(Object.entries(row).filter(([name]) => name !== column)),
      }
    })
  }

  #alter(
    name: string,
    change: (table: MemoryTable) => {
      readonly schema: SchemaTable
      readonly row: (key: string, row: Fields) => Fields
    },
  ): void {
    const file = this.#file
    file.transact(() => {
      const table = file.tables.get(name)
      if (table === undefined) throw new Error(`no such table: ${name}`)
      const { schema, row } = change(table)
      const rows = new Map([...table.rows.entries()].map(([key, fields]) => [key, row(key, fields)]))
      file.tables.set(name, new MemoryTable(file.journal, { ...table.share(), schema, rows }))
    })
    this.notify()
  }

  /** The file as it is committed now. Costs nothing until the next write. */
  snapshot(): Snapshot {
    return this.#file.share()
  }

  /** The file is this one from now on: after a lost power supply, or restored from a copy. */
  restore(snapshot: Snapshot): void {
    const { full } = this.#file
    this.#file = new MemoryFile(this.#options.clock, snapshot)
    this.#file.full = full
    this.notify()
  }

  /** No room is left on the disk: whoever writes is refused with `disk_full`. */
  set full(full: boolean) {
    this.#file.full = full
  }

  /** Calls back after each committed write of the application. */
  onWrite(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Tells the listeners that something was committed. */
  notify(): void {
    for (const listener of this.#listeners) listener()
  }
}
