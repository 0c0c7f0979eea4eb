import type { Encoded } from '../../../kernel/values.ts'
import type { Connection } from '../driver/driver.ts'
import type { Shape, ShapeColumn } from '../shape/shape.ts'
import { encodeTextBytes, encodeValue, type TextEncoding } from '../values.ts'
import { cellOf, createImageCodec, type ImageCodec } from './image.ts'
import { DICTIONARY_TABLE } from './names.ts'

/** What images of one table are made of. Ids are never given twice. */
export interface Dictionary {
  readonly columns: readonly DictionaryColumn[]
  /** Names and collations of the key that the state table was made for. */
  readonly key: string
  /** Publishes in a row that had to move rows to fresh keys: each widens the spread of the next. */
  readonly rekeys: number
}

export interface DictionaryColumn {
  readonly id: number
  readonly name: string
  /** The column's default when it appeared: what rows agreed before then hold. */
  readonly fill: Encoded
  /** The column is gone; its id stays taken. */
  readonly retired?: true
  /** Names it had before the application renamed it, the last first: older replicas know it by them. */
  readonly was?: readonly string[]
}

/** Columns whose values travel. */
export const carriedColumns = (shape: Shape): readonly ShapeColumn[] =>
  shape.columns.filter((column) => column.generated === null)

export const keySignature = (shape: Shape): string =>
  JSON.stringify(shape.key.map(({ name, collation, at }) => [name, collation, shape.columns[at]?.type ?? '']))

/** The dictionary of a table that was `before`, now that it has this shape. */
export function updateDictionary(
  connection: Connection,
  shape: Shape,
  before: Dictionary | null,
  encoding: TextEncoding,
  isRenamed: (from: DictionaryColumn, to: DictionaryColumn) => boolean = () => false,
): DictionaryChange {
  const carried = carriedColumns(shape)
  const names = new Set(carried.map(({ name }) => name))
  const known = (before?.columns ?? []).map((column): DictionaryColumn =>
    column.retired === true || names.has(column.name) ? column : { ...column, retired: true },
  )
  const live = new Set(known.filter(({ retired }) => retired !== true).map(({ name }) => name))
  const appeared = carried.filter(({ name }) => !live.has(name))
  const fills = readDefaults(connection, appeared, shape.strict, encoding)
  const added = appeared.map(({ name }, at): DictionaryColumn => {
    const column = { id: known.length + at, name, fill: fills[at] ?? null }
    const from = before === null ? undefined : placeHolder(before, carried, name)
    return from !== undefined && isRenamed(from, column)
      ? { ...column, was: [from.name, ...(from.was ?? [])] }
      : column
  })
  const retired = new Set(known.filter((column) => column.retired === true).map(({ name }) => name))
  return {
    dictionary: { columns: [...known, ...added], key: keySignature(shape), rekeys: before?.rekeys ?? 0 },
    appeared: before === null ? [] : added,
    returned: added.filter(({ name }) => retired.has(name)).map(({ name }) => name),
    changed: added.length > 0 || known.some((column, at) => column !== before?.columns[at]),
  }
}

/**
 * The column that stood where a new one stands now, and is gone: `RENAME COLUMN` leaves the others around it as they
 * were. Ids are in the order of the columns, a renamed one has the place of its first name; in a table made anew in
 * another order nothing may be found.
 */
function placeHolder(
  before: Dictionary,
  carried: readonly ShapeColumn[],
  name: string,
): DictionaryColumn | undefined {
  const names = carried.map((column) => column.name)
  const placeOf = ({ id, was = [] }: DictionaryColumn): number =>
    Math.min(id, ...before.columns.filter((other) => was.includes(other.name)).map((other) => other.id))
  const live = before.columns
    .filter(({ retired }) => retired !== true)
    .sort((a, b) => placeOf(a) - placeOf(b))
  const old = live.map((column) => column.name)
  const at = names.indexOf(name)
  const isStaying = (other: string | undefined): boolean =>
    other !== undefined && names.includes(other) && old.includes(other)
  // Counted from the nearest column in front that stayed.
  let steps = 1
  while (at - steps >= 0 && !isStaying(names[at - steps])) steps++
  const from = live[(at - steps < 0 ? -1 : old.indexOf(names[at - steps] ?? '')) + steps]
  return from === undefined || names.includes(from.name) ? undefined : from
}

