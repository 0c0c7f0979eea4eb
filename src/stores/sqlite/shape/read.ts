import type { Connection } from '../driver/driver.ts'
import type { FileShapes } from './shape.ts'

/** Reads the schema of the whole file. Cheap to call again: compare `PRAGMA schema_version` first. */
export declare function readShapes(connection: Connection): FileShapes
