import { keyOf, keyValues, MAX_KEY_BYTES, utf8Bytes, type Collation } from '../../../kernel/keys.ts'
import { encodingFault, setOwn, type Encoded, type Fields } from '../../../kernel/values.ts'
import { quoteName, type Connection } from '../driver/driver.ts'
import type { Affinity, Shape } from '../shape/shape.ts'
import type { TextEncoding } from '../values.ts'
import { isKept, isSameKeyValue } from './affinity.ts'
import { newBounds, pushValue, Template, type Bounds } from './bind.ts'
import { codecOf, type Dictionary } from './dictionary.ts'
import type { ImageCodec } from './image.ts'
import { Rows } from './rows.ts'
import { States } from './states.ts'

/** One table under sync: its shape, its rows, what was agreed of them, and how the three are told apart. */
export class SyncedTable {
  readonly connection: Connection
  readonly encoding: TextEncoding
  readonly number: number
  readonly name: string
  readonly shape: Shape
  readonly dictionary: Dictionary
  /** Capture leaves rows unmarked that some unique index displaces: `capture/capture.ts`. */
  readonly sweep: boolean
  readonly codec: ImageCodec
  readonly rows: Rows
  readonly states: States
  /** A write that fails may leave something: `FileShapes.mayFail`, as the schema is now. */
  mayFail = false
  /** Names of the columns that travel. */
  readonly names: readonly string[]
  /** Columns that had other names, which no column bears now. */
  readonly renamed: readonly { readonly name: string; readonly was: readonly string[] }[]
  /** A column has the name of something every object has, `constructor` say. */
  readonly #odd: boolean
  readonly #columns: ReadonlySet<string>
  readonly #affinities: readonly { readonly name: string; readonly affinity: Affinity }[]
  readonly #keyNames: readonly string[]
  /** The key's column, where it has but one. */
  readonly #onlyKey: string | null
  readonly #queries = new Map<string, Template>()
  #defaults: Fields | null = null
  readonly #collations: readonly Collation[]
  /** Whether the column of a key of one column leaves an integer one. */
  readonly #keepsNumbers: boolean
  readonly #isOwnKeyValue: (value: Encoded, at: number) => boolean

