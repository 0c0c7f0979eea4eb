import { TidemarkError } from '../../kernel/errors.ts'
import type { Clock } from '../../kernel/clock.ts'
import { hlcFromMs, type Hlc } from '../../kernel/hlc.ts'
import type { InboxEntry, QuarantineEntry } from '../../engine/inbox.ts'
import type { ReplicaState } from '../../engine/store.ts'
import { Journal, JournalCell, JournalMap } from './journal.ts'
import { MemoryTable, type TableContent } from './table.ts'

/** What the engine's side of the file holds beside rows. */
export interface Meta {
  /** Null until a store is opened on the file. */
  readonly replica: Omit<ReplicaState, 'covered'> | null
  readonly covered: readonly string[]
  /** The highest hybrid time seen: marks are never stamped below it. */
  readonly floor: Hlc
  /** The tables that the hydrate under way is about. */
  readonly hydrated: readonly string[]
  /** Up to this version rows may have been deleted without a tombstone here: forgotten, or never seen. */
  readonly forgotten: number
  /** Tables that are not synced, by choice. */
  readonly excluded: readonly string[]
}

/** An inbox entry, and whether its record is of a history that the cloud lost. */
export interface StoredEntry {
  readonly entry: InboxEntry
  readonly lost: boolean
}

/** Everything in the file at one moment, shared with it and never changed. */
export interface Snapshot {
  readonly tables: readonly TableContent[]
  readonly meta: Meta
  readonly inbox: ReadonlyMap<string, StoredEntry>
  readonly quarantine: ReadonlyMap<string, QuarantineEntry>
  readonly came: ReadonlyMap<string, true>
}

/**
 * The content of a database file: the application's tables with their capture, and the engine's own state, all
 * under one journal. Whoever writes does so inside `transact`.
 */
export class MemoryFile {
  readonly journal: Journal
  readonly clock: Clock
  /** By name. */
  readonly tables: JournalMap<MemoryTable>
  readonly meta: JournalCell<Meta>
  /** By id, oldest first. */
  readonly inbox: JournalMap<StoredEntry>
  /** By `rowId`: one entry for a row, oldest first. */
  readonly quarantine: JournalMap<QuarantineEntry>
  /** Rows, by `rowId`, that the hydrate under way has brought. */
  readonly came: JournalMap<true>
  /** No room is left: transactions that write fail. */
  full = false

  constructor(clock: Clock, snapshot?: Snapshot) {
    this.journal = new Journal()
    this.clock = clock
    const tables = snapshot?.tables.map((content): [string, MemoryTable] => [
      content.schema.name,
      new MemoryTable(this.journal, content),
    ])
    this.tables = new JournalMap(this.journal, new Map(tables))
    this.meta = new JournalCell(this.journal, snapshot?.meta ?? FRESH)
    this.inbox = new JournalMap(this.journal, snapshot?.inbox)
    this.quarantine = new JournalMap(this.journal, snapshot?.quarantine)
    this.came = new JournalMap(this.journal, snapshot?.came)
  }

  share(): Snapshot {
    return {
      tables: [...this.tables.entries()].map(([, table]) => table.share()),
      meta: this.meta.get(),
      inbox: this.inbox.share(),
      quarantine: this.quarantine.share(),
      came: this.came.share(),
    }
  }

  /** One transaction; `wrote` tells whether anything was written. */
  transact<T>(work: () => T): { readonly result: T; readonly wrote: boolean } {
    return this.journal.run(() => {
      const result = work()
      const wrote = this.journal.writes > 0
      if (wrote && this.full) throw new TidemarkError('disk_full')
      return { result, wrote }
    })
  }

  /** The table when it is synced. */
  synced(name: string): MemoryTable | undefined {
    return this.meta.get().excluded.includes(name) ? undefined : this.tables.get(name)
  }

  /** The synced tables by name. */
  syncedTables(): readonly MemoryTable[] {
    const { excluded } = this.meta.get()
    return [...this.tables.keys()]
      .filter((name) => !excluded.includes(name))
      .sort()
      .map((name) => this.tables.get(name) as MemoryTable)
  }

  get replica(): Omit<ReplicaState, 'covered'> {
    const { replica } = this.meta.get()
    if (replica === null) throw new TidemarkError('not_attached')
    return replica
  }

  setReplica(change: Partial<Omit<ReplicaState, 'covered'>>): void {
    this.setMeta({ replica: { ...this.replica, ...change } })
  }

  setMeta(change: Partial<Meta>): void {
    this.meta.set({ ...this.meta.get(), ...change })
  }

  /** The time of a write now: the wall clock, but never below what was seen (the receive rule of the hybrid clock). */
  get time(): Hlc {
    return Math.max(hlcFromMs(this.clock.now()), this.meta.get().floor)
  }
}

const FRESH: Meta = { replica: null, covered: [], floor: 0, hydrated: [], forgotten: 0, excluded: [] }

/** One text for a row's place; table names may hold any character but NUL. */
export const rowId = (row: { readonly table: string; readonly key: string }): string =>
  `${row.table}\0${row.key}`
