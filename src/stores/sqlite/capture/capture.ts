import type { Connection } from '../driver/driver.ts'
import type { Shape } from '../shape/shape.ts'

export interface CaptureOptions {
  /** SQL for milliseconds since 1970. The simulation gives its own. Default `CLOCK_SQL`. */
  readonly clock?: string
}

/** What stands in the file for one table. */
export interface CapturedTable {
  /** N of `_tidemark_m_N`. */
  readonly number: number
  readonly name: string
  /**
   * Some unique index is made from an expression that may fail, which a trigger must not compute: rows it
   * displaces leave no mark. Whoever reads marks of this table compares agreed keys with the table first.
   */
  readonly sweep: boolean
}

export type CaptureState =
  /** As `installCapture` would leave it. */
  | 'whole'
  /** Works as it should, but a hint in it is out of date (after VACUUM): rewriting it needs no comparison. */
  | 'stale'
  /** Triggers or the mark table are missing or altered: writes may have been missed. */
  | 'broken'
  /** The table was never captured. */
  | 'absent'

/** Marks and triggers for every shape that has none or broken ones; nothing for whole ones. In one transaction. */
export declare function installCapture(
  connection: Connection,
  shapes: Iterable<Shape>,
  options?: CaptureOptions,
): readonly CaptureOutcome[]

export interface CaptureOutcome extends CapturedTable {
  /** What was found before. `broken`, and `absent` of a table with rows: compare the whole table. */
  readonly found: CaptureState
}

/** Compares without writing. */
export declare function verifyCapture(
  connection: Connection,
  shapes: Iterable<Shape>,
  options?: CaptureOptions,
): readonly CaptureOutcome[]

/** Stops capture of one table: triggers and mark table go, its number is forgotten. */
export declare function dropCapture(connection: Connection, table: string): void

/** Names in use, also of tables that are gone. */
export declare function listCaptured(
  connection: Connection,
): readonly { readonly number: number; readonly name: string }[]

/** Inside a transaction of the store: triggers stay silent until `setApplying(connection, false)`. */
export declare function setApplying(connection: Connection, on: boolean): void

/** Marks from now on are later than `hlc`. Never goes back. */
export declare function raiseFloor(connection: Connection, hlc: number): void

/** Records the journal mode and switches the file to WAL. Outside a transaction. */
export declare function switchToWal(connection: Connection): void

/**
 * Takes everything whose name begins with `_tidemark_` out of the file and puts the journal mode back. The
 * schema table is then as it was before.
 */
export declare function removeCapture(connection: Connection): void
