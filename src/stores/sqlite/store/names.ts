import { PREFIX } from '../capture/names.ts'

/**
 * What the store keeps in the application's file beside the marks. Rows of the application are named by the
 * number of their table (`capture/names.ts`) and the canonical text of their key.
 */

/** `name`, `value`: everything durable that is not a row, as JSON. */
export const META_TABLE = `${PREFIX}meta`
/** Per table: its columns' ids and fills, and what its state tables were made for. */
export const DICTIONARY_TABLE = `${PREFIX}dictionary`
/** Parts of the mutation in flight, as compressed text. */
export const MUTATION_TABLE = `${PREFIX}mutation`
/** Remote rows that cannot stand in the table now. */
export const PARKED_TABLE = `${PREFIX}parked`
/** Rows that wait for a person, with the image of the row as it was then. */
export const WAITING_TABLE = `${PREFIX}waiting`
export const QUARANTINE_TABLE = `${PREFIX}quarantine`
export const INBOX_TABLE = `${PREFIX}inbox`

/**
 * State of table `number`: key columns as in its mark table, `version`, `agreed` (a `StateFlag` set), `image`,
 * `extra` (fields of columns the table lacks, as JSON), `was`.
 */
export const stateTable = (number: number): string => `${PREFIX}s_${number}`
/** Index on the tombstones of a state table, by version. */
export const tombstoneIndex = (number: number): string => `${PREFIX}d_${number}`
/** The columns of a table alone, in the temporary schema, where expressions of indexes are computed on new rows. */
export const trialTable = (number: number, shape: string): string =>
  `${PREFIX}trial_${number}_${shape.slice(0, 16)}`

/**
 * The numbers in a table whose key begins with `number`, one look-up each. `DISTINCT` would read all of it, for every
 * transaction, where thousands of rows are refused or parked.
 */
export const numbersOf = (table: string): string => `
  WITH RECURSIVE found (number) AS (
    SELECT min(number) FROM ${table}
    UNION ALL
    SELECT (SELECT min(number) FROM ${table} WHERE number > found.number) FROM found WHERE found.number IS NOT NULL)
  SELECT number FROM found WHERE number IS NOT NULL`