  constructor(
    connection: Connection,
    encoding: TextEncoding,
    table: {
      readonly number: number
      readonly shape: Shape
      readonly dictionary: Dictionary
      readonly sweep: boolean
    },
  ) {
    this.connection = connection
    this.encoding = encoding
    this.number = table.number
    this.name = table.shape.name
    this.shape = table.shape
    this.dictionary = table.dictionary
    this.sweep = table.sweep
    this.codec = codecOf(table.dictionary)
    this.rows = new Rows(connection, table.shape, encoding)
    this.states = new States(connection, table.number, table.shape.key.length)
    this.names = this.rows.names
    this.#odd = this.names.some((name) => name in {})
    this.#columns = new Set(this.names)
    this.renamed = table.dictionary.columns.flatMap(({ name, was = [], retired }) => {
      const gone = was.filter((old) => !this.#columns.has(old))
      return retired === true || gone.length === 0 ? [] : [{ name, was: gone }]
    })
    this.#affinities = table.shape.columns
      .filter(({ name, affinity }) => this.#columns.has(name) && affinity !== 'BLOB')
      .map(({ name, affinity }) => ({ name, affinity }))
    this.#keyNames = table.shape.key.map(({ name }) => name)
    this.#onlyKey = this.#keyNames.length === 1 ? (this.#keyNames[0] ?? null) : null
    this.#collations = table.shape.key.map(({ collation }) => collation)
    const affinities = table.shape.key.map(({ at }) => table.shape.columns[at]?.affinity ?? 'BLOB')
    this.#isOwnKeyValue = (value, at) => value !== null && isSameKeyValue(value, affinities[at] ?? 'BLOB')
    this.#keepsNumbers = this.#isOwnKeyValue(1, 0)
  }

  /** Fields from outside, safe to look a column up in. */
  own(fields: Fields): Fields {
    return this.#odd ? Object.assign(Object.create(null) as Fields, fields) : fields
  }

  /**
   * Parameters for a key's text; null when no row of this table can have that key. A replica whose table is another one
   * may know keys that SQLite would find this table's rows by all the same, under another text: `BOB` where the key knows
   * no case, the text `1` where it is a number. Those rows are other records (I1).
   */
  bindKey(key: string): Bounds | null {
    const only = this.#keyNames.length === 1 ? plainInteger(key) : null
    if (only !== null) return this.#keepsNumbers ? { values: [BigInt(only)], casts: [] } : null
    const values = readKey(key)
    if (values?.length !== this.#keyNames.length || !values.every(this.#isOwnKeyValue)) return null
    if (keyOf(values, this.#collations) !== key) return null
    const bounds = newBounds()
    for (const value of values) if (!pushValue(bounds, value, this.encoding)) return null
    return bounds
  }

  /** The canonical key of a row, null when a key column is missing or NULL. */
  keyOf(fields: Fields): string | null {
    const plain = this.#onlyKey === null ? null : this.#plainKey(fields[this.#onlyKey])
    if (plain !== null) return plain
    const values: Encoded[] = []
    for (const name of this.#keyNames) {
      const value = fields[name]
      if (value === undefined || value === null) return null
      values.push(value)
    }
    return keyOf(values, this.#collations)
  }

  /** The canonical key of key values in key order. */
  keyOfValues(values: readonly Encoded[]): string {
    const plain = this.#onlyKey === null ? null : this.#plainKey(values[0])
    return plain ?? keyOf(values, this.#collations)
  }

  /** The commonest keys of one value, in the text that the long way would come to; null for any other. */
  #plainKey(value: Encoded | undefined): string | null {
    if (typeof value === 'number') return `[${value}]`
    return typeof value === 'string' && this.#collations[0] === 'BINARY' ? `[${JSON.stringify(value)}]` : null
  }

  /** The key's columns as SQL, compared as the key's index compares them. */
  keyTerms(alias: string): readonly string[] {
    return this.shape.key.map((column) => {
      const own = this.shape.columns[column.at]?.collation
      return `${alias}.${quoteName(column.name)}${own === column.collation ? '' : ` COLLATE ${column.collation}`}`
    })
  }

  /** A statement of others about this table, kept under a name. */
  query(name: string, build: (place: (at: number) => string) => string): Template {
    const known = this.#queries.get(name)
    if (known !== undefined) return known
    const template = new Template(this.connection, build)
    this.#queries.set(name, template)
    return template
  }

  get keyNames(): readonly string[] {
    return this.#keyNames
  }

  hasColumn(name: string): boolean {
    return this.#columns.has(name)
  }

  /** Fields of columns that the table lacks; null when there are none. */
  extraOf(fields: Fields): Fields | null {
    let extra: { [name: string]: Encoded } | null = null
    for (const name in fields) {
      if (this.#columns.has(name)) continue
      extra ??= {}
      setOwn(extra, name, fields[name] as Encoded)
    }
    return extra
  }

  /** True when the columns' affinities leave every value as it is. */
  keepsValues(fields: Fields): boolean {
    for (const { name, affinity } of this.#affinities) {
      const value = fields[name]
      if (value !== undefined && !isKept(value, affinity)) return false
    }
    return true
  }

  /** What each column is filled with where a row has no value for it. */
  get defaults(): Fields {
    return (this.#defaults ??= Object.fromEntries(
      this.dictionary.columns.filter(({ retired }) => retired !== true).map(({ name, fill }) => [name, fill]),
    ))
  }

  /** True when the key columns' affinities leave the key as it is. */
  keepsKey(fields: Fields): boolean {
    return this.shape.key.every(({ name, at }) => {
      const value = fields[name]
      return value !== undefined && isSameKeyValue(value, this.shape.columns[at]?.affinity ?? 'BLOB')
    })
  }

  /** True when the row has a value for every column. */
  isWhole(fields: Fields): boolean {
    for (const name of this.names) if (fields[name] === undefined) return false
    return true
  }
}

/** The integer in a key of one safe integer, null for every other key. */
function plainInteger(key: string): number | null {
  const first = key.charCodeAt(1)
  if (first !== MINUS && (first < ZERO || first > NINE)) return null
  const value = Number(key.slice(1, -1))
  return Number.isSafeInteger(value) && key === `[${value}]` ? value : null
}

/** The values in a key's text; null when it holds none. Another program may have pushed any text as a key (I9). */
function readKey(key: string): readonly Encoded[] | null {
  try {
    const values = keyValues(key)
    return Array.isArray(values) && values.every((value) => encodingFault(value) === null) ? values : null
  } catch {
    return null
  }
}

const [MINUS, ZERO, NINE] = [45, 48, 57]

/** Past this a key cannot be carried. */
export const isKeyTooLong = (key: string): boolean =>
  key.length * 3 > MAX_KEY_BYTES && utf8Bytes(key) > MAX_KEY_BYTES
