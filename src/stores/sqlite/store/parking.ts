import type { WireRecord } from '../../../protocol/records.ts'
import type { Connection, SqlRow, Statement } from '../driver/driver.ts'
import { numbersOf, PARKED_TABLE } from './names.ts'

/** A record of the cloud that cannot stand in its table now. */
export interface Parked {
  readonly record: WireRecord
  readonly reason: string
  /** The version it had in a lost history: it is offered again although it does not stand. */
  readonly was: number | null
  /** It is of a lost history and is not offered, because a local row stands at its key. */
  readonly lost: boolean
  /** It was parked when a hydrate that sweeps began, and the cloud has not shown it since. */
  readonly unseen: boolean
}

/** Parked records, by table and key. */
export class Parking {
  readonly #read: Statement
  readonly #write: Statement
  readonly #keep: Statement
  readonly #remove: Statement
  readonly #any: Statement
  readonly #list: Statement
  readonly #listOffered: Statement
  readonly #listTriable: Statement
  readonly #clear: Statement
  readonly #expect: Statement
  readonly #see: Statement
  readonly #removeUnseen: Statement
  /** Of tables that have any. */
  #numbers: Set<number> | null = null
  readonly #tables: Statement

  constructor(connection: Connection) {
    const columns = 'record, reason, was, lost, unseen'
    this.#read = connection.prepare(`SELECT ${columns} FROM ${PARKED_TABLE} WHERE number = ? AND key = ?`)
    this.#write = connection.prepare(
      `INSERT OR REPLACE INTO ${PARKED_TABLE} (number, key, ${columns}, rule) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    this.#keep = connection.prepare(
      `UPDATE ${PARKED_TABLE} SET reason = ?, rule = ? WHERE number = ? AND key = ?`,
    )
    this.#remove = connection.prepare(`DELETE FROM ${PARKED_TABLE} WHERE number = ? AND key = ?`)
    this.#any = connection.prepare(numbersOf(PARKED_TABLE))
    this.#list = connection.prepare(
      `SELECT ${columns}, key FROM ${PARKED_TABLE} WHERE number = ? ORDER BY key LIMIT ?`,
    )
    this.#listTriable = connection.prepare(
      `SELECT ${columns}, key FROM ${PARKED_TABLE} WHERE number = ? AND (rule IS NULL OR rule <> ?) ORDER BY key`,
    )
    this.#listOffered = connection.prepare(
      `SELECT ${columns}, key FROM ${PARKED_TABLE} WHERE number = ? AND was IS NOT NULL`,
    )
    this.#expect = connection.prepare(
      `UPDATE ${PARKED_TABLE} SET unseen = 1 WHERE number = ? AND record ->> '$.version' <= ?`,
    )
    this.#see = connection.prepare(`UPDATE ${PARKED_TABLE} SET unseen = 0 WHERE number = ? AND key = ?`)
    this.#removeUnseen = connection.prepare(
      `DELETE FROM ${PARKED_TABLE} WHERE number = ? AND unseen = 1 AND was IS NULL`,
    )
    this.#clear = connection.prepare(`DELETE FROM ${PARKED_TABLE} WHERE number = ?`)
    this.#tables = connection.prepare(`SELECT number, count(*) FROM ${PARKED_TABLE} GROUP BY number`)
  }

  /** Another transaction has begun. */
  forget(): void {
    this.#numbers = null
  }

  /** True when nothing of the table is parked; asked once in a transaction, since it stands before every lookup. */
  isEmpty(table: number): boolean {
    this.#numbers ??= new Set(this.#any.all().map(([number]) => Number(number)))
    return !this.#numbers.has(table)
  }

  read(table: number, key: string): Parked | null {
    if (this.isEmpty(table)) return null
    const row = this.#read.get(BigInt(table), key)
    return row === undefined ? null : decode(row)
  }

  /** `rule`: the shape of a table whose own rules refuse the row, whatever other rows there are; else null. */
  write(
    table: number,
    key: string,
    { record, reason, was, lost, unseen }: Parked,
    rule: string | null,
  ): void {
    const at = was === null ? null : BigInt(was)
    this.#numbers?.add(table)
    this.#write.run(
      BigInt(table),
      key,
      JSON.stringify(record),
      reason,
      at,
      lost ? 1n : 0n,
      unseen ? 1n : 0n,
      rule,
    )
  }

  /** It was tried again, and still cannot stand. */
  keep(table: number, key: string, reason: string, rule: string | null): void {
    this.#keep.run(reason, rule, BigInt(table), key)
  }

  remove(table: number, key: string): void {
    if (!this.isEmpty(table)) this.#remove.run(BigInt(table), key)
  }

  /** By key. */
  list(table: number, limit = -1): readonly (Parked & { readonly key: string })[] {
    return this.#list
      .all(BigInt(table), BigInt(limit))
      .map((row) => ({ ...decode(row), key: String(row[5]) }))
  }

  /** Those that may be able to stand now: other rows were in the way, or the table was another one. */
  listTriable(table: number, rule: string): readonly (Parked & { readonly key: string })[] {
    if (this.isEmpty(table)) return []
    return this.#listTriable.all(BigInt(table), rule).map((row) => ({ ...decode(row), key: String(row[5]) }))
  }

  /** Those of a lost history that are offered again. */
  listOffered(table: number): readonly (Parked & { readonly key: string })[] {
    if (this.isEmpty(table)) return []
    return this.#listOffered.all(BigInt(table)).map((row) => ({ ...decode(row), key: String(row[5]) }))
  }

  /** A hydrate that sweeps begins: what is parked at or below its head has not come yet. */
  expectAll(table: number, head: number): void {
    if (!this.isEmpty(table)) this.#expect.run(BigInt(table), BigInt(head))
  }

  /** The cloud still has it. */
  see(table: number, key: string): void {
    if (!this.isEmpty(table)) this.#see.run(BigInt(table), key)
  }

  /** What did not come goes; what is offered to the cloud stays. */
  removeUnseen(table: number): void {
    if (!this.isEmpty(table)) this.#removeUnseen.run(BigInt(table))
  }

  /** How many, by number of the table; tables without any are left out. */
  counts(): ReadonlyMap<number, number> {
    return new Map(this.#tables.all().map(([table, count]) => [Number(table), Number(count)]))
  }

  removeAll(table: number): void {
    this.#clear.run(BigInt(table))
  }
}

const decode = (row: SqlRow): Parked => ({
  record: JSON.parse(String(row[0])) as WireRecord,
  reason: String(row[1]),
  was: row[2] == null ? null : Number(row[2]),
  lost: row[3] === 1n,
  unseen: row[4] === 1n,
})
