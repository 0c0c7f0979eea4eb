import type { BatchRow } from '../../../src/cloud/log/log.ts'
import type { Change } from '../../../src/protocol/records.ts'
import { NOW, T0 } from '../../cloud/plain-space.ts'

/** Few of each, so that pushes meet. */
const TABLES = ['t', 'constructor']
const KEYS = ['[1]', '[2]', '[3]', '[4]', '[5]', '[6]']
const COLUMNS = ['a', 'b', 'c', '__proto__']
const INDEXES = ['i', '__proto__']
const VALUES = ['u', 'v', 'w', null]

export type Chance = (below: number) => number

/** The same numbers for the same seed. */
export function chanceOf(seed: number): Chance {
  let state = seed * 2_654_435_761 + 1
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0
    return ((state ^ (state >>> 13)) >>> 0) % below
  }
}

const pick = <T>(chance: Chance, list: readonly T[]): T => list[chance(list.length)] as T
/** From entries: assigning to `__proto__` would lose it. */
const some = <T>(chance: Chance, names: readonly string[], value: () => T, least: number) =>
  Object.fromEntries(
    names.flatMap((name, at) => (at < least || chance(3) === 0 ? [[name, value()] as const] : [])),
  )

/** Where a replica thinks that rows are, and the newest version it has heard of. */
export interface Knowledge {
  readonly rows: ReadonlyMap<string, number>
  readonly head: number
}

export function randomChanges(chance: Chance, { rows, head }: Knowledge): readonly Change[] {
  let token = chance(1_000_000)
  return Array.from({ length: chance(5) }, (): Change => {
    const table = pick(chance, TABLES)
    const key = chance(60) === 0 ? '["\0"]' : pick(chance, KEYS)
    const known = rows.get(`${table}\0${key}`) ?? 0
    // What is honest, then what is not: nothing, older, of before, of a head that is still to come.
    const base = pick(chance, [
      known,
      known,
      known,
      known,
      0,
      Math.max(0, head - chance(6)),
      head + 1 + chance(5),
    ])
    const hlc = pick(chance, [T0 - 5, T0 + chance(40), T0 + 1e12, 1])
    const offered = chance(10) === 0 ? { was: 1 + chance(40) } : {}
    const place = { table, key, base, hlc, ...offered }
    if (chance(5) === 0) return { ...place, op: 'delete' }
    const fields = some(chance, COLUMNS, () => token++, base === 0 ? COLUMNS.length : 1)
    const claims = chance(2) === 0 ? { claims: some(chance, INDEXES, () => pick(chance, VALUES), 1) } : {}
    return { ...place, op: 'put', fields, ...claims }
  })
}

/** Each row tells which batch it is of. */
export const randomBatch = (chance: Chance, batch: number): readonly BatchRow[] =>
  Array.from({ length: 1 + chance(4) }, () => ({
    table: pick(chance, TABLES),
    key: pick(chance, KEYS),
    fields: { batch, a: chance(9) },
    updatedAt: pick(chance, [null, NOW, NOW + chance(50)]),
  }))
