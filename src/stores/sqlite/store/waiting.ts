import type { Connection, SqlValue, Statement } from '../driver/driver.ts'
import { numbersOf, WAITING_TABLE } from './names.ts'

/** A row that waits, or met something while it did. */
export interface Wait {
  /** Time of the mark that was taken off; null when the row waits no longer. */
  readonly at: number | null
  /**
   * The newest version that it met while it was held, without agreeing on it; 0 when there is none. Until it is
   * settled with the cloud such a row counts as changed, even where it equals its image, which is not the cloud's.
   */
  readonly met: number
}

export const NO_WAIT: Wait = { at: null, met: 0 }

/** Rows that wait for a person, in the inbox or the quarantine: their marks are off, the marks' times are here. */
export class Waiting {
  readonly #read: Statement
  readonly #write: Statement
  readonly #remove: Statement
  readonly #any: Statement
  readonly #list: Statement
  readonly #clear: Statement
  /** Of tables that have any. */
  #numbers: Set<number> | null = null

  constructor(connection: Connection) {
    this.#read = connection.prepare(`SELECT at, met FROM ${WAITING_TABLE} WHERE number = ? AND key = ?`)
    this.#write = connection.prepare(
      `INSERT OR REPLACE INTO ${WAITING_TABLE} (number, key, at, met) VALUES (?, ?, ?, ?)`,
    )
    this.#remove = connection.prepare(`DELETE FROM ${WAITING_TABLE} WHERE number = ? AND key = ?`)
    this.#any = connection.prepare(numbersOf(WAITING_TABLE))
    this.#list = connection.prepare(`SELECT key, at, met FROM ${WAITING_TABLE} WHERE number = ?`)
    this.#clear = connection.prepare(`DELETE FROM ${WAITING_TABLE} WHERE number = ?`)
  }

  /** Another transaction has begun. */
  forget(): void {
    this.#numbers = null
  }

  /** True when no row of the table waits; asked once in a transaction, since it stands before every lookup. */
  isEmpty(table: number): boolean {
    this.#numbers ??= new Set(this.#any.all().map(([number]) => Number(number)))
    return !this.#numbers.has(table)
  }

  read(table: number, key: string): Wait {
    if (this.isEmpty(table)) return NO_WAIT
    const row = this.#read.get(BigInt(table), key)
    return row === undefined ? NO_WAIT : decode(row[0], row[1])
  }

  write(table: number, key: string, { at, met }: Wait): void {
    if (at === null && met === 0) return this.remove(table, key)
    this.#numbers?.add(table)
    this.#write.run(BigInt(table), key, at === null ? null : BigInt(at), BigInt(met))
  }

  remove(table: number, key: string): void {
    if (!this.isEmpty(table)) this.#remove.run(BigInt(table), key)
  }

  /** By key. */
  list(table: number): ReadonlyMap<string, Wait> {
    if (this.isEmpty(table)) return new Map()
    return new Map(this.#list.all(BigInt(table)).map(([key, at, met]) => [String(key), decode(at, met)]))
  }

  removeAll(table: number): void {
    this.#clear.run(BigInt(table))
  }
}

const decode = (at: SqlValue | undefined, met: SqlValue | undefined): Wait => ({
  at: at == null ? null : Number(at),
  met: Number(met ?? 0),
})
