import type { Fields } from '../../../kernel/values.ts'
import { keyColumn, markTable } from '../capture/names.ts'
import type { Connection, SqlRow, SqlValue } from '../driver/driver.ts'
import { newBounds, placesOfRows, Template, type Bounds } from './bind.ts'
import { stateTable } from './names.ts'
import { StateFlag } from './state-tables.ts'

/** What a row was agreed to be. */
export interface RowState {
  readonly version: number
  readonly agreed: 'none' | 'live' | 'deleted'
  /** This replica pushed that version itself. */
  readonly own: boolean
  /** Null unless agreed live. */
  readonly image: Uint8Array | null
  /** Fields of columns that the table lacks. */
  readonly extra: Fields | null
  readonly was: number | null
  /** It was agreed when a hydrate that sweeps began, and the cloud has not shown it since. */
  readonly unseen: boolean
}

export const NO_STATE: RowState = {
  version: 0,
  agreed: 'none',
  own: false,
  image: null,
  extra: null,
  was: null,
  unseen: false,
}

const COLUMNS = 'version, agreed, image, extra, was'

/** Names of the state's columns in a select list, for `decodeState`. */
export const stateColumns = (alias: string): string =>
  COLUMNS.split(', ')
    .map((name) => `${alias}${name}`)
    .join(', ')
export const STATE_PLACES = 5

/** A state from a result row; null where a join found none. */
export function decodeState(row: SqlRow, at: number): RowState | null {
  const version = row[at]
  if (version === null || version === undefined) return null
  const flags = Number(row[at + 1])
  const extra = row[at + 3]
  const was = row[at + 4]
  return {
    version: Number(version),
    agreed: (flags & StateFlag.live) !== 0 ? 'live' : (flags & StateFlag.deleted) !== 0 ? 'deleted' : 'none',
    own: (flags & StateFlag.own) !== 0,
    image: row[at + 2] as Uint8Array | null,
    extra: typeof extra === 'string' ? (JSON.parse(extra) as Fields) : null,
    was: was == null ? null : Number(was),
    unseen: (flags & StateFlag.unseen) !== 0,
  }
}

/** The key's parameters and the state's behind them. */
function bindState(key: Bounds, state: RowState): Bounds {
  const flags =
    (state.agreed === 'live' ? StateFlag.live : state.agreed === 'deleted' ? StateFlag.deleted : 0) |
    (state.own ? StateFlag.own : 0) |
    (state.unseen ? StateFlag.unseen : 0)
  const extra = state.extra === null ? null : JSON.stringify(state.extra)
  const was = state.was === null ? null : BigInt(state.was)
  const values: SqlValue[] = [...key.values, BigInt(state.version), BigInt(flags), state.image, extra, was]
  return { values, casts: key.casts }
}

/** Images, versions and marks of one table, by key. */
export class States {
  readonly #read: Template
  readonly #write: Template
  readonly #add: Template
  /** By number of rows. */
  readonly #addLive = new Map<number, Template>()
  readonly #addLiveOf: (rows: number) => Template
  readonly #remove: Template
  readonly #see: Template
  readonly #readMark: Template
  readonly #addMark: Template
  readonly #removeMark: Template
  readonly #removeMarkOf: Template
  readonly #firstMark: Template
  readonly #raiseMarks: Template

