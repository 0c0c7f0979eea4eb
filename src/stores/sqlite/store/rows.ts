import type { Fields } from '../../../kernel/values.ts'
import { quoteName, type Connection, type SqlRow, type SqlValue } from '../driver/driver.ts'
import type { Shape } from '../shape/shape.ts'
import type { TextEncoding } from '../values.ts'
import { newBounds, placesOfRows, pushBounds, pushValue, Template, type Bounds } from './bind.ts'
import { decodeFields, isTooBig, selectList, type ReadMode } from './decode.ts'
import { carriedColumns } from './dictionary.ts'
import { Unfit } from './unfit.ts'

/** Statements kept for sets of columns; past it they are compiled each time. */
const MAX_COLUMN_SETS = 64
/** Parameters of a statement that inserts many rows: with more, binding them costs what the calls cost before. */
const BATCH_PARAMETERS = 200

/** The application's own rows of one table, as the store reads and writes them. */
export class Rows {
  readonly names: readonly string[]
  /** The key in a WHERE, compared as the key's index compares it. */
  readonly #where: (place: (at: number) => string, from: number) => string
  readonly #connection: Connection
  readonly #encoding: TextEncoding
  readonly #table: string
  readonly #or: string
  readonly #reads: Record<ReadMode, Template>
  readonly #delete: Template
  readonly #inserts = new Map<string, Template>()
  readonly #updates = new Map<string, Template>()
  readonly #insertAll: Template
  /** By number of rows. */
  readonly #insertMany = new Map<number, Template>()
  /** Rows that `insertMany` takes at the most. */
  readonly batchRows: number

  constructor(connection: Connection, shape: Shape, encoding: TextEncoding) {
    this.#connection = connection
    this.#encoding = encoding
    this.#table = `main.${quoteName(shape.name)}`
    this.names = carriedColumns(shape).map(({ name }) => name)
    const keys = shape.key.map((column) => ({
      name: quoteName(column.name),
      collate: shape.columns[column.at]?.collation === column.collation ? '' : ` COLLATE ${column.collation}`,
    }))
    this.#where = (place, from) =>
      keys.map(({ name, collate }, at) => `${name}${collate} = ${place(from + at)}`).join(' AND ')
    // An explicit OR would also override the clauses inside the application's triggers.
    this.#or = shape.resolves ? ' OR ABORT' : ''
    const read = (mode: ReadMode) =>
      new Template(
        connection,
        (place) =>
          `SELECT ${selectList('', this.names, mode)} FROM ${this.#table} WHERE ${this.#where(place, 0)}`,
      )
    this.#reads = { fast: read('fast'), exact: read('exact') }
    this.#delete = new Template(
      connection,
      (place) => `DELETE FROM ${this.#table} WHERE ${this.#where(place, 0)}`,
    )
    this.#insertAll = this.#insertOf(this.names)
    this.batchRows = Math.floor(BATCH_PARAMETERS / Math.max(1, this.names.length))
  }

  /** Null when there is no row. */
  read(key: Bounds): Fields | null {
    for (const mode of ['fast', 'exact'] as const) {
      const row = this.#readIn(mode, key)
      if (row === undefined) return null
      if (row === 'too big') continue
      const fields = decodeFields(row, 0, this.names, mode, this.#encoding)
      if (fields !== undefined) return fields
    }
    throw new Unfit('a value cannot be read')
  }

  #readIn(mode: ReadMode, key: Bounds): SqlRow | undefined | 'too big' {
    try {
      const row = this.#reads[mode].get(key)
      // With this driver a row with a text of that size looks like none (I1); the other mode does not ask for the text.
      const maybeTooBig = row === undefined && mode === 'fast' && this.#connection.driver === 'node-sqlite'
      return maybeTooBig ? 'too big' : row
    } catch (error) {
      if (mode === 'fast' && isTooBig(error)) return 'too big'
      throw error
    }
  }

  /**
   * Inserts a row; columns that `fields` lacks get their defaults. False when a trigger of the application let it
   * fall. Throws `Unfit` for values SQLite does not have, and what SQLite throws.
   */
  insert(fields: Fields): boolean {
    let lacks = false
    for (const name of this.names) if (fields[name] === undefined) lacks = true
    if (!lacks) return this.#insertAll.run(this.#bind(fields, this.names)).changes > 0
    const names = this.names.filter((name) => fields[name] !== undefined)
    const template = cached(this.#inserts, names.join('\0'), () => this.#insertOf(names))
    return template.run(this.#bind(fields, names)).changes > 0
  }

  /** Inserts so many whole rows, the values of each in the order of `names`. Answers how many stand. */
  insertMany(values: SqlValue[], rows: number): number {
    let template = this.#insertMany.get(rows)
    if (template === undefined) this.#insertMany.set(rows, (template = this.#insertOf(this.names, rows)))
    return template.run({ values, casts: [] }).changes
  }

  /** Sets the named columns. False when there is no row, or a trigger let it fall. */
  update(key: Bounds, fields: Fields, names: readonly string[]): boolean {
    const template = cached(this.#updates, names.join('\0'), () => this.#updateOf(names))
    return template.run(pushBounds(this.#bind(fields, names), key)).changes > 0
  }

  delete(key: Bounds): boolean {
    return this.#delete.run(key).changes > 0
  }

  #bind(fields: Fields, names: readonly string[]): Bounds {
    const bounds = newBounds()
    for (const name of names) {
      const value = fields[name]
      if (value === undefined || !pushValue(bounds, value, this.#encoding))
        throw new Unfit('a value that SQLite does not have')
    }
    return bounds
  }

  #insertOf(names: readonly string[], rows = 1): Template {
    const into = `INSERT${this.#or} INTO ${this.#table}`
    if (names.length === 0) return new Template(this.#connection, () => `${into} DEFAULT VALUES`)
    const list = names.map(quoteName).join(', ')
    return new Template(
      this.#connection,
      (place) => `${into} (${list}) VALUES ${placesOfRows(rows, names.length, place)}`,
    )
  }

  #updateOf(names: readonly string[]): Template {
    return new Template(this.#connection, (place) => {
      const set = names.map((name, at) => `${quoteName(name)} = ${place(at)}`).join(', ')
      return `UPDATE${this.#or} ${this.#table} SET ${set} WHERE ${this.#where(place, names.length)}`
    })
  }
}

function cached(templates: Map<string, Template>, signature: string, make: () => Template): Template {
  const known = templates.get(signature)
  if (known !== undefined) return known
  const template = make()
  if (templates.size < MAX_COLUMN_SETS) templates.set(signature, template)
  return template
}
