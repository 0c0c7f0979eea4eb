import type { Encoded } from '../../../kernel/values.ts'
import type { Connection, RunResult, SqlRow, SqlValue, Statement } from '../driver/driver.ts'
import { bindValue, type TextEncoding } from '../values.ts'

/** Parameters of one statement. `casts` are the places that hold the bytes of a text. */
export interface Bounds {
  readonly values: SqlValue[]
  readonly casts: number[]
}

export const newBounds = (): Bounds => ({ values: [], casts: [] })

/** Appends a value; false when SQLite has no such value. */
export function pushValue(bounds: Bounds, value: Encoded, encoding: TextEncoding): boolean {
  // The common kinds without a detour: this runs for every value of every row.
  if (typeof value === 'string' || value === null) bounds.values.push(value)
  else if (typeof value === 'number') bounds.values.push(Number.isInteger(value) ? BigInt(value) : value)
  else {
    const bound = bindValue(value, encoding)
    if (bound === null) return false
    if (bound.cast) bounds.casts.push(bounds.values.length)
    bounds.values.push(bound.value)
  }
  return true
}

/** Appends what is already a value of SQLite. */
export function pushRaw(bounds: Bounds, ...values: readonly SqlValue[]): Bounds {
  bounds.values.push(...values)
  return bounds
}

export function pushBounds(bounds: Bounds, more: Bounds): Bounds {
  for (const at of more.casts) bounds.casts.push(bounds.values.length + at)
  for (const value of more.values) bounds.values.push(value)
  return bounds
}

/** `(?, ?), (?, ?)`: the places of so many rows of so many values, one after the other. */
export function placesOfRows(rows: number, width: number, place: (at: number) => string): string {
  const rowFrom = (from: number): string =>
    `(${Array.from({ length: width }, (_, at) => place(from + at)).join(', ')})`
  return Array.from({ length: rows }, (_, row) => rowFrom(row * width)).join(', ')
}

/**
 * A statement that is compiled when it is first needed, and again for each set of places that need a cast:
 * a driver can bind text that is not well-formed only as its bytes.
 */
export class Template {
  readonly #connection: Connection
  readonly #build: (place: (at: number) => string) => string
  #plain: Statement | null = null
  readonly #cast = new Map<string, Statement>()

  /** `build` gets the text of each place, in the order of the parameters. */
  constructor(connection: Connection, build: (place: (at: number) => string) => string) {
    this.#connection = connection
    this.#build = build
  }

  run(bounds: Bounds): RunResult {
    return this.#statement(bounds).run(...bounds.values)
  }

  get(bounds: Bounds): SqlRow | undefined {
    return this.#statement(bounds).get(...bounds.values)
  }

  all(bounds: Bounds): SqlRow[] {
    return this.#statement(bounds).all(...bounds.values)
  }

  /** Rows as they are read: no other statement may run on the connection meanwhile. */
  iterate(bounds: Bounds): IterableIterator<SqlRow> {
    return this.#statement(bounds).iterate(...bounds.values)
  }

  #statement(bounds: Bounds): Statement {
    if (bounds.casts.length === 0) return (this.#plain ??= this.#connection.prepare(this.#build(() => '?')))
    const casts = bounds.casts.join()
    let statement = this.#cast.get(casts)
    if (statement === undefined) {
      statement = this.#connection.prepare(
        this.#build((at) => (bounds.casts.includes(at) ? 'CAST(? AS TEXT)' : '?')),
      )
      this.#cast.set(casts, statement)
    }
    return statement
  }
}
