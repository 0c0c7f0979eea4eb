import { TidemarkError } from '../../../kernel/errors.ts'
import type { Aside, HydrateState } from '../../../engine/store.ts'
import type { Cursor, Generation } from '../../../protocol/records.ts'
import type { Connection, Statement } from '../driver/driver.ts'
import { META_TABLE } from './names.ts'

/** Raised when a store of an older version could not read the file any more. */
export const STORE_FORMAT = 1

/** Everything durable that is not a row, by name, as JSON. */
export interface MetaValues {
  readonly format: number
  readonly identity: { readonly replica: string; readonly space: string }
  /** The last mutation number used, and whether it is in flight. */
  readonly mutation: { readonly number: number; readonly inFlight: boolean; readonly force: boolean }
  readonly cursor: Cursor | null
  readonly generations: readonly Generation[]
  readonly asides: readonly Aside[]
  readonly hydrating: HydrateState | null
  /** The tables that the hydrate under way is about. */
  readonly hydrated: readonly string[]
  readonly covered: readonly string[]
  readonly publishedSchema: string | null
  /** Which tables are synced, see `TableChoice`. */
  readonly choice: {
    readonly tables: readonly string[] | null
    readonly exclude: readonly string[]
    readonly bookkeeping?: readonly string[]
  }
  /** Tombstones up to here may be forgotten. */
  readonly floor: number
  /** Up to this version rows may have been deleted without a tombstone here: forgotten, or never seen. */
  readonly forgotten: number
  /** Tables whose rows win over the cloud's after a restore. */
  readonly overwriting: readonly string[] | null
  /** Tables whose rows must be compared with their images: writes may have been missed. Each time is another `id`. */
  readonly suspect: readonly {
    readonly table: string
    readonly id: string
    /** Only rows that are gone may have been missed: another took their place. */
    readonly goneOnly?: true
  }[]
}

const FRESH: Omit<MetaValues, 'identity'> = {
  format: STORE_FORMAT,
  mutation: { number: 0, inFlight: false, force: false },
  cursor: null,
  generations: [],
  asides: [],
  hydrating: null,
  hydrated: [],
  covered: [],
  publishedSchema: null,
  choice: { tables: null, exclude: [] },
  floor: 0,
  forgotten: 0,
  overwriting: null,
  suspect: [],
}

/** The one table of names and values. Nothing is kept in memory: another process may have written. */
export class Meta {
  readonly #read: Statement
  readonly #write: Statement

  constructor(connection: Connection) {
    this.#read = connection.prepare(`SELECT value FROM ${META_TABLE} WHERE name = ?`)
    this.#write = connection.prepare(
      `INSERT INTO ${META_TABLE} (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
    )
  }

  get<K extends keyof MetaValues>(name: K): MetaValues[K] {
    const row = this.#read.get(name)
    if (row !== undefined) return JSON.parse(String(row[0])) as MetaValues[K]
    if (name === 'identity') throw new TidemarkError('not_attached')
    return (FRESH as MetaValues)[name]
  }

  set<K extends keyof MetaValues>(name: K, value: MetaValues[K]): void {
    this.#write.run(name, JSON.stringify(value))
  }
}
