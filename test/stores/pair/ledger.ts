import type { Device } from './device.ts'
import { quote, type PairSchema } from './schema.ts'

/**
 * What the applications wrote: each value is a token of its own. A token that an application saw and took away is
 * superseded; every other one has to be somewhere in the end (I1).
 */
export class Ledger {
  readonly #schema: PairSchema
  readonly #written = new Set<string>()
  readonly #superseded = new Set<string>()
  #last = 0

  constructor(schema: PairSchema) {
    this.#schema = schema
  }

  readonly next = (): string => `~${++this.#last}~`

  edit(device: Device, statements: readonly string[]): void {
    const before = this.tokensOf(device)
    device.edit(statements)
    const after = this.tokensOf(device)
    for (const token of after) if (!before.has(token)) this.#written.add(token)
    for (const token of before) if (!after.has(token)) this.#superseded.add(token)
  }

  tokensOf({ app }: Device): ReadonlySet<string> {
    const selects = this.#schema.tables.flatMap(({ name }) =>
      ['tok', 'val'].map((column) => `SELECT ${column} FROM ${quote(name)}`),
    )
    return new Set(
      app
        .prepare(selects.join(' UNION ALL '))
        .all()
        .map(([token]) => String(token)),
    )
  }

  /** Tokens that nobody took away and that are not in `text`. */
  findLost(text: string): readonly string[] {
    return [...this.#written].filter((token) => !this.#superseded.has(token) && !text.includes(token))
  }
}
