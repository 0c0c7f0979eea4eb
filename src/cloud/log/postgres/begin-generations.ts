import type { Database } from '../../postgres/pool.ts'

const SPACES = 'SELECT no, id FROM tidemark.spaces WHERE no > $1 ORDER BY no LIMIT 1000'
const BEGIN = 'SELECT tidemark.begin_generation_1($1, $2, true)'

/**
 * Begins a generation in every space, whatever its marks say: for an operator who knows of a restore that left none.
 * Each in a transaction of its own, under running nodes. Answers how many spaces there are.
 */
export async function beginGenerations(database: Database, newId: () => string): Promise<number> {
  for (let [count, last] = [0, 0]; ;) {
    const spaces = await database.query<{ readonly no: number; readonly id: string }>(SPACES, [last])
    for (const { id } of spaces) await database.query(BEGIN, [id, newId()])
    count += spaces.length
    const end = spaces.at(-1)
    if (end === undefined) return count
    last = end.no
  }
}
