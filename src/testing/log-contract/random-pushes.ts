import { randomInt, type Random } from '../../kernel/random.ts'
import type { Change } from '../../protocol/records.ts'
import { del, put, START, type PushOptions } from './harness.ts'

const pick = <T>(random: Random, items: readonly [T, ...T[]]): T =>
  items[randomInt(random, items.length)] ?? items[0]

/** One change of every kind there is, against whatever stands: most are accepted, some are not. */
function randomChange(random: Random, key: number, head: number): Change {
  const id = `k${key}`
  const table = pick(random, ['t', 'u', 'é"\n'])
  const base = random.next() < 0.6 ? head : random.next() < 0.5 ? 0 : randomInt(random, head + 1)
  const hlc = (START + randomInt(random, 1_000)) * 1_000
  const extra = random.next() < 0.1 ? { table, hlc, was: randomInt(random, 50) + 1 } : { table, hlc }
  if (random.next() < 0.2) return del(id, base, extra)
  const fields: { [column: string]: number } = {}
  for (const column of ['a', 'b', 'constructor', '10', '9'])
    if (base === 0 || random.next() < 0.5) fields[column] = randomInt(random, 5)
  const claim = pick(random, ['v', 'w', 'x', null])
  const change = put(id, base, fields, random.next() < 0.5 ? { ...extra, claims: { unique: claim } } : extra)
  return random.next() < 0.1 ? { ...change, sealed: 'key-1' } : change
}

export interface RandomPush {
  readonly replica: string
  readonly changes: readonly Change[]
  readonly options: PushOptions
}

/** A push of a few rows by one of three replicas. `head` is that of the space. */
export function randomPush(random: Random, head: number): RandomPush {
  const keys = [0, 1, 2, 3, 4, 5, 6, 7].filter(() => random.next() < 0.4)
  return {
    replica: pick(random, ['a', 'b', 'c']),
    changes: keys.map((key) => randomChange(random, key, head)),
    options: random.next() < 0.2 ? { force: true } : {},
  }
}
