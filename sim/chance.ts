import { randomInt, seededRandom, type Random } from '../src/kernel/random.ts'

/** Seeded choices. Every part of a run draws from a stream of its own, so that leaving one action out of a
 * plan disturbs the others as little as possible. */
export interface Chance extends Random {
  /** A whole number in [0, below). */
  int(below: number): number
  /** A whole number in [from, to]. */
  between(from: number, to: number): number
  /** True with this probability. */
  odds(probability: number): boolean
  pick<T>(items: readonly T[]): T
  /** One of the names, by weight. */
  weighted<K extends string>(weights: { readonly [name in K]: number }): K
}

export function createChance(seed: number): Chance {
  const random = seededRandom(seed | 0)
  const int = (below: number) => randomInt(random, below)
  return {
    next: random.next,
    int,
    between: (from, to) => from + int(to - from + 1),
    odds: (probability) => random.next() < probability,
    pick(items) {
      const item = items[int(items.length)]
      if (item === undefined) throw new RangeError('nothing to pick from')
      return item
    },
    weighted(weights) {
      const names = Object.keys(weights) as (keyof typeof weights)[]
      const total = names.reduce((sum, name) => sum + weights[name], 0)
      let left = random.next() * total
      for (const name of names) {
        left -= weights[name]
        if (left < 0) return name
      }
      return names.at(-1) as keyof typeof weights
    },
  }
}

/** A 32-bit seed for a named stream of a run. */
export function streamSeed(seed: number, name: string): number {
  let hash = 0x811c9dc5 ^ seed
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (hash ^ (hash >>> 12)) | 0
}
