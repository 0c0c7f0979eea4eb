import type { Hlc } from '../kernel/hlc.ts'
import type { Fields } from '../kernel/values.ts'
import type { HydratePlace } from '../protocol/pull.ts'
import type { Change, Claims, Cursor, Generation, WireRecord } from '../protocol/records.ts'
import type { SchemaTable } from '../protocol/schema.ts'
import type { InboxDraft, InboxEntry, QuarantineEntry } from './inbox.ts'

/**
 * A local database, as the engine needs it: the application's tables, the marks its writes leave, and the
 * engine's own durable state, all under one transaction.
 *
 * Contract (the suite is `testing/store-contract.ts`):
 * - Each method is atomic and, when it resolves, committed; when it rejects, nothing was done. A crash at any
 *   moment leaves the state of before or of after.
 * - The application may write at any time between two calls, in this process or another. Every such write
 *   leaves a mark in its own transaction, whoever made it; the engine's own writes leave none.
 * - A row is *dirty* when it is marked and differs from its agreed image. A mark whose row equals the image is
 *   removed whenever it is met; but while a mutation is in flight every marked row counts as dirty and keeps its
 *   mark, because only the answer tells what the image is (an edit taken back meanwhile must be sent).
 * - A row *waits* while an inbox entry or the quarantine holds it and the application has not changed it since: it
 *   is not pushed, and no record is applied over it. One change makes it an ordinary dirty row again; where it met a
 *   record while it waited, it is dirty even if it equals its image, since the image is not what the cloud has: the
 *   answer to its push brings that record again. Where the application took a refused change back, its entry in the
 *   quarantine goes with the mark.
 * - Where writes may have left no mark (somebody took the capture away, a migration made the table anew) the table is
 *   compared with its images first. What counts on marks waits for that, the rest is answered meanwhile.
 * - Two keys are compared by the code units of their canonical texts.
 * - Methods reject with a `TidemarkError`: `database_locked`, `disk_full`, `not_a_database`, `invariant`; with
 *   `aborted` once the store is closed.
 * - Records of tables that `schema()` does not list are skipped by `publish`, silently: their tables are not
 *   covered (`ReplicaState.covered`) and are hydrated when they appear.
 */
export interface Store extends AsyncDisposable {
  state(): Promise<ReplicaState>

  /** The synced tables as they are now. Re-reads the file's schema when it changed, and repairs capture first. */
  schema(): Promise<StoreSchema>

  /**
   * Dirty rows that may be pushed, in one read snapshot: parked and held rows are left out unless they
   * changed since. The rows found first by (table, mark order), until a limit is passed; `more` tells that there
   * are others. Limits are counts of rows and of bytes of encoded fields: never more rows than asked for; the row
   * that passes the bytes is the last, so that a row alone is always answered. `more` is exact. The order of marks
   * is the store's own; a row that is sent and agreed makes room for those behind it.
   *
   * `after`: only rows behind the last one of the mutation in flight, to be read ahead while that is on its way; no
   * rows and `more` where the store cannot tell.
   */
  readDirty(limit: DirtyLimit): Promise<DirtyRows>

  /**
   * Those of the named rows that are dirty or held, in one snapshot. The others need no merge; rows of tables that
   * `schema()` does not list are left out.
   */
  readTouched(rows: readonly RowKey[]): Promise<readonly LocalRow[]>

  /** Keeps the mutation as in flight. Rejects with `invariant` when there is one, or its number is not the next. */
  saveMutation(mutation: Mutation): Promise<void>
  /**
   * The parts of the mutation in flight as frames of zstd, where the store keeps them so: a provider may send them as
   * they are. Null when none is in flight.
   */
  packedParts?(): Promise<readonly Uint8Array<ArrayBuffer>[] | null>
  /**
   * Takes the mutation off again, after a definite refusal: its rows stay dirty, its number is used again
   * (`ReplicaState.mutation` goes back by one). Rejects with `invariant` when it is not the one in flight.
   */
  freeMutation(number: number): Promise<void>

  /** Applies what came from the cloud. See `Publication`. */
  publish(publication: Publication): Promise<PublishResult>

  /**
   * A hydrate begins, in place of one under way: nothing is applied yet. `sweep` makes the end delete what the
   * cloud no longer has. With `tables: null` it is about the tables that there are now, not later ones.
   */
  startHydrate(hydrate: HydrateState): Promise<void>
  /**
   * The hydrate is whole: its tables are covered now. With `cursor`, that is the cursor. With `sweep`, rows that
   * were agreed live at or below the hydrate's head, did not come, and are not dirty are deleted; dirty and held ones
   * stay, and parked records at or below it that did not come go. A record that came and was known already counts as
   * come. Rejects with `invariant` when no hydrate is under way.
   */
  finishHydrate(cursor: Cursor | null): Promise<{ readonly deleted: number }>

