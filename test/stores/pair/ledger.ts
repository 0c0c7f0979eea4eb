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
  /** Token of a child → token of the row that an application gave it to last. */
  readonly #parents = new Map<string, string>()
  /** Tokens of rows whose key an application changed. */
  readonly #moved = new Set<string>()
  #last = 0

  constructor(schema: PairSchema) {
    this.#schema = schema
  }

  readonly next = (): string => `~${++this.#last}~`

  edit(device: Device, statements: readonly string[]): void {
    const [before, parents, keys] = [this.tokensOf(device), this.#parentsOf(device), this.#keysOf(device)]
    device.edit(statements)
    const after = this.tokensOf(device)
    this.#follow(device, parents, keys)
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

  /** What the transaction said of who belongs to whom. */
  #follow(device: Device, before: ReadonlyMap<string, string>, keys: ReadonlyMap<string, string>): void {
    const now = this.#parentsOf(device)
    for (const [child, parent] of now) if (before.get(child) !== parent) this.#parents.set(child, parent)
    for (const child of before.keys()) if (!now.has(child)) this.#parents.delete(child)
    for (const [token, key] of this.#keysOf(device))
      if ((keys.get(token) ?? key) !== key) this.#moved.add(token)
  }

  /** Token of a child → token of the row that it refers to. */
  #parentsOf({ app }: Device): ReadonlyMap<string, string> {
    const selects = this.#schema.tables.flatMap(({ name, parent }) =>
      parent === null
        ? []
        : `SELECT c.tok, p.tok FROM ${quote(name)} c JOIN ${quote(parent.name)} p ON p.${parent.key[0]?.name ?? ''} = c.parent`,
    )
    if (selects.length === 0) return new Map()
    const rows = app.prepare(selects.join(' UNION ALL ')).all()
    return new Map(rows.map(([child, parent]) => [String(child), String(parent)]))
  }

  #keysOf({ app }: Device): ReadonlyMap<string, string> {
    const selects = this.#schema.tables.map(
      ({ name, key }) => `SELECT tok, ${key[0]?.name ?? ''} FROM ${quote(name)}`,
    )
    const rows = app.prepare(selects.join(' UNION ALL ')).all()
    return new Map(rows.map(([token, key]) => [String(token), String(key)]))
  }

  /**
   * A child that refers to another row than the one it was given to, which still stands: a row moved to a fresh key and
   * left it behind. Left out is what an inbox tells of, and whose key an application changed itself.
   */
  findAdopted(device: Device, texts: string): string | null {
    const there = this.tokensOf(device)
    for (const [child, now] of this.#parentsOf(device)) {
      const parent = this.#parents.get(child)
      if (parent === undefined || parent === now || !there.has(parent)) continue
      if ([child, parent, now].some((token) => this.#moved.has(token))) continue
      if (texts.includes(`"parent"`) && new RegExp(`"columns":\\[[^\\]]*"parent"[^\\n]*${child}`).test(texts))
        continue
      return `${child} was given to ${parent} and now belongs to ${now}`
    }
    return null
  }

  /** Tokens that nobody took away and that are not in `text`. */
  findLost(text: string): readonly string[] {
    return [...this.#written].filter((token) => !this.#superseded.has(token) && !text.includes(token))
  }
}
