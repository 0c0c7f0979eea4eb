import { quoteName, type Connection } from '../driver/driver.ts'
import { FLAG_TABLE, TABLES_TABLE } from './names.ts'

const FLAG = quoteName(FLAG_TABLE)
const TABLES = quoteName(TABLES_TABLE)

export const FLAG_SQL = `CREATE TABLE ${FLAG} ("id" INTEGER PRIMARY KEY, "applying" INTEGER, "floor" INTEGER, "journal" TEXT, "number" INTEGER)`
export const TABLES_SQL = `CREATE TABLE ${TABLES} ("number" INTEGER PRIMARY KEY, "name" TEXT NOT NULL UNIQUE, "sweep" INTEGER NOT NULL)`

/** True when the two tables are there and the flag has its row: without it no trigger would mark anything. */
export function hasFlag(connection: Connection): boolean {
  const count = `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('${FLAG_TABLE}', '${TABLES_TABLE}')`
  return connection.value(count) === 2n && connection.value(`SELECT 1 FROM ${FLAG} WHERE "id" = 1`) === 1n
}

/** Makes both tables where they are missing, and the flag's row. */
export function makeFlag(connection: Connection): void {
  connection.exec(FLAG_SQL.replace('CREATE TABLE', 'CREATE TABLE IF NOT EXISTS'))
  connection.exec(TABLES_SQL.replace('CREATE TABLE', 'CREATE TABLE IF NOT EXISTS'))
  connection.exec(
    `INSERT INTO ${FLAG} ("id", "applying", "floor", "number")` +
      ` SELECT 1, 0, 0, ifnull((SELECT max("number") FROM ${TABLES}), 0)` +
      ` WHERE NOT EXISTS (SELECT 1 FROM ${FLAG} WHERE "id" = 1)`,
  )
}

/**
 * Inside a transaction of the store: triggers stay silent until it is set back. Throws `invariant`-coded
 * errors of the driver when nothing is attached.
 */
export function setApplying(connection: Connection, on: boolean): void {
  connection.exec(`UPDATE ${FLAG} SET "applying" = ${on ? 1 : 0} WHERE "id" = 1`)
}

/** Marks from now on are later than `hlc` (`kernel/hlc.ts`). Never goes back. */
export function raiseFloor(connection: Connection, hlc: number): void {
  connection.prepare(`UPDATE ${FLAG} SET "floor" = max("floor", ?) WHERE "id" = 1`).run(BigInt(hlc))
}

/** Tables with a number, also those that the application has dropped since. */
export function listCaptured(
  connection: Connection,
): readonly { readonly number: number; readonly name: string }[] {
  if (!hasFlag(connection)) return []
  const rows = connection.prepare(`SELECT "number", "name" FROM ${TABLES} ORDER BY "number"`).all()
  return rows.map(([number, name]) => ({ number: Number(number), name: String(name) }))
}

/** Gives tables their numbers: the one that a table has, or the next. */
export function numbering(connection: Connection): (name: string) => number {
  const known = connection.prepare(`SELECT "number" FROM ${TABLES} WHERE "name" = ?`)
  const last = connection.prepare(`SELECT "number" FROM ${FLAG} WHERE "id" = 1`)
  const count = connection.prepare(`UPDATE ${FLAG} SET "number" = ? WHERE "id" = 1`)
  const give = connection.prepare(`INSERT INTO ${TABLES} ("number", "name", "sweep") VALUES (?, ?, 0)`)
  return (name) => {
    const own = known.get(name)
    if (own !== undefined) return Number(own[0])
    const number = BigInt(Number(last.get()?.[0] ?? 0) + 1)
    count.run(number)
    give.run(number, name)
    return Number(number)
  }
}

/** Tables in which rows may have been displaced without a mark; the question is then taken as answered. */
export function takeSweeps(connection: Connection): readonly string[] {
  const rows = connection.prepare(`SELECT "name" FROM ${TABLES} WHERE "sweep" = 1`).all()
  if (rows.length > 0) connection.exec(`UPDATE ${TABLES} SET "sweep" = 0 WHERE "sweep" = 1`)
  return rows.map(([name]) => String(name))
}
