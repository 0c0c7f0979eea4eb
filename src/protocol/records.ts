import Type, { type Static } from 'typebox'

import type { Fields } from '../kernel/values.ts'
import {
  MAX_CLAIM_CHARS,
  MAX_ID_CHARS,
  MAX_NAME_CHARS,
  MAX_SPACE_CHARS,
  MAX_TOLD_GENERATIONS,
} from './limits.ts'
import { SPACE_NAME_PATTERN } from './space-name.ts'

/** Rows as they travel. Values are encodings of `kernel/values.ts`; the cloud never interprets them. */

export const SpaceName = Type.String({
  minLength: 1,
  maxLength: MAX_SPACE_CHARS,
  pattern: SPACE_NAME_PATTERN,
})
export const Id = Type.String({ minLength: 1, maxLength: MAX_ID_CHARS, pattern: '^[A-Za-z0-9._-]+$' })
export const Name = Type.String({ minLength: 1, maxLength: MAX_NAME_CHARS })
/** Counts of a space, in commit order. Safe integers: 2^53 changes are 285 years at a million a second. */
export const Version = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
/** Hybrid logical time: milliseconds × 1,000 + counter. */
export const HlcTime = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
/** The canonical text of a key (`kernel/keys.ts`); opaque to the cloud. UTF-8 bytes are checked apart. */
export const Key = Type.String({ minLength: 2, maxLength: 1_024 })
export const FieldMap = Type.Unsafe<Fields>(Type.Record(Type.String(), Type.Unknown()))

/**
 * One history of a space, and a place in it.
 * `generation` is the newest generation the replica knows; `version` is what it has read up to; `high` is the
 * highest version it holds, its own acknowledged pushes included. A cloud in whose history `high` does not
 * lie has lost history (I11). `read`, where it is beyond `version`: the newest state that a page was read from. A row
 * that was replaced between the two is missing until its newer state is read, and for good if that history is lost.
 */
export const Cursor = Type.Object(
  { epoch: Id, generation: Id, version: Version, high: Version, read: Type.Optional(Version) },
  { additionalProperties: false },
)
export type Cursor = Static<typeof Cursor>

/** A start of the cloud's storage, and the head it started from. */
export const Generation = Type.Object({ id: Id, start: Version })
export type Generation = Static<typeof Generation>

/**
 * The generation that answers. `before`: those that led to it, oldest first, for a reader whose cursor is of another
 * one or who has none. Who knows them all loses nothing and offers nothing twice when the cloud goes back (I11).
 */
export const CurrentGeneration = Type.Object({
  id: Id,
  start: Version,
  before: Type.Optional(Type.Array(Generation, { maxItems: MAX_TOLD_GENERATIONS })),
})
export type CurrentGeneration = Static<typeof CurrentGeneration>

/** The version and time at which a field was last set. */
export const FieldVersion = Type.Tuple([Version, HlcTime])
export type FieldVersion = Static<typeof FieldVersion>

/**
 * A row as the cloud holds it. `fields` has every field of a live row and is absent for a deleted one.
 * `since` is the version and time of the fields that `fieldVersions` does not name; absent: `[version, hlc]`.
 */
export const WireRecord = Type.Object({
  table: Name,
  key: Key,
  version: Version,
  hlc: HlcTime,
  by: Id,
  deleted: Type.Optional(Type.Literal(true)),
  fields: Type.Optional(FieldMap),
  since: Type.Optional(FieldVersion),
  fieldVersions: Type.Optional(Type.Record(Type.String(), FieldVersion)),
  /** Reserved: id of the key that sealed `fields` (docs/protocol.md, "Sealed rows"). */
  sealed: Type.Optional(Id),
})
export type WireRecord = Static<typeof WireRecord>

/** Unique index → the canonical value the row holds in it, or null when it holds none any more. Opaque. */
export const Claims = Type.Record(
  Type.String({ minLength: 1, maxLength: MAX_NAME_CHARS }),
  Type.Union([Type.String({ maxLength: MAX_CLAIM_CHARS }), Type.Null()]),
)
export type Claims = Static<typeof Claims>

/**
 * One change of one row.
 * `base` is the version of the row the replica agreed on, 0 for a row it never agreed on.
 * `fields`: with `put`, the fields that changed; every field when `base` is 0 or a deleted version.
 * `claims`: the unique values of the indexes that the change touches.
 * `was`: the version this row had in a lost history; the row is offered again, whole.
 */
export const Change = Type.Object(
  {
    table: Name,
    key: Key,
    op: Type.Union([Type.Literal('put'), Type.Literal('delete')]),
    base: Version,
    hlc: HlcTime,
    fields: Type.Optional(FieldMap),
    claims: Type.Optional(Claims),
    was: Type.Optional(Version),
    sealed: Type.Optional(Id),
  },
  { additionalProperties: false },
)
export type Change = Static<typeof Change>
