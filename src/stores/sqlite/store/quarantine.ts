import { uuidV7, type Random } from '../../../kernel/random.ts'
import type { QuarantineEntry } from '../../../engine/inbox.ts'
import type { Connection, Statement } from '../driver/driver.ts'
import { QUARANTINE_TABLE } from './names.ts'

export interface Refusal {
  readonly op: 'put' | 'delete'
  readonly code: string
  readonly message: string
}

/** Local changes that the cloud refused for good, or that cannot be carried: one entry for a row. */
export class Quarantine {
  readonly #write: Statement
  readonly #remove: Statement
  readonly #has: Statement
  readonly #any: Statement
  readonly #list: Statement
  readonly #find: Statement
  readonly #clear: Statement
  readonly #count: Statement
  #empty: boolean | null = null

  constructor(connection: Connection) {
    this.#write = connection.prepare(
      `INSERT OR REPLACE INTO ${QUARANTINE_TABLE} (id, number, key, op, code, message, at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
    )
    this.#remove = connection.prepare(`DELETE FROM ${QUARANTINE_TABLE} WHERE number = ? AND key = ?`)
    this.#has = connection.prepare(`SELECT 1 FROM ${QUARANTINE_TABLE} WHERE number = ? AND key = ?`)
    this.#any = connection.prepare(`SELECT 1 FROM ${QUARANTINE_TABLE} LIMIT 1`)
    this.#list = connection.prepare(
      `SELECT id, number, key, op, code, message, at FROM ${QUARANTINE_TABLE} ORDER BY sequence DESC LIMIT ?`,
    )
    this.#find = connection.prepare(`SELECT number, key FROM ${QUARANTINE_TABLE} WHERE id = ?`)
    this.#clear = connection.prepare(`DELETE FROM ${QUARANTINE_TABLE} WHERE number = ?`)
    this.#count = connection.prepare(`SELECT count(*) FROM ${QUARANTINE_TABLE}`)
  }

  add(table: number, key: string, refusal: Refusal, now: number, random: Random): void {
    const { op, code, message } = refusal
    this.#empty = false
    this.#write.run(uuidV7(now, random), BigInt(table), key, op, code, message, BigInt(Math.floor(now)))
  }

  has(table: number, key: string): boolean {
    if (this.isEmpty()) return false
    return this.#has.get(BigInt(table), key) !== undefined
  }

  /** Another transaction has begun. */
  forget(): void {
    this.#empty = null
  }

  isEmpty(): boolean {
    return (this.#empty ??= this.#any.get() === undefined)
  }

  remove(table: number, key: string): void {
    if (!this.isEmpty()) this.#remove.run(BigInt(table), key)
  }

  find(id: string): { readonly table: number; readonly key: string } | null {
    const row = this.#find.get(id)
    return row === undefined ? null : { table: Number(row[0]), key: String(row[1]) }
  }

  /** The newest first. `nameOf` names a table by its number. */
  list(limit: number, nameOf: (table: number) => string): readonly QuarantineEntry[] {
    return this.#list.all(BigInt(limit)).map(([id, table, key, op, code, message, at]) => ({
      id: String(id),
      table: nameOf(Number(table)),
      key: String(key),
      op: op === 'delete' ? 'delete' : 'put',
      code: String(code),
      message: String(message),
      at: Number(at),
    }))
  }

  count(): number {
    return Number(this.#count.get()?.[0] ?? 0)
  }

  removeAll(table: number): void {
    this.#clear.run(BigInt(table))
  }
}
