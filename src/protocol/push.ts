import Type, { type Static } from 'typebox'

import { MAX_PUSH_CHANGES, MAX_PUSH_PARTS } from './limits.ts'
import {
  Change,
  Cursor,
  FieldMap,
  CurrentGeneration,
  Id,
  Key,
  Name,
  SpaceName,
  Version,
  WireRecord,
} from './records.ts'

/**
 * POST /sync/push. Mutations of a replica count up from 1. The cloud keeps the last one's number, payload hash
 * and statuses for as long as the replica exists: the same number and hash is answered again without effect
 * (I3), the next number is applied, anything else is `replica_forked` (I13).
 *
 * A mutation of several parts carries `part` with the same mutation number; every part but the last is staged
 * and answered `{staged}`; the last one applies all of them together (I5) and its answer has the results of
 * all parts in order. Only parts of one `attempt` are put together: the same number may be tried again with other
 * changes, or by a copy of the replica, while parts of before are still under way (I13).
 *
 * `cursor` is null only for a replica that never saw the space.
 */
export const PushRequest = Type.Object(
  {
    space: SpaceName,
    replica: Id,
    mutation: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    cursor: Type.Union([Cursor, Type.Null()]),
    part: Type.Optional(
      Type.Object(
        {
          index: Type.Integer({ minimum: 0, maximum: MAX_PUSH_PARTS - 1 }),
          of: Type.Integer({ minimum: 1, maximum: MAX_PUSH_PARTS }),
          attempt: Id,
        },
        { additionalProperties: false },
      ),
    ),
    /** Newest wins, decided by the cloud: the way out for a replica too slow to ever be first. */
    force: Type.Optional(Type.Boolean()),
    changes: Type.Array(Change, { maxItems: MAX_PUSH_CHANGES }),
  },
  { additionalProperties: false },
)
export type PushRequest = Static<typeof PushRequest>

/**
 * What became of one change.
 * - `ok`: applied at `version`. `current` is there when the row holds fields that the replica has not seen:
 *   set by others since `base`, or kept by `force`. `lost` holds the values that `force` overwrote. `forgotten`: the
 *   row was offered again, the cloud had nothing of it, and deletions above `base` are forgotten: this may undo one.
 * - `conflict`: not applied; `current` is the row as it is, null when the cloud has neither row nor tombstone.
 * - `taken`: not applied: the row `by` holds the unique value; `current` is the pushed row as the cloud has it.
 * - `rejected`: will never be applied as it is; the reason is for the quarantine.
 */
export const PushResult = Type.Union([
  Type.Object({
    status: Type.Literal('ok'),
    version: Version,
    current: Type.Optional(WireRecord),
    lost: Type.Optional(FieldMap),
    forgotten: Type.Optional(Type.Literal(true)),
  }),
  Type.Object({ status: Type.Literal('conflict'), current: Type.Union([WireRecord, Type.Null()]) }),
  Type.Object({
    status: Type.Literal('taken'),
    index: Name,
    by: Key,
    current: Type.Union([WireRecord, Type.Null()]),
  }),
  Type.Object({ status: Type.Literal('rejected'), code: Type.String(), message: Type.String() }),
])
export type PushResult = Static<typeof PushResult>

export const PushAnswer = Type.Object({
  epoch: Id,
  generation: CurrentGeneration,
  head: Version,
  /** Set instead of results for every part but the last. */
  staged: Type.Optional(Type.Integer({ minimum: 0 })),
  results: Type.Array(PushResult),
})
export type PushAnswer = Static<typeof PushAnswer>
