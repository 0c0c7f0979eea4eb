/** Names of what Tidemark keeps in the application's file. All begin with the prefix, and only ours do. */
export const PREFIX = '_tidemark_'

/**
 * One row, `id` = 1:
 * - `applying`: 1 only inside the transaction that applies the cloud's changes, so that triggers stay silent
 *   there and no other connection ever sees it set;
 * - `floor`: the highest hybrid time the replica has seen (`kernel/hlc.ts`), which marks must pass;
 * - `journal`: the journal mode the file had before it was switched to WAL; null when it was not switched;
 * - `number`: the last number given to a table.
 */
export const FLAG_TABLE = '_tidemark_flag'

/**
 * `number`, `name`: which table of the application a mark table belongs to. Numbers are never used again.
 * `sweep`: 1 when rows may have been displaced without a mark (`displaced.ts`): whoever reads the marks
 * compares the agreed keys with the table first, and sets it to 0.
 */
export const TABLES_TABLE = '_tidemark_tables'

/**
 * Marks of table `number`: key columns `k0`, `k1`, … with the key's own affinities and collations, and `at`,
 * the hybrid time of the last write, which every further write raises. Primary key: the key columns.
 */
export const markTable = (number: number): string => `${PREFIX}m_${number}`

/** Where a new row is held for a moment so that expressions of unique indexes can be computed on it. */
export const probeTable = (number: number): string => `${PREFIX}p_${number}`

/** Column of a mark table for the key column at `index`. */
export const keyColumn = (index: number): string => `k${index}`

export const triggerName = (number: number, kind: TriggerKind): string => `${PREFIX}t_${number}_${kind}`

/**
 * After insert, update, a change of the key, delete; before insert and update, for rows that are about to be
 * displaced; before all four in tables that others refer to (`triggers.ts`).
 */
export type TriggerKind = 'i' | 'u' | 'k' | 'd' | 'bi' | 'bu' | 'ei' | 'eu' | 'ek' | 'ed'

export const isOwnName = (name: string): boolean => name.toLowerCase().startsWith(PREFIX)
