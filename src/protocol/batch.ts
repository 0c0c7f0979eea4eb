import Type, { type Static } from 'typebox'

/**
 * POST /sync/batch: origin 000's one-way upload, in exactly its JSON. Every array in the body is a table of
 * plain JSON objects with an `id`; newest wins by `updated_at` where both rows have one. It goes into the
 * token's default space. The answer has `<table>_synced` for every table sent.
 */
export const BatchRequest = Type.Object(
  { sync_timestamp: Type.Optional(Type.String({ maxLength: 64 })) },
  { additionalProperties: Type.Array(Type.Record(Type.String(), Type.Unknown())) },
)
export type BatchRequest = Static<typeof BatchRequest>

export const BatchAnswer = Type.Object(
  { sync_timestamp: Type.String() },
  { additionalProperties: Type.Integer({ minimum: 0 }) },
)
export type BatchAnswer = Static<typeof BatchAnswer>

/** The suffix of an answer's counts. */
export const SYNCED_SUFFIX = '_synced'
/** The key column of a batch record, and the column that says which of two is newer. */
export const BATCH_KEY = 'id'
export const BATCH_UPDATED_AT = 'updated_at'