  /** The generation and highest version of an answer that changed nothing else. */
  saveCursor(cursor: Cursor, generations: readonly Generation[]): Promise<void>
  /**
   * Another identity: mutation numbers start anew, a mutation in flight is dropped, its rows stay dirty. The cloud
   * may have taken the dropped mutation all the same: what the application changed back since (the row equals its
   * image again) stays dirty too, or the record of the dropped push would undo it.
   */
  adopt(replica: string): Promise<void>
  /**
   * The cloud lost history above `common`: every row and tombstone with a higher version is offered again
   * (`LocalRow.was`), `cursor` is where to go on. Nothing local is deleted. An offered row is dirty, changed in every
   * column, with `common` as its base and `agreed` as it was; where the application has not changed it, `at` is the
   * time of the record it agreed on, or 1, never later: a lost value is older than any edit made since. A parked
   * record above `common` is offered too, with the record's own fields, unless a dirty row stands at its key; it
   * stays parked. Rows held for the inbox are dirty again, since the record they met may be lost. Where a deletion
   * above `common` left no tombstone here (forgotten at the floor, or before the head of a hydrate), the row is live
   * in the cloud again and below the cursor: then no table is covered any more, so that all are hydrated again. Asides
   * are forgotten.
   */
  rebase(
    cursor: Cursor,
    common: number,
    generations: readonly Generation[],
  ): Promise<{ readonly offered: number }>
  /**
   * A restored file is to win: of the tables covered now, records are published with `imagesOnly`, and a sweep makes
   * rows that did not come edits in place of deleting them, until a publication is `overwritten`. Durable at once.
   */
  startOverwrite(): Promise<void>
  /** Remembers that the cloud has been told this schema. */
  savePublishedSchema(fingerprint: string): Promise<void>

  /** Dirty and other counts for the status; cheap enough for every second. */
  counts(): Promise<StoreCounts>
  /** By table and key. */
  listParked(limit: number): Promise<readonly ParkedRow[]>

  /** The newest first. */
  listInbox(filter: { readonly open?: boolean; readonly limit?: number }): Promise<readonly InboxEntry[]>
  readInbox(id: string): Promise<InboxEntry | null>
  /**
   * Closes an inbox entry. `edit` is written as an edit of the application's would be (it becomes dirty);
   * `agree` makes a held row agree on that record first, unless the row has agreed on a newer one or the record is of
   * a lost history. When the entry `waits`, its row no longer does: what differs from the image is dirty, with its
   * time. Columns that `edit` lacks keep their value or get their default, columns the table lacks are left out; no
   * foreign key action runs. Rejects with `not_found` (no such entry) and `unprocessable` (the edit breaks a
   * constraint of the table, or the table is gone).
   */
  settleInbox(id: string, settlement: Settlement): Promise<void>

  /** The newest first; one entry for a row. */
  listQuarantine(limit: number): Promise<readonly QuarantineEntry[]>
  /** Marks the row again, so that it is sent with the next push; the entry goes. False when there is no such entry. */
  retryQuarantine(id: string): Promise<boolean>
  /**
   * Gives the local change up: the row becomes `record`, or goes when the cloud has none; the entry goes. A row that
   * the application changed again since is in the outbox: there only the entry goes. False when there is no such entry.
   * Where the row met a newer record than `record` while it waited, it is dirty: the answer to its push brings that
   * again. Rejects with `invariant` when `record` is older than what the row agreed on.
   */
  dropQuarantine(id: string, record: WireRecord | null): Promise<boolean>

  /**
   * Calls `changed` soon after a committed write of the application, in this process or another. It may come twice or
   * for nothing; it need not come for a write that a `readDirty` of all tables, without `more` and `after`, has seen.
   */
  watch(changed: () => void): () => void
}

export interface RowKey {
  readonly table: string
  readonly key: string
}

/** Everything durable that is not a row. */
export interface ReplicaState {
  readonly replica: string
  readonly space: string
  /** The last mutation number used; 0 before the first. */
  readonly mutation: number
  readonly inFlight: Mutation | null
  /** Null before the first hydrate is whole. */
  readonly cursor: Cursor | null
  /** Generations of the epoch the replica has learned of, oldest first. */
  readonly generations: readonly Generation[]
  /** How far single sets of tables were read beyond the cursor, the newest first. */
  readonly asides: readonly Aside[]
  readonly hydrating: HydrateState | null
  /** Tables whose rows up to the cursor are here. */
  readonly covered: readonly string[]
  readonly publishedSchema: string | null
  /** Tables whose rows here win over the cloud's (`startOverwrite`); null: none do. */
  readonly overwriting: readonly string[] | null
}

