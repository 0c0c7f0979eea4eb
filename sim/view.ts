import type { InboxEntry, QuarantineEntry } from '../src/engine/inbox.ts'
import type { HydrateState, Mutation } from '../src/engine/store.ts'
import type { Fields } from '../src/kernel/values.ts'
import type { Cursor, Generation, WireRecord } from '../src/protocol/records.ts'
import type { Tables } from './model.ts'

/** What is durable on one replica's disk at one moment, read past the store's own methods. */
export interface DiskView {
  readonly replica: string
  readonly cursor: Cursor | null
  readonly generations: readonly Generation[]
  readonly covered: readonly string[]
  readonly hydrating: HydrateState | null
  /** Rows here are to win over the cloud's: a restored file that overwrites. */
  readonly overwriting: boolean
  readonly mutation: number
  readonly inFlight: Mutation | null
  readonly tables: Tables
  /** Columns that the application added and the store has not looked at yet, as `table\0column`. */
  readonly unread: ReadonlySet<string>
  /** Rows that the application may have changed since they were agreed, as `table\0key`. */
  readonly marked: ReadonlySet<string>
  /** Rows that wait for a person, or that were refused. */
  readonly held: ReadonlySet<string>
  readonly parked: ReadonlyMap<string, WireRecord>
  /** Agreed versions, tombstones included. */
  readonly agreed: ReadonlyMap<string, { readonly version: number; readonly deleted: boolean }>
  /** Values that the store keeps of rows in columns that their table lacks, as `table\0key`. */
  readonly hidden: ReadonlyMap<string, Fields>
  readonly inbox: readonly InboxEntry[]
  readonly quarantine: readonly QuarantineEntry[]
}

/** What is durable in the cloud at one moment. */
export interface CloudView {
  readonly epoch: string
  readonly generations: readonly Generation[]
  readonly head: number
  readonly floor: number
  readonly records: ReadonlyMap<string, WireRecord>
  /** Kept answers of the replicas' last mutations, as text. */
  readonly answers: readonly string[]
  /** The last mutation of each identity, and the hash of its last part. */
  readonly mutations: ReadonlyMap<string, { readonly mutation: number; readonly hash: string }>
}

export const rowId = (table: string, key: string): string => `${table}\0${key}`
export const showRow = (id: string): string => id.replace('\0', ' ').slice(0, 80)
