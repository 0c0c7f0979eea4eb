/** Levels of nesting in a request: a value may have 32 (`MAX_VALUE_DEPTH`), the message around it less than 16. */
export const MAX_JSON_DEPTH = 48
/**
 * Openings and commas of a request. One costs up to 80 bytes of memory once parsed, so that 32 MiB of `[],` would
 * otherwise become a gigabyte. 20,000 rows of 100 columns have 2 million.
 */
export const MAX_JSON_PARTS = 4_000_000