/** A pull of some tables only has a cursor of its own: the cursor stays where all of them were read. */
export interface Aside {
  /** In order of their names. */
  readonly tables: readonly string[]
  readonly cursor: Cursor
}

export interface HydrateState {
  readonly cursor: Cursor
  /** Null: all tables. */
  readonly tables: readonly string[] | null
  /** After which record it goes on; null at the start. */
  readonly place: HydratePlace | null
  readonly sweep: boolean
}

export interface StoreSchema {
  readonly tables: readonly SchemaTable[]
  /** Changes when any synced table changes. */
  readonly fingerprint: string
  readonly refused: readonly { readonly table: string; readonly reason: string }[]
}

/** A row where it stands between the replica and the cloud. */
export interface LocalRow extends RowKey {
  /**
   * Every synced column, null when there is no row. Of a row that is sent whole (not agreed live, or offered again) also
   * what is known of columns that the table lacks.
   */
  readonly fields: Fields | null
  /** The version agreed on; 0 when none was. */
  readonly base: number
  readonly agreed: 'none' | 'live' | 'deleted'
  /**
   * Columns that differ from the agreed image: all of a row that was not agreed live, or is offered again; none of a
   * deleted row. A column that the agreed record lacks is changed when its value is not the column's default.
   */
  readonly changed: readonly string[]
  readonly dirty: boolean
  /** Waits in the inbox or the quarantine for a person: not pushed, not merged. Never together with `dirty`. */
  readonly held: boolean
  /** When the application last changed it; 0 when it is neither dirty nor held. */
  readonly at: Hlc
  /**
   * Canonical unique values of the indexes that the change touches; all of them for a row not agreed live or offered
   * again; none for a deleted row, whose claims the cloud frees by itself.
   */
  readonly claims: Claims
  /** The version it had in a lost history. */
  readonly was: number | null
}

export interface DirtyLimit {
  readonly rows: number
  readonly bytes: number
  /** Only rows of these; absent: of all. */
  readonly tables?: readonly string[] | undefined
  readonly after?: RowKey
}

export interface DirtyRows {
  readonly rows: readonly LocalRow[]
  readonly more: boolean
  /** Rows that cannot be carried at all (key or row over the limit): already moved to the quarantine. */
  readonly refused: number
}

/** One push in flight: the exact texts of its requests, so that a repeat after a crash has the same bytes. */
export interface Mutation {
  readonly number: number
  readonly force: boolean
  readonly parts: readonly string[]
}

/**
 * One transaction of applying. The order: acknowledge, check, apply, cursor.
 *
 * Refused whole with `moved` when a row named in `merged` no longer is as it was read (compared as it stands before
 * the acknowledgement), or when any other record's row has become dirty or held (after it); with `stale` when a
 * mutation is in flight that `acknowledge` does not settle, or it settles one that is not in flight.
 *
 * Records that are not newer than the row's agreed version, or than its parked record, are skipped; not so the
 * `current` of a row that this publication acknowledges, and what `merged` decides is always done. Of several records
 * of one key the newest counts; a key in `merged` has its record there.
 *
 * - *Agreeing.* The image is what the record holds, columns the table lacks included: they come back when the column
 *   appears. A column that the record lacks gets the column's default, and that is no edit.
 * - *Parking.* A record that the table's constraints refuse is parked. It takes the place of the row's own older parked
 *   record. The row of before stays visible where it can, agreed at the version it had, so that nothing claims to
 *   know the record; where it cannot, it leaves the table without a mark. A row that was `take`n leaves the table;
 *   one that was to be `keep`t stays as it was, dirty; an offered one is offered on. A row whose key has a parked
 *   record gives way to any other.
 * - *Unique values.* Blockers within the publication change places whatever the order. A blocker that is not
 *   agreed (dirty, held, refused) parks the record. Of two agreed rows the smaller key stands, the other is parked.
 * - *Retry.* Every publication, an empty one too, tries the parked records again, except where their key is dirty or
 *   held.
 * - *References* are not enforced and nothing cascades. What points nowhere after a publication without `place`, or
 *   after `finishHydrate`, is noted once (`integrity`); the note is resolved by the store when it no longer holds.
 */
