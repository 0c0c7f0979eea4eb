import { TidemarkError } from '../../../../kernel/errors.ts'
import { INT64_MAX } from '../../../../kernel/js-forms.ts'
import { randomInt } from '../../../../kernel/random.ts'
import { keyColumn } from '../../capture/names.ts'
import { quoteName } from '../../driver/driver.ts'
import { countRekeys } from '../dictionary.ts'
import { stateTable } from '../names.ts'
import type { Session } from '../session.ts'
import type { SyncedTable } from '../synced-table.ts'

/** Ids between the largest known and the first fresh one, for each row: two replicas may be re-keying at once. */
const SPREAD_PER_ROW = 16
/** How much wider the spread gets with every publish in a row that had to re-key. */
const SPREAD_GROWTH = 4
const MAX_SPREAD = 2 ** 40
/** Two draws of chance below this make a positive integer of 62 bits. */
const HALF = 2 ** 31
const MAX_TRIES = 1_000

/**
 * The first of as many free integer keys in a row: above every key that any row, image, parked record or record of this
 * publication has, and never one given before. Where the keys have come to the end of all numbers, anywhere between.
 */
export function firstFreshId(
  session: Session,
  table: SyncedTable,
  taken: readonly string[],
  rows: number,
): bigint {
  const { connection } = session
  const key = quoteName(table.keyNames[0] ?? '')
  const sources = [
    `SELECT max(${key}) FROM main.${quoteName(table.name)}`,
    `SELECT max(${keyColumn(0)}) FROM ${stateTable(table.number)}`,
  ]
  if (table.shape.autoincrement) sources.push(`SELECT max(seq) FROM main.sqlite_sequence WHERE name = ?`)
  let largest = 0n
  const named = new Set<bigint>()
  const see = (id: unknown): void => {
    if (typeof id === 'bigint' && id > largest) largest = id
  }
  for (const sql of sources) see(connection.prepare(sql).get(...(sql.includes('?') ? [table.name] : []))?.[0])
  for (const text of [...taken, ...session.parking.list(table.number).map((parked) => parked.key)]) {
    const [value] = table.bindKey(text)?.values ?? []
    see(value)
    if (typeof value === 'bigint') named.add(value)
  }
  const rounds = countRekeys(connection, table.number)
  const spread = Math.min(MAX_SPREAD, rows * SPREAD_PER_ROW * SPREAD_GROWTH ** Math.min(rounds, 20))
  const first = largest + 1n + BigInt(randomInt(session.random, spread))
  return first + BigInt(rows) <= INT64_MAX ? first : anyFreeId(session, table, named, BigInt(rows))
}

/** As SQLite itself goes on past its largest row number. */
function anyFreeId(session: Session, table: SyncedTable, named: ReadonlySet<bigint>, rows: bigint): bigint {
  const isUsed = [
    [quoteName(table.keyNames[0] ?? ''), `main.${quoteName(table.name)}`],
    [keyColumn(0), stateTable(table.number)],
  ].map(([key, from]) =>
    session.connection.prepare(`SELECT 1 FROM ${from} WHERE ${key} BETWEEN ? AND ? LIMIT 1`),
  )
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const [high, low] = [randomInt(session.random, HALF), randomInt(session.random, HALF)]
    const first = 1n + BigInt(high) * BigInt(HALF) + BigInt(low)
    const last = first + rows - 1n
    if (isUsed.some((query) => query.get(first, last) !== undefined)) continue
    if ([...named].every((id) => id < first || id > last)) return first
  }
  throw new TidemarkError('invariant', 'no integer key of the table is free')
}