export interface DictionaryChange {
  readonly dictionary: Dictionary
  /** Columns that rows agreed before do not have in their image. */
  readonly appeared: readonly DictionaryColumn[]
  /** Those of them that had been there and were dropped: what the cloud holds of them was not kept meanwhile. */
  readonly returned: readonly string[]
  readonly changed: boolean
}

export function codecOf(dictionary: Dictionary): ImageCodec {
  const columns = dictionary.columns
    .filter(({ retired }) => retired !== true)
    .map(({ name, id, fill }) => ({ name, id, fill: Uint8Array.from(cellOf(fill)) }))
  return createImageCodec(columns, dictionary.columns.length)
}

/** The defaults of columns, as SQLite itself computes and stores them. */
export function readDefaults(
  connection: Connection,
  columns: readonly ShapeColumn[],
  strict: boolean,
  encoding: TextEncoding,
): readonly Encoded[] {
  return columns.map((column) => {
    if (column.default === null) return null
    // An expression needs the parentheses; a bare word, which stands for itself, does not survive them.
    for (const text of [`(${column.default})`, column.default]) {
      const value = tryDefault(connection, `${column.type} DEFAULT ${text}`, strict, encoding)
      if (value !== undefined) return value
    }
    return null
  })
}

function tryDefault(
  connection: Connection,
  definition: string,
  strict: boolean,
  encoding: TextEncoding,
): Encoded | undefined {
  const table = 'temp._tidemark_default'
  try {
    connection.exec(`CREATE TEMP TABLE _tidemark_default (c ${definition})${strict ? ' STRICT' : ''}`)
  } catch {
    return undefined
  }
  try {
    connection.exec(`INSERT INTO ${table} DEFAULT VALUES`)
    const encoded = encodeValue(connection.value(`SELECT c FROM ${table}`), encoding)
    if (encoded !== undefined) return encoded
    return encodeTextBytes(connection.value(`SELECT CAST(c AS BLOB) FROM ${table}`) as Uint8Array, encoding)
  } catch {
    return undefined
  } finally {
    connection.exec(`DROP TABLE ${table}`)
  }
}

export function createDictionaryTable(connection: Connection): void {
  connection.exec(
    `CREATE TABLE ${DICTIONARY_TABLE} (number INTEGER PRIMARY KEY, columns TEXT NOT NULL, key TEXT NOT NULL, rekeys INTEGER NOT NULL)`,
  )
}

export function readDictionaries(connection: Connection): ReadonlyMap<number, Dictionary> {
  const rows = connection.prepare(`SELECT number, columns, key, rekeys FROM ${DICTIONARY_TABLE}`).all()
  return new Map(
    rows.map(([number, columns, key, rekeys]) => [
      Number(number),
      {
        columns: JSON.parse(String(columns)) as DictionaryColumn[],
        key: String(key),
        rekeys: Number(rekeys),
      },
    ]),
  )
}

export function saveDictionary(connection: Connection, number: number, dictionary: Dictionary): void {
  connection
    .prepare(`INSERT OR REPLACE INTO ${DICTIONARY_TABLE} (number, columns, key, rekeys) VALUES (?, ?, ?, ?)`)
    .run(BigInt(number), JSON.stringify(dictionary.columns), dictionary.key, BigInt(dictionary.rekeys))
}

export function dropDictionary(connection: Connection, number: number): void {
  connection.prepare(`DELETE FROM ${DICTIONARY_TABLE} WHERE number = ?`).run(BigInt(number))
}

/** Publishes in a row before this one that had to move rows of the table to fresh keys; counts this one. */
export function countRekeys(connection: Connection, number: number): number {
  const before = connection
    .prepare(`SELECT rekeys FROM ${DICTIONARY_TABLE} WHERE number = ?`)
    .get(BigInt(number))
  connection
    .prepare(`UPDATE ${DICTIONARY_TABLE} SET rekeys = rekeys + 1 WHERE number = ?`)
    .run(BigInt(number))
  return Number(before?.[0] ?? 0)
}

/** New rows of the table were taken by the cloud: replicas choose the same keys no longer. */
export function calmRekeys(connection: Connection, number: number): void {
  connection
    .prepare(`UPDATE ${DICTIONARY_TABLE} SET rekeys = 0 WHERE number = ? AND rekeys > 0`)
    .run(BigInt(number))
}
