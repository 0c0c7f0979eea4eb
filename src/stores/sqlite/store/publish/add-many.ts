import type { Encoded, Fields } from '../../../../kernel/values.ts'
import type { SqlValue } from '../../driver/driver.ts'
import type { Affinity } from '../../shape/shape.ts'
import { isKept } from '../affinity.ts'
import { newBounds, pushValue, type Bounds } from '../bind.ts'
import type { Session } from '../session.ts'
import type { SyncedTable } from '../synced-table.ts'
import type { CleanRecord } from './apply.ts'
import { failureOf, RolledBack } from './obstacle.ts'
import { hasKey } from './write-row.ts'

/** Rows of one statement below which nothing is gained. */
const MIN_BATCH_ROWS = 4
/** Characters of one statement: larger rows go one by one, so that no more than one is in memory twice. */
const MAX_BATCH_CHARS = 256 * 1024

export interface Added {
  readonly added: readonly CleanRecord[]
  /** To be written one by one. */
  readonly rest: readonly CleanRecord[]
}

/**
 * Inserts live records of which nothing is known, with their states, many in a statement: a first hydrate is little
 * else, and half of what an insert costs is the call. What is not plain is left to the other way; and everything is,
 * where a single row meets anything at all, since a statement of many does not say which.
 */
export function addMany(session: Session, table: SyncedTable, records: readonly CleanRecord[]): Added {
  const { batchRows } = table.rows
  // A trigger of the application may pass a row over or refuse it, each row for itself.
  const isPlain = table.shape.triggers.length === 0 && batchRows >= MIN_BATCH_ROWS
  if (!isPlain || records.length < MIN_BATCH_ROWS) return { added: [], rest: records }
  const { connection } = session
  connection.exec('SAVEPOINT tidemark_many')
  try {
    const sorted = addBatches(table, records)
    connection.exec('RELEASE tidemark_many')
    return sorted
  } catch (error) {
    if (connection.inTransaction) connection.exec('ROLLBACK TO tidemark_many; RELEASE tidemark_many')
    if (!(error instanceof PassedOver) && failureOf(error) === null) throw error
    // No key is empty: the next try goes row by row, and finds the one that does it.
    if (!connection.inTransaction) throw new RolledBack(table.name, '')
    return { added: [], rest: records }
  }
}

/** Fewer rows were inserted than were given: a trigger of the connection's own. */
class PassedOver extends Error {}

function addBatches(table: SyncedTable, records: readonly CleanRecord[]): Added {
  const { batchRows } = table.rows
  const batch = new Batch(table)
  const added: CleanRecord[] = []
  const rest: CleanRecord[] = []
  for (const one of records) {
    if (!batch.add(one)) rest.push(one)
    else if (batch.size === batchRows) batch.write(batchRows, added)
  }
  // Statements of few sizes, or each number of rows would be compiled once.
  for (let rows = batchRows >> 1; rows >= MIN_BATCH_ROWS; rows >>= 1) {
    if (batch.size >= rows) batch.write(rows, added)
  }
  return { added, rest: [...rest, ...batch.records] }
}

/** Records with the parameters of one statement for their rows and one for their states. */
class Batch {
  readonly #table: SyncedTable
  readonly #columns: readonly { readonly name: string; readonly affinity: Affinity }[]
  /** Of one row. */
  readonly #maxChars: number
  #images = Buffer.alloc(4_096)
  #imagesEnd = 0
  readonly records: CleanRecord[] = []
  readonly #rows: Bounds = newBounds()
  readonly #states: SqlValue[] = []

  constructor(table: SyncedTable) {
    this.#table = table
    const affinities = new Map(table.shape.columns.map(({ name, affinity }) => [name, affinity]))
    this.#columns = table.names.map((name) => ({ name, affinity: affinities.get(name) ?? 'BLOB' }))
    this.#maxChars = MAX_BATCH_CHARS / table.rows.batchRows
  }

  get size(): number {
    return this.records.length
  }

  /** Writes the first so many of them. */
  write(rows: number, added: CleanRecord[]): void {
    const { rows: table, states, names, keyNames } = this.#table
    states.addLive(this.#states.splice(0, rows * (keyNames.length + 2)), rows)
    if (table.insertMany(this.#rows.values.splice(0, rows * names.length), rows) !== rows)
      throw new PassedOver()
    for (const record of this.records.splice(0, rows)) added.push(record)
    if (this.size === 0) this.#imagesEnd = 0
  }

  /** False, without effect, for a record that is not plain. */
  add(one: CleanRecord): boolean {
    const table = this.#table
    const { record, bounds } = one
    if (record.fields === undefined || bounds.casts.length > 0) return false
    const fields = table.own(record.fields)
    if (!hasKey(table, record.key, fields) || !this.#pushRow(fields)) return false
    for (const value of bounds.values) this.#states.push(value)
    this.#states.push(record.version, this.#keepImage(table.codec.encode(fields)))
    this.records.push(one)
    return true
  }

  /** Only whole rows of which the table stores every value as it is, and that hold nothing else. */
  #pushRow(fields: Fields): boolean {
    const { values, casts } = this.#rows
    const from = values.length
    let chars = 0
    for (const { name, affinity } of this.#columns) {
      const value = fields[name]
      if (value === undefined || !isKept(value, affinity) || !this.#push(value, affinity)) chars = Infinity
      if (chars === Infinity) break
      const bound = values.at(-1)
      if (typeof bound === 'string' || bound instanceof Uint8Array) chars += bound.length
    }
    if (chars <= this.#maxChars && casts.length === 0 && countFields(fields) === this.#columns.length)
      return true
    values.length = from
    casts.length = 0
    return false
  }

  #push(value: Encoded, affinity: Affinity): boolean {
    // The column makes an integer of the double again, which is exact up to 2^53 and saves a bigint.
    if (typeof value === 'number' && (affinity === 'INTEGER' || affinity === 'NUMERIC')) {
      this.#rows.values.push(value)
      return true
    }
    return pushValue(this.#rows, value, this.#table.encoding)
  }

  /** The codec's bytes are valid until the next image only. */
  #keepImage(image: Uint8Array): Uint8Array {
    if (this.#imagesEnd + image.length > this.#images.length) {
      // Those before keep the buffer they lie in.
      this.#images = Buffer.alloc(Math.max(2 * this.#images.length, image.length))
      this.#imagesEnd = 0
    }
    const from = this.#imagesEnd
    this.#images.set(image, from)
    this.#imagesEnd = from + image.length
    return this.#images.subarray(from, this.#imagesEnd)
  }
}

function countFields(fields: Fields): number {
  let count = 0
  for (const _ in fields) count++
  return count
}
