import { TidemarkError } from '../../kernel/errors.ts'

/**
 * How to take one transaction back: every write of the file leaves its reverse here. That is what makes each
 * method of the store, and each write of the application, all or nothing.
 */
export class Journal {
  readonly #undo: (() => void)[] = []
  #open = false

  /** Runs `work` as one transaction: what it throws leaves everything as it was. */
  run<T>(work: () => T): T {
    if (this.#open) throw new TidemarkError('invariant', 'a transaction inside a transaction')
    this.#open = true
    try {
      return work()
    } catch (thrown) {
      this.rollbackTo(0)
      throw thrown
    } finally {
      this.#open = false
      this.#undo.length = 0
    }
  }

  /** Writes so far in this transaction; also a savepoint for `rollbackTo`. */
  get writes(): number {
    return this.#undo.length
  }

  /** Takes back everything written since `writes` was `savepoint`. */
  rollbackTo(savepoint: number): void {
    while (this.#undo.length > savepoint) this.#undo.pop()?.()
  }

  record(undo: () => void): void {
    if (!this.#open) throw new TidemarkError('invariant', 'a write outside a transaction')
    this.#undo.push(undo)
  }
}

/** A map whose writes can be taken back, and whose content can be shared with a snapshot without a copy. */
export class JournalMap<V> {
  readonly #journal: Journal
  #map: Map<string, V>
  /** A snapshot holds the same map: it is copied before the next write. */
  #shared: boolean

  constructor(journal: Journal, shared?: ReadonlyMap<string, V>) {
    this.#journal = journal
    this.#map = (shared as Map<string, V> | undefined) ?? new Map<string, V>()
    this.#shared = shared !== undefined
  }

  get size(): number {
    return this.#map.size
  }

  get(key: string): V | undefined {
    return this.#map.get(key)
  }

  has(key: string): boolean {
    return this.#map.has(key)
  }

  keys(): IterableIterator<string> {
    return this.#map.keys()
  }

  entries(): IterableIterator<[string, V]> {
    return this.#map.entries()
  }

  set(key: string, value: V): void {
    const had = this.#map.has(key)
    const before = this.#map.get(key)
    this.#journal.record(() => {
      if (had) this.#own().set(key, before as V)
      else this.#own().delete(key)
    })
    this.#own().set(key, value)
  }

  delete(key: string): void {
    if (!this.#map.has(key)) return
    const before = this.#map.get(key) as V
    this.#journal.record(() => this.#own().set(key, before))
    this.#own().delete(key)
  }

  clear(): void {
    const before = this.#map
    const { size } = before
    if (size === 0) return
    const shared = this.#shared
    this.#journal.record(() => {
      this.#map = before
      this.#shared = shared
    })
    this.#map = new Map()
    this.#shared = false
  }

  /** The content as it is now; later writes do not reach it. */
  share(): ReadonlyMap<string, V> {
    this.#shared = true
    return this.#map
  }

  #own(): Map<string, V> {
    if (this.#shared) {
      this.#map = new Map(this.#map)
      this.#shared = false
    }
    return this.#map
  }
}

/** One value whose writes can be taken back. */
export class JournalCell<V> {
  readonly #journal: Journal
  #value: V

  constructor(journal: Journal, value: V) {
    this.#journal = journal
    this.#value = value
  }

  get(): V {
    return this.#value
  }

  set(value: V): void {
    const before = this.#value
    this.#journal.record(() => {
      this.#value = before
    })
    this.#value = value
  }
}
