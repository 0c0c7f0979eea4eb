import { TidemarkError, toTidemarkError } from '../../../kernel/errors.ts'
import type { Clock } from '../../../kernel/clock.ts'
import { hlcFromMs, type Hlc } from '../../../kernel/hlc.ts'
import type { Random } from '../../../kernel/random.ts'
import type { InboxDraft } from '../../../engine/inbox.ts'
import type { StoreSchema } from '../../../engine/store.ts'
import { FLAG_TABLE } from '../capture/names.ts'
import { transact, type Connection, type Statement } from '../driver/driver.ts'
import type { FileShapes } from '../shape/shape.ts'
import type { TriggerEffect } from '../shape/trigger-effects.ts'
import { readEncoding, type TextEncoding } from '../values.ts'
import type { Touched } from './integrity.ts'
import { Meta } from './meta.ts'
import { Mutations } from './mutations.ts'
import { Notebook } from './notebook.ts'
import { Parking } from './parking.ts'
import { Quarantine } from './quarantine.ts'
import { Retreat } from './retreat.ts'
import type { SyncedTable } from './synced-table.ts'
import { Waiting } from './waiting.ts'

/** What a store is opened with. */
export interface SessionOptions {
  readonly connection: Connection
  readonly clock: Clock
  readonly random: Random
  /** SQL for milliseconds since 1970, for triggers. The simulation owns time and gives its own. */
  readonly clockExpression?: string
  /** The connection is the store's own: nobody else changes its settings. */
  readonly owned?: boolean
}

/** The tables as they were at one `schema_version`. */
export interface Catalogue {
  readonly shapes: FileShapes
  /** By name. */
  readonly tables: ReadonlyMap<string, SyncedTable>
  readonly schema: StoreSchema
}

/** How a session brings itself up to date, outside any transaction: reads the schema and puts capture in order. */
export type SchemaRepair = (session: Session, before: Catalogue | null) => Catalogue

/** Writes may have been missed in some table: it has to be compared first. */
export class Suspected extends Retreat {
  constructor() {
    super('a table has to be compared first')
    this.name = 'Suspected'
  }
}

/** How often a transaction begins again because the schema changed meanwhile. */
const MAX_SCHEMA_CHANGES = 20

/** One open file: its connection, what is known of its schema, and the engine's own tables. */
export class Session {
  readonly connection: Connection
  readonly clock: Clock
  readonly random: Random
  readonly clockExpression: string | undefined
  readonly encoding: TextEncoding
  readonly meta: Meta
  readonly mutations: Mutations
  readonly waiting: Waiting
  readonly parking: Parking
  readonly quarantine: Quarantine
  readonly notebook: Notebook
  readonly #schemaVersion: Statement
  readonly #floor: Statement
  readonly #repair: SchemaRepair
  readonly #owned: boolean
  /** Settings as they were left, of a connection of the store's own. */
  readonly #settings = new Map<string, bigint>()
  /** The next transaction counts on every edit being marked. */
  #wantsAllMarked = false
  /** What the application's triggers write, once it was asked for. */
  triggerEffects: readonly TriggerEffect[] | null = null
  /** Tables whose references have to be looked at once more. */
  readonly uncheckedTables: Touched = new Map()
  #catalogue: Catalogue | null = null
  #closed = false

  constructor(options: SessionOptions, repair: SchemaRepair) {
    const { connection } = options
    this.connection = connection
    this.clock = options.clock
    this.random = options.random
    this.clockExpression = options.clockExpression
    this.#repair = repair
    this.#owned = options.owned === true
    this.encoding = readEncoding(connection)
    this.meta = new Meta(connection)
    this.mutations = new Mutations(connection, this.meta)
    this.waiting = new Waiting(connection)
    this.parking = new Parking(connection)
    this.quarantine = new Quarantine(connection)
    this.notebook = new Notebook(connection)
    this.#schemaVersion = connection.prepare('PRAGMA main.schema_version')
    this.#floor = connection.prepare(`SELECT floor FROM ${FLAG_TABLE}`)
  }

  /** The tables are known as they are now. */
  get isCurrent(): boolean {
    return this.#catalogue?.shapes.schemaVersion === this.schemaVersion
  }

