import type { Connection, Statement } from '../driver/driver.ts'
import { WAITING_TABLE } from './names.ts'

/** Rows that wait for a person, in the inbox or the quarantine: their marks are off, the marks' times are here. */
export class Waiting {
  readonly #read: Statement
  readonly #write: Statement
  readonly #remove: Statement
  readonly #any: Statement
  readonly #list: Statement
  readonly #clear: Statement
  readonly #empty = new Map<number, boolean>()

  constructor(connection: Connection) {
    this.#read = connection.prepare(`SELECT at FROM ${WAITING_TABLE} WHERE number = ? AND key = ?`)
    this.#write = connection.prepare(
      `INSERT INTO ${WAITING_TABLE} (number, key, at) VALUES (?, ?, ?) ON CONFLICT (number, key) DO UPDATE SET at = excluded.at`,
    )
    this.#remove = connection.prepare(`DELETE FROM ${WAITING_TABLE} WHERE number = ? AND key = ?`)
    this.#any = connection.prepare(`SELECT 1 FROM ${WAITING_TABLE} WHERE number = ? LIMIT 1`)
    this.#list = connection.prepare(`SELECT key, at FROM ${WAITING_TABLE} WHERE number = ?`)
    this.#clear = connection.prepare(`DELETE FROM ${WAITING_TABLE} WHERE number = ?`)
  }

  /** Another transaction has begun. */
  forget(): void {
    this.#empty.clear()
  }

  /** True when no row of the table waits; asked once in a transaction, since it stands before every lookup. */
  isEmpty(table: number): boolean {
    let empty = this.#empty.get(table)
    if (empty === undefined) this.#empty.set(table, (empty = this.#any.get(BigInt(table)) === undefined))
    return empty
  }

  /** Null when the row does not wait. */
  readTime(table: number, key: string): number | null {
    if (this.isEmpty(table)) return null
    const row = this.#read.get(BigInt(table), key)
    return row === undefined ? null : Number(row[0])
  }

  add(table: number, key: string, at: number): void {
    this.#empty.set(table, false)
    this.#write.run(BigInt(table), key, BigInt(at))
  }

  remove(table: number, key: string): void {
    if (!this.isEmpty(table)) this.#remove.run(BigInt(table), key)
  }

  /** By key. */
  times(table: number): ReadonlyMap<string, number> {
    if (this.isEmpty(table)) return new Map()
    return new Map(this.#list.all(BigInt(table)).map(([key, at]) => [String(key), Number(at)]))
  }

  removeAll(table: number): void {
    this.#clear.run(BigInt(table))
  }
}