export interface Publication {
  readonly acknowledge?: Acknowledgement
  readonly records: readonly WireRecord[]
  readonly merged: readonly MergedRow[]
  /** The cursor afterwards; absent: unchanged. Up to its `read`, rows may have gone without a tombstone here. */
  readonly cursor?: Cursor
  /** How far sets of tables have been read, afterwards; absent: unchanged. */
  readonly asides?: readonly Aside[]
  readonly generations?: readonly Generation[]
  /** Tombstones agreed at or below it may be forgotten. */
  readonly floor?: number
  /**
   * Part of the hydrate under way: where it goes on after this. Its cursor's `high` rises to what came, its generation
   * is the last of `generations` where these are given.
   */
  readonly place?: HydratePlace
  /** With `place`: the version at which it was read. The `read` of the hydrate's cursor rises to it. */
  readonly read?: number
  readonly notes: readonly InboxDraft[]
  /**
   * Only the images change, no row: local differences become edits (`--overwrite` after a restore), of held rows too.
   * Nothing is `moved`. A parked record is no row: it becomes the newer record, or goes with a deleted one.
   */
  readonly imagesOnly?: boolean
  /** The wish of `startOverwrite` is fulfilled with this: what comes later is news like any other. */
  readonly overwritten?: boolean
}

/** What the engine decided for a record whose row was dirty or held. */
export interface MergedRow {
  /** The row as it was read: the guard, compared with the row as it is. */
  readonly read: LocalRow
  /**
   * - `take`: the row becomes the record (goes, when that is null); the local change is in the notes.
   * - `keep`: the row becomes `fields`, the image the record (none, when that is null): what differs stays dirty with
   *   its time. Columns that `fields` lacks stay as they are.
   * - `rekey`: the row moves to a fresh integer key, declared references follow it; the record takes its place. The
   *   references that follow are those this replica wrote: unsent ones, and those acknowledged from here; what came
   *   from the cloud points to the cloud's row. The note of kind `rekeyed` gets the row with its fresh key as `local`.
   * - `hold`: row and image stay; the row is held until its inbox entry is settled.
   */
  readonly decision:
    | { readonly kind: 'take' }
    | { readonly kind: 'keep'; readonly fields: Fields }
    | { readonly kind: 'rekey' }
    | { readonly kind: 'hold' }
  /** What the row meets; null: the cloud has neither row nor tombstone. */
  readonly record: WireRecord | null
}

/** The answer to the mutation in flight. */
export interface Acknowledgement {
  readonly mutation: number
  /** The cloud refused the request as such and never took the number: it is used again (as by `freeMutation`). */
  readonly returned?: boolean
  readonly rows: readonly AcknowledgedRow[]
}

export interface AcknowledgedRow {
  readonly change: Change
  /**
   * - `ok`: the image becomes what was pushed, at `version`; the mark goes only if the row still equals it, and a row
   *   that differs is marked. The row is held no longer, an entry in the quarantine and an older parked record go.
   * - `left`: stays dirty as it is (a conflict that `merged` decides, or a later round).
   * - `refused`: into the quarantine with the reason; no longer dirty until it changes again. A row that changed
   *   while in flight stays dirty.
   */
  readonly outcome:
    | { readonly kind: 'ok'; readonly version: number }
    | { readonly kind: 'left' }
    | { readonly kind: 'refused'; readonly code: string; readonly message: string }
}

export type PublishResult =
  | {
      readonly status: 'done'
      /** Records and decisions of this publication that took effect in the table. */
      readonly applied: number
      /** The same by table; only tables where anything took effect. */
      readonly tables: { readonly [table: string]: number }
      /** Records of this publication that were parked. */
      readonly parked: number
      /** Inbox entries written, the store's own findings included. */
      readonly notes: number
      /** Milliseconds the write lock was held. */
      readonly lockMs: number
    }
  | { readonly status: 'moved'; readonly rows: readonly RowKey[] }
  | { readonly status: 'stale' }

export interface StoreCounts {
  /** Marked rows per table: an upper bound of the dirty ones. */
  readonly pending: { readonly [table: string]: number }
  readonly parked: number
  readonly quarantined: number
  readonly held: number
  readonly openConflicts: number
  /** Rows with a NULL in the key, which are not captured. */
  readonly nullKeys: number
}

export interface ParkedRow extends RowKey {
  readonly record: WireRecord
  readonly reason: string
}

export interface Settlement {
  readonly status: 'resolved' | 'undone' | 'dismissed'
  /** Which side, or `row` for a row given by hand. */
  readonly choice: string
  /**
   * The whole row to write, null to delete it; absent: nothing is written. With `columns`, only these are written
   * where the row exists; a row that is gone comes back whole.
   */
  readonly edit?:
    | (RowKey & { readonly fields: Fields | null; readonly columns?: readonly string[] })
    | undefined
  readonly agree?: WireRecord | undefined
}