  get schemaVersion(): number {
    return Number(this.#schemaVersion.get()?.[0] ?? 0)
  }

  /** The tables; only inside `read` and `write`, which see to it that they are current. */
  get catalogue(): Catalogue {
    if (this.#catalogue === null) throw new TidemarkError('invariant', 'the schema was not read')
    return this.#catalogue
  }

  table(name: string): SyncedTable | undefined {
    return this.catalogue.tables.get(name)
  }

  tableName(number: number): string {
    return this.tables.find((table) => table.number === number)?.name ?? ''
  }

  /** The tables in the order of their names. */
  get tables(): readonly SyncedTable[] {
    return [...this.catalogue.tables.values()]
  }

  /** The time of a write now: the wall clock, but never below what was seen. */
  get time(): Hlc {
    return Math.max(hlcFromMs(this.clock.now()), Number(this.#floor.get()?.[0] ?? 0))
  }

  /** Adds an entry to the inbox. */
  note(draft: InboxDraft): void {
    this.notebook.add(draft, this.clock.now(), this.random)
  }

  /** One snapshot of the whole file. */
  read<T>(work: () => T): T {
    return this.#transact('deferred', work)
  }

  /** One transaction under the write lock. */
  write<T>(work: () => T): T {
    return this.#transact('immediate', work)
  }

  /**
   * One transaction that writes rows of the application as they came from elsewhere: nothing cascades, other
   * replicas' rules count, and no trigger calls itself.
   */
  apply<T>(work: () => T): T {
    return this.#withSettings(
      { foreign_keys: 0n, ignore_check_constraints: 1n, recursive_triggers: 0n },
      () => this.write(work),
    )
  }

  /** One transaction that writes as the application does, but without foreign key actions. */
  edit<T>(work: () => T): T {
    const checks = this.#owned ? { ignore_check_constraints: 0n } : {}
    return this.#withSettings({ foreign_keys: 0n, ...checks }, () => this.write(work))
  }

  /**
   * The settings are without effect inside a transaction. On a connection that is shared they are put back; on one of
   * the store's own they stay until others are wanted, since every change makes SQLite compile all statements anew.
   */
  #withSettings<T>(wanted: { readonly [pragma: string]: bigint }, work: () => T): T {
    this.assertOpen()
    if (this.#owned) {
      for (const [name, value] of Object.entries(wanted)) {
        if (this.#settings.get(name) === value) continue
        this.connection.exec(`PRAGMA ${name} = ${value}`)
        this.#settings.set(name, value)
      }
      return work()
    }
    const changed = Object.entries(wanted).flatMap(([name, value]) => {
      const before = this.connection.value(`PRAGMA ${name}`)
      return before === value ? [] : [{ name, value, before }]
    })
    try {
      for (const { name, value } of changed) this.connection.exec(`PRAGMA ${name} = ${value}`)
      return work()
    } finally {
      for (const { name, before } of changed) this.connection.exec(`PRAGMA ${name} = ${String(before)}`)
    }
  }

  /**
   * After a change of the schema that was the store's own: `version` was read inside its transaction, and this is
   * called once that is committed. A change by others in between is seen then, and so is a rollback.
   */
  keepCatalogue(version: number): void {
    if (this.#catalogue === null) return
    this.#catalogue = { ...this.#catalogue, shapes: { ...this.#catalogue.shapes, schemaVersion: version } }
  }

  /** The schema will be read anew. */
  dropCatalogue(): void {
    this.#catalogue = null
  }

  get isClosed(): boolean {
    return this.#closed
  }

  close(): void {
    this.#closed = true
  }

  assertOpen(): void {
    if (this.#closed) throw new TidemarkError('aborted', 'the store is closed')
  }

  #bringUpToDate(): void {
    this.triggerEffects = null
    this.#catalogue = this.#repair(this, this.#catalogue)
  }

  /**
   * Runs `work`, whose first transaction counts on every edit being marked. Throws `Suspected`, with nothing done,
   * when writes may have been missed in some table.
   */
  whenAllMarked<T>(work: () => T): T {
    this.#wantsAllMarked = true
    try {
      return work()
    } finally {
      this.#wantsAllMarked = false
    }
  }

  #transact<T>(mode: 'deferred' | 'immediate', work: () => T): T {
    this.assertOpen()
    // On a connection that is shared: what the application may yet take back must not be sent, nor be acknowledged.
    if (this.connection.inTransaction) {
      throw new TidemarkError('database_locked', 'the application has a transaction open on this connection')
    }
    try {
      for (let tries = 0; tries < MAX_SCHEMA_CHANGES; tries++) {
        if (this.#catalogue?.shapes.schemaVersion !== this.schemaVersion) this.#bringUpToDate()
        const result = transact(this.connection, mode, () => {
          // Under the transaction it can change no more.
          if (this.catalogue.shapes.schemaVersion !== this.schemaVersion) return CHANGED
          if (this.#wantsAllMarked && this.meta.get('suspect').length > 0) throw new Suspected()
          this.waiting.forget()
          this.parking.forget()
          this.quarantine.forget()
          return work()
        })
        if (result === CHANGED) continue
        this.#wantsAllMarked = false
        return result
      }
    } catch (error) {
      throw error instanceof Retreat ? error : toTidemarkError(error, 'internal')
    }
    throw new TidemarkError('database_locked', 'the schema of the file keeps changing')
  }
}

const CHANGED = Symbol('the schema changed')
