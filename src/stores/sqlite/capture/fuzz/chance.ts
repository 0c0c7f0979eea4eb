import { randomInt, type Random } from '../../../../kernel/random.ts'

/** Choices of a generator. */
export class Chance {
  readonly #random: Random
  /** Values that a case prefers; empty: none. */
  palette: readonly string[] = []

  constructor(random: Random) {
    this.#random = random
  }

  /** True in `percent` of a hundred. */
  is(percent: number): boolean {
    return randomInt(this.#random, 100) < percent
  }

  /** From `low` to `high`, both included. */
  int(low: number, high: number): number {
    return low + randomInt(this.#random, high - low + 1)
  }

  pick<T>(items: readonly T[]): T {
    return items[randomInt(this.#random, items.length)] as T
  }

  /** `text` in `percent` of a hundred, else nothing. */
  maybe(percent: number, text: string): string {
    return this.is(percent) ? text : ''
  }

  /** At least one of the items, in their order. */
  some<T>(items: readonly T[]): T[] {
    const chosen = items.filter(() => this.is(50))
    return chosen.length > 0 ? chosen : [this.pick(items)]
  }
}
