import type { Fields } from '../src/kernel/values.ts'

/**
 * Every write carries a token: a text that names it and nothing else in the whole run. The model knows what
 * each write had seen, and so which token may rightly be gone: only one that a later write saw and replaced.
 */
export class Model {
  readonly #tokens = new Map<string, Token>()
  readonly #deletes: DeleteToken[] = []
  #next = 1
  #now = 0

  /** A fresh token for a cell. */
  mint(replica: string, table: string, column: string): string {
    const id = `${replica}~${this.#next++}~${column}`
    this.#tokens.set(id, {
      id,
      replica,
      table,
      column,
      committed: false,
      at: 0,
      moved: false,
      unsentAgain: new Set(),
      children: [],
      parents: [],
      fate: 'live',
    })
    return id
  }

  get(id: string): Token | undefined {
    return this.#tokens.get(id)
  }

  tokens(): IterableIterator<Token> {
    return this.#tokens.values()
  }

  deletes(): readonly DeleteToken[] {
    return this.#deletes
  }

  /**
   * Learns one transaction of the application from the rows before and after it: what it wrote, and what it
   * had seen of the cells that it replaced.
   */
  learn(replica: string, before: Tables, after: Tables, options: LearnOptions): void {
    this.#now = options.at
    let known: Set<string> | null = null
    const isThere = (id: string): boolean => (known ??= tokensIn(after)).has(id)
    for (const [table, rows] of before) {
      const now = after.get(table)
      for (const [key, row] of rows) {
        const next = now?.get(key)
        if (next === undefined) {
          const hidden = options.hidden?.(table, key)
          const all = { ...hidden?.fields, ...row }
          this.#learnDelete(replica, table, key, all, isThere, hidden?.agreed === true)
        } else if (next !== row) this.#learnUpdate(row, next, options.settled === true)
      }
    }
    for (const [table, rows] of after) {
      const old = before.get(table)
      for (const [key, row] of rows) {
        if (old?.has(key) === true) continue
        for (const id of tokensOf(row)) {
          // A row under another key than before: its values were moved there.
          const token = this.#tokens.get(id)
          if (token?.committed === true) token.moved = true
          this.#commit(id, options.settled === true)
        }
      }
    }
  }

  #learnUpdate(row: Fields, next: Fields, settled: boolean): void {
    for (const [column, value] of Object.entries(next)) {
      const old = row[column]
      if (old === value) continue
      const token = typeof value === 'string' ? this.#tokens.get(value) : undefined
      if (token === undefined || typeof value !== 'string') {
        // A person put back a row from before the column had a value.
        const given = settled && typeof old === 'string' ? this.#tokens.get(old) : undefined
        if (given !== undefined) given.fate = 'settled'
        continue
      }
      const isNew = !token.committed
      this.#commit(value, settled)
      if (typeof old === 'string') this.#supersede(old, token, isNew)
    }
  }

  #learnDelete(
    replica: string,
    table: string,
    key: string,
    row: Fields,
    isThere: (id: string) => boolean,
    agreed: boolean,
  ): void {
    const seen: Token[] = []
    for (const id of tokensOf(row)) {
      const token = this.#tokens.get(id)
      // A key change moves the tokens to another row: they were not deleted.
      if (token !== undefined && !isThere(id)) seen.push(token)
    }
    if (seen.length === 0) return
    const gone: DeleteToken = {
      replica,
      table,
      key,
      seen,
      agreed,
      fate: 'live',
      excused: false,
      buriedAt: null,
    }
    for (const token of seen) token.children.push(gone)
    this.#deletes.push(gone)
  }

  #commit(id: string, settled: boolean): void {
    const token = this.#tokens.get(id)
    if (token === undefined) return
    if (!token.committed) token.at = this.#now
    token.committed = true
    // A person chose a value again: from here on what happens to it is that person's decision.
    if (settled) token.fate = 'settled'
  }

  #supersede(old: string, token: Token, isNew: boolean): void {
    const parent = this.#tokens.get(old)
    if (parent === undefined || parent === token) return
    parent.children.push(token)
    // An old value that a person put back had not seen what it replaced when it was written.
    if (isNew) token.parents.push(parent)
  }

  /** What was thought to be wiped out shows up in the cloud: it had been on its way. */
  revive(record: {
    readonly table: string
    readonly key: string
    readonly fields?: Fields | undefined
  }): void {
    if (record.fields === undefined) {
      for (const gone of this.#deletes) {
        if (gone.fate !== 'destroyed' || gone.table !== record.table || gone.key !== record.key) continue
        gone.fate = 'live'
        this.#reviveAll(gone.seen)
      }
      return
    }
    this.#reviveAll(tokensOf(record.fields).flatMap((id) => this.#tokens.get(id) ?? []))
  }

  /** Learns that the cloud's row went, and with it what these deletes had seen. */
  bury(table: string, key: string, before: Fields, version: number): void {
    for (const gone of this.#deletes) {
      if (gone.buriedAt !== null || gone.key !== key || gone.table !== table) continue
      if (tokensOf(before).some((id) => gone.seen.some((token) => token.id === id))) gone.buriedAt = version
    }
  }

  /** The cloud went back: what it had taken above is another history. */
  unbury(head: number): void {
    for (const gone of this.#deletes) if (gone.buriedAt !== null && gone.buriedAt > head) gone.buriedAt = null
  }

  /** These, and what they had replaced on a disk that never sent it: it is wiped out no more than replaced. */
  #reviveAll(tokens: readonly Token[]): void {
    const stack = [...tokens]
    for (let token = stack.pop(); token !== undefined; token = stack.pop()) {
      if (token.fate !== 'destroyed') continue
      token.fate = 'live'
      stack.push(...token.parents)
    }
  }

  /** A person decided about everything there is: a restored file overwrites the cloud. */
  settleAll(): void {
    for (const token of this.#tokens.values())
      if (token.committed && token.fate === 'live') token.fate = 'settled'
    for (const gone of this.#deletes) if (gone.fate === 'live') gone.fate = 'settled'
  }

  /** Tokens that must be found somewhere: committed, not excused, and not replaced by a write that stands. */
  *owed(): Generator<Token> {
    for (const token of this.#tokens.values()) {
      if (!token.committed || token.fate !== 'live') continue
      if (token.children.some((child) => child.fate !== 'destroyed')) continue
      yield token
    }
  }

  /** True when `late` had seen `early`, directly or through others. */
  hasSeen(late: Token, early: Token): boolean {
    const stack = [...late.parents]
    const met = new Set<Token>()
    for (let token = stack.pop(); token !== undefined; token = stack.pop()) {
      if (token === early) return true
      if (met.has(token)) continue
      met.add(token)
      stack.push(...token.parents)
    }
    return false
  }
}

export interface LearnOptions {
  /** The true time. */
  readonly at: number
  /** A person chose the values. */
  readonly settled?: boolean
  readonly hidden?: (table: string, key: string) => Hidden
}

/** What the application does not see of a row that it deletes. */
export interface Hidden {
  /** The row is agreed with the cloud. */
  readonly agreed: boolean
  /** Values in columns that this replica's version of the application does not have: a delete takes them along. */
  readonly fields: Fields
}

export interface Token {
  readonly id: string
  readonly replica: string
  readonly table: string
  readonly column: string
  committed: boolean
  /** True time of its commit, milliseconds. */
  at: number
  /** Was moved to another row by a change of its key. */
  moved: boolean
  /** Replicas whose file went back to before it was sent: each sends it once more, whatever others did since. */
  readonly unsentAgain: Set<string>
  readonly parents: Token[]
  readonly children: (Token | DeleteToken)[]
  /** `destroyed`: a fault wiped out every place that had it. `settled`: a person decided about it. */
  fate: Fate
}

export type Fate = 'live' | 'destroyed' | 'settled'

export interface DeleteToken {
  readonly replica: string
  readonly table: string
  readonly key: string
  readonly seen: readonly Token[]
  /** The replica had agreed the row with the cloud. */
  readonly agreed: boolean
  fate: Fate
  /** A fault took the knowledge of it from everyone: the row may be back. */
  excused: boolean
  /** The version at which the cloud took it, whatever has come of the row since; null: it has not, or lost it. */
  buriedAt: number | null
}

/** Table → key → row. Rows that did not change are the same objects. */
export type Tables = ReadonlyMap<string, ReadonlyMap<string, Fields>>

function tokensIn(tables: Tables): Set<string> {
  const tokens = new Set<string>()
  for (const rows of tables.values())
    for (const row of rows.values()) for (const id of tokensOf(row)) tokens.add(id)
  return tokens
}

/** The texts in a row that have the form of a token. */
export function tokensOf(fields: Fields): readonly string[] {
  const known = tokensByFields.get(fields)
  if (known !== undefined) return known
  const tokens = Object.values(fields).filter(
    (value) => typeof value === 'string' && isToken(value),
  ) as string[]
  tokensByFields.set(fields, tokens)
  return tokens
}

/** Rows never change: what was found in one once is in it for good. */
const tokensByFields = new WeakMap<Fields, readonly string[]>()

export const isToken = (text: string): boolean => text.includes('~') && /^[a-z0-9-]+~\d+~\w+$/.test(text)
