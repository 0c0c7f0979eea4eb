import type { Fields } from '../kernel/values.ts'
import type { WireRecord } from '../protocol/records.ts'

/**
 * The conflict inbox: every place where two values met and one was chosen (I7), with both values, what was
 * chosen and by what. Entries stay until a person dismisses them; every one can be undone.
 */
export interface InboxDraft {
  readonly kind: InboxKind
  readonly table: string
  readonly key: string
  /** Columns in question; empty when the whole row is. */
  readonly columns: readonly string[]
  /** The local row, whole; null when it was deleted. */
  readonly local: Fields | null
  /** The cloud's record it met; null when the cloud had none. */
  readonly remote: WireRecord | null
  /** What stands now. `waits`: nothing was chosen, the row is held. */
  readonly chosen: 'local' | 'remote' | 'merged' | 'both' | 'waits'
  /** The resolver's name, or the rule. */
  readonly by: string
  /** A sentence for people, without row values. */
  readonly reason: string
}

export interface InboxEntry extends InboxDraft {
  readonly id: string
  /** Milliseconds. */
  readonly at: number
  readonly status: 'open' | 'resolved' | 'undone' | 'dismissed'
}

/**
 * - `field`: both sides changed a column.
 * - `insert`: both sides inserted a different row under one key that cannot be re-keyed.
 * - `deleted`: one side deleted what the other edited; the edit won.
 * - `unique`: another row holds the unique value; `local` is the row that had to make room.
 * - `rekeyed`: an integer key was taken; the local row moved to a fresh one.
 * - `integrity`: a foreign key points nowhere after applying.
 * - `rejoined`: the file or the cloud had been restored; a value of the lost history met another.
 */
export type InboxKind = 'field' | 'insert' | 'deleted' | 'unique' | 'rekeyed' | 'integrity' | 'rejoined'

/** A local change that the cloud refused for good, or that cannot be carried. */
export interface QuarantineEntry {
  readonly id: string
  readonly table: string
  readonly key: string
  readonly op: 'put' | 'delete'
  readonly code: string
  readonly message: string
  /** Milliseconds. */
  readonly at: number
}
