import type { Fields } from '../../kernel/values.ts'
import type {
  HydratePlace,
  HydrateStart,
  PullAnswer,
  PullRequest,
  ReadAnswer,
  ReadRequest,
} from '../../protocol/pull.ts'
import type { PushAnswer, PushRequest } from '../../protocol/push.ts'
import type { SchemaAnswer, SchemaTable } from '../../protocol/schema.ts'
import type { SpaceStatus } from '../../protocol/status.ts'
import type { SpaceCopies } from './copy.ts'

/**
 * The cloud's storage of spaces: what must be true of every driver (suite: `testing/log-contract.ts`).
 *
 * - `space` is the directory's id of a space, never the name a client uses; every statement is bound to it.
 * - Versions are given in commit order under the space's lock: once a reader has seen version v, nothing
 *   at or below v appears any more (I4).
 * - A method that resolves is durable; one that rejects did nothing. Rejections are `TidemarkError`s.
 * - Opening the storage begins a generation with a fresh random id in every space it then serves, durably before
 *   the first answer from that space.
 * - The log never decodes values, keys or claims: they are opaque text and JSON. (The one exception is the time
 *   of a row that a batch meets.)
 * - Methods that take a space reject with `space_not_found` when there is none, with `disk_full` while there is no
 *   room.
 */
export interface Log extends SpaceCopies, AsyncDisposable {
  /** Makes the space when it is not there. Idempotent. */
  ensureSpace(space: string): Promise<void>

  /**
   * Applies one push request whole (I5), rows that are answered otherwise by name excepted.
   * `hash` is of the exact bytes received. Rejects with `replica_forked`, `lost_history`, `payload_too_large`
   * (staged parts, or rows that are touched: `touched.ts`), `unprocessable` (parts out of order).
   *
   * A repeat of the last mutation is answered with the same statuses and versions (I3), whatever happened since;
   * `current` then shows the record as it is by now, and is absent or null when it is gone. A repeated part is
   * answered as staged, before and after the mutation is applied. `staged` counts the parts up to this one. The
   * first part of another attempt at the same number takes the place of all that was staged.
   *
   * What is decided for each change is in `decide.ts`. A change that is wrong in itself is `rejected` alone (I9).
   */
  push(space: string, input: PushInput): Promise<PushAnswer>

  /**
   * Rejects with `lost_history` or `cursor_expired`. Never waits: `wait` is the caller's, see `onCommit`.
   * A page ends early after `MAX_PULL_BYTES`, but has a record where there is one.
   */
  pull(space: string, request: PullRequest): Promise<PullAnswer>

  /**
   * Registers the replica's acknowledgement at the head (so that the floor cannot pass it) and answers the start.
   * With `resume`, the head is the place's own; rejects with `cursor_expired` when the floor has passed it. (Whether
   * the place is of this history, the generation in the answer tells.) An older acknowledgement that still counts
   * stays: the replica may go on from there with its other tables.
   */
  startHydrate(
    space: string,
    replica: string,
    tables?: readonly string[],
    resume?: HydratePlace,
  ): Promise<HydrateStart>
  /**
   * The next live records as the JSON texts of `WireRecord`s, in the order of (table, key) as UTF-8 bytes; `limit`
   * of them, or fewer when they are large; empty at the end. Pages are not one snapshot: what changes meanwhile
   * has a version above the start's head.
   */
  hydratePage(
    space: string,
    after: { readonly table: string; readonly key: string } | null,
    limit: number,
    tables?: readonly string[],
  ): Promise<HydratePage>

  read(space: string, request: ReadRequest): Promise<ReadAnswer>
  readSchema(space: string): Promise<SchemaAnswer>
  putSchema(space: string, tables: readonly SchemaTable[]): Promise<SchemaAnswer>
  status(space: string): Promise<Omit<SpaceStatus, 'space'>>

  /**
   * Origin 000's upsert: where both rows have a time, only the newer one is taken, and a tombstone's time is that
   * of the delete. Columns not sent stay. All of it is one commit, whatever tables the rows are of. Answers of each
   * row whether it stands as sent; those that were there already do.
   */
  batch(space: string, rows: readonly BatchRow[]): Promise<readonly boolean[]>

  /**
   * Drops tombstones that every replica seen since `liveSince` has acknowledged, and any older than
   * `retainSince` (both in milliseconds); raises the floor. Answers how many.
   */
  collect(
    space: string,
    options: { readonly liveSince: number; readonly retainSince: number },
  ): Promise<number>
  /** Forgets a replica: its acknowledgement no longer holds the floor. */
  forgetReplica(space: string, replica: string): Promise<void>

  /**
   * Calls back after each commit that raised a head; `writer`: the replica that wrote all of it, null for several
   * or none. A hint: it may come late, twice or for nothing.
   */
  onCommit(listener: CommitListener): () => void
}

export type CommitListener = (space: string, head: number, writer: string | null) => void

export interface PushInput {
  readonly request: PushRequest
  readonly hash: string
  /** Length of the body: how much may share a transaction with it. Absent: guessed. */
  readonly bytes?: number
}

export interface HydratePage {
  /** The space's head when the page was read. */
  readonly head: number
  readonly lines: readonly string[]
  readonly last: { readonly table: string; readonly key: string } | null
}

export interface BatchRow {
  readonly table: string
  readonly key: string
  readonly fields: Fields
  /** Milliseconds of `updated_at`, null when the row has none that can be read. */
  readonly updatedAt: number | null
}
