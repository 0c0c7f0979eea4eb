/** Limits of the wire, named once. Past them a clear 4xx and nothing half done. */

/** Bytes of a request body after decompression. */
export const MAX_BODY_BYTES = 32 * 1024 * 1024
/** Bytes of one row's fields as JSON. A 5 MB blob is 6.7 MB of base64. */
export const MAX_ROW_BYTES = 16 * 1024 * 1024
/** Changes in one push request (one part). */
export const MAX_PUSH_CHANGES = 20_000
/**
 * Parts of one mutation, and what they may hold together while staged: whoever applies them needs some ten times as
 * much memory. Each change counts for more than its text, or a million small ones would need as much as large ones.
 */
export const MAX_PUSH_PARTS = 1_000
export const MAX_STAGED_BYTES = 64 * 1024 * 1024
export const STAGED_CHANGE_BYTES = 512
/** Records of one pull answer, and the bytes of fields after which it stops early. */
export const MAX_PULL_RECORDS = 10_000
export const DEFAULT_PULL_RECORDS = 5_000
export const MAX_PULL_BYTES = 4 * 1024 * 1024
/** Generations before the newest that an answer tells, the last of them. A start of the cloud makes one. */
export const MAX_TOLD_GENERATIONS = 100
/** Seconds a long poll may wait. */
export const MAX_WAIT_S = 55
/** Characters of a table, column or index name, a space name, an id. */
export const MAX_NAME_CHARS = 512
export const MAX_SPACE_CHARS = 128
export const MAX_ID_CHARS = 64
/** Columns of a record: SQLite's own default. */
export const MAX_COLUMNS = 2_000
/** Characters of one unique claim; longer values are claimed by their hash. */
export const MAX_CLAIM_CHARS = 512
/** Tables of a space. */
export const MAX_TABLES = 10_000
/** Keys in one read. */
export const MAX_READ_KEYS = 1_000
/** Records in one `/sync/batch`. */
export const MAX_BATCH_RECORDS = 10_000
