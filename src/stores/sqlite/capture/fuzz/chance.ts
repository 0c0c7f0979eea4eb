import { randomInt, type Random } from '../../../../kernel/random.ts'

/** Choices of a generator. */
export class Chance {
  readonly #random: Random
  /** Values that a case prefers; empty: none. */
  palette: readonly string[] = []
  /** One table without hindrances, on which most statements may displace rows. */
  focused = false

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

  /** For ON CONFLICT and OR. */
  resolution(): string {
    return this.focused && this.is(70)
      ? 'REPLACE'
      : this.pick(['REPLACE', 'IGNORE', 'ABORT', 'FAIL', 'ROLLBACK'])
  }

  /** `percent`, or never in a focused case. */
  hinders(percent: number): boolean {
    return this.is(percent) && !this.focused
  }
}