  constructor(connection: Connection, number: number, keyLength: number) {
    const keys = Array.from({ length: keyLength }, (_, at) => keyColumn(at))
    const list = keys.join(', ')
    const where = (place: (at: number) => string) =>
      keys.map((key, at) => `${key} = ${place(at)}`).join(' AND ')
    const state = stateTable(number)
    const mark = markTable(number)
    const places = (place: (at: number) => string, more: number) =>
      Array.from({ length: keys.length + more }, (_, at) => place(at)).join(', ')
    const add = (place: (at: number) => string) =>
      `INSERT INTO ${state} (${list}, ${COLUMNS}) VALUES (${places(place, STATE_PLACES)}) ON CONFLICT (${list}) DO`
    const excluded = COLUMNS.split(', ').map((name) => `${name} = excluded.${name}`)
    this.#read = new Template(connection, (place) => `SELECT ${COLUMNS} FROM ${state} WHERE ${where(place)}`)
    this.#add = new Template(connection, (place) => `${add(place)} NOTHING`)
    const width = keys.length + 2
    const live = (rows: number) => (place: (at: number) => string) =>
      placesOfRows(rows, width, (at) =>
        // Behind the version of each row: a literal need not be bound.
        at % width === keys.length ? `${place(at)}, ${StateFlag.live}` : place(at),
      )
    this.#addLiveOf = (rows) =>
      new Template(
        connection,
        (place) => `INSERT INTO ${state} (${list}, version, agreed, image) VALUES ${live(rows)(place)}`,
      )
    this.#write = new Template(connection, (place) => `${add(place)} UPDATE SET ${excluded.join(', ')}`)
    this.#remove = new Template(connection, (place) => `DELETE FROM ${state} WHERE ${where(place)}`)
    this.#see = new Template(
      connection,
      (place) =>
        `UPDATE ${state} SET agreed = agreed & ~${StateFlag.unseen} WHERE ${where(place)} AND agreed & ${StateFlag.unseen}`,
    )
    this.#readMark = new Template(connection, (place) => `SELECT at FROM ${mark} WHERE ${where(place)}`)
    this.#addMark = new Template(
      connection,
      (place) => `INSERT INTO ${mark} (${list}, at) VALUES (${places(place, 1)}) ON CONFLICT DO NOTHING`,
    )
    this.#removeMark = new Template(connection, (place) => `DELETE FROM ${mark} WHERE ${where(place)}`)
    this.#removeMarkOf = new Template(
      connection,
      (place) => `DELETE FROM ${mark} WHERE ${where(place)} AND at = ${place(keys.length)}`,
    )
    this.#raiseMarks = new Template(connection, () => `UPDATE ${mark} SET at = at + 1`)
    this.#firstMark = new Template(connection, () => `SELECT 1 FROM ${mark} LIMIT 1`)
  }

  read(key: Bounds): RowState | null {
    const row = this.#read.get(key)
    return row === undefined ? null : decodeState(row, 0)
  }

  /** A state of no version is none. */
  write(key: Bounds, state: RowState): void {
    if (state.agreed === 'none' && state.was === null && state.extra === null) this.#remove.run(key)
    else this.#write.run(bindState(key, state))
  }

  /** Writes the state of a row that has none; false, without effect, when there is one. */
  add(key: Bounds, state: RowState): boolean {
    return this.#add.run(bindState(key, state)).changes > 0
  }

  /**
   * Writes live states of so many rows that have none: of each its key's parameters, version and image, one row after
   * the other. Throws, without effect, when one of them has a state.
   */
  addLive(values: SqlValue[], rows: number): void {
    let template = this.#addLive.get(rows)
    if (template === undefined) this.#addLive.set(rows, (template = this.#addLiveOf(rows)))
    template.run({ values, casts: [] })
  }

  /** A hydrate that sweeps has met the row. */
  see(key: Bounds): void {
    this.#see.run(key)
  }

  /** The time of the row's mark, null when it has none. */
  readMark(key: Bounds): number | null {
    const row = this.#readMark.get(key)
    return row === undefined ? null : Number(row[0])
  }

  /** An older mark stays as it is: its time is the application's. */
  addMark(key: Bounds, at: number): void {
    this.#addMark.run({ values: [...key.values, BigInt(at)], casts: key.casts })
  }

  removeMark(key: Bounds): void {
    this.#removeMark.run(key)
  }

  /** Removes the mark of that very time: false when there is none, or the row was written again, which raises it. */
  removeMarkOf(key: Bounds, at: number): boolean {
    return this.#removeMarkOf.run({ values: [...key.values, BigInt(at)], casts: key.casts }).changes > 0
  }

  /** Raises the time of every mark by the least there is. */
  raiseMarks(): void {
    this.#raiseMarks.run(newBounds())
  }

  hasMarks(): boolean {
    return this.#firstMark.get(newBounds()) !== undefined
  }
}
