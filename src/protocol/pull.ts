import Type, { type Static } from 'typebox'

import { MAX_PULL_RECORDS, MAX_READ_KEYS, MAX_TABLES, MAX_WAIT_S } from './limits.ts'
import { Cursor, CurrentGeneration, Id, Key, Name, SpaceName, Version, WireRecord } from './records.ts'

/**
 * POST /sync/pull: records with a version above the cursor's, in version order, read in one snapshot (I4).
 * Rows last written by the asking replica itself at or below `cursor.high` are left out: it acknowledged them (a
 * mutation in flight is resolved before any pull). Its own rows above `high` are answered: a machine restored or
 * copied whole asks under an identity that another copy has pushed with (I4, I13). With `wait`, an empty answer is held back until there is something or the
 * seconds are over. `cursor.version` is also the replica's acknowledgement: tombstones up to it may go.
 */
export const PullRequest = Type.Object(
  {
    space: SpaceName,
    replica: Id,
    cursor: Cursor,
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PULL_RECORDS })),
    tables: Type.Optional(Type.Array(Name, { maxItems: MAX_TABLES })),
    wait: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_WAIT_S })),
  },
  { additionalProperties: false },
)
export type PullRequest = Static<typeof PullRequest>

export const PullAnswer = Type.Object({
  epoch: Id,
  generation: CurrentGeneration,
  head: Version,
  /** Tombstones up to here are gone; a cursor below it is `cursor_expired`. */
  floor: Version,
  /** Number of the space's schema. */
  schema: Version,
  records: Type.Array(WireRecord),
  /** The version read up to: the next cursor's. Equals `head` when `has_more` is false. */
  next: Version,
  has_more: Type.Boolean(),
})
export type PullAnswer = Static<typeof PullAnswer>

/**
 * GET /sync/hydrate?space=…&replica=…&tables=…&tables=…: every live record, as NDJSON: a `HydrateStart`, records in (table, key) order, a
 * `HydrateEnd`, and a `HydrateRead` wherever the space has moved on. A broken stream is resumed with the header `tidemark-resume`: `head`, table and key of the last
 * record that arrived, as JSON in base64url. Records may be newer than `head`; a pull from `head` follows.
 */
export const HydrateQuery = Type.Object(
  {
    space: SpaceName,
    replica: Id,
    /** Only these tables; in the address `tables` stands once for each. */
    tables: Type.Optional(Type.Array(Name, { maxItems: MAX_TABLES })),
  },
  { additionalProperties: false },
)
export type HydrateQuery = Static<typeof HydrateQuery>

export const HydrateStart = Type.Object({
  epoch: Id,
  generation: CurrentGeneration,
  head: Version,
  floor: Version,
  schema: Version,
  /** Live records, for progress; approximate when resumed. */
  count: Type.Integer({ minimum: 0 }),
})
export type HydrateStart = Static<typeof HydrateStart>

/**
 * Before records, and before the end: what follows was read at this version, and so were all the rows that are not among
 * it. Left out as long as it is that of the line before, or the head of the start. A row that was deleted since the head
 * is missing: a reader who knows up to where it has read notices when that history is lost (I11).
 */
export const HydrateRead = Type.Object({ read: Version })
export type HydrateRead = Static<typeof HydrateRead>

export const HydrateEnd = Type.Object({ end: Type.Literal(true) })

/** Where a hydrate goes on: after this record, at the head it started from. */
export const HydratePlace = Type.Object(
  { head: Version, table: Name, key: Key },
  { additionalProperties: false },
)
export type HydratePlace = Static<typeof HydratePlace>

/** POST /sync/read: named records as they are now; null where the cloud has none. */
export const ReadRequest = Type.Object(
  {
    space: SpaceName,
    records: Type.Array(Type.Object({ table: Name, key: Key }, { additionalProperties: false }), {
      maxItems: MAX_READ_KEYS,
    }),
  },
  { additionalProperties: false },
)
export type ReadRequest = Static<typeof ReadRequest>

export const ReadAnswer = Type.Object({ records: Type.Array(Type.Union([WireRecord, Type.Null()])) })
export type ReadAnswer = Static<typeof ReadAnswer>
