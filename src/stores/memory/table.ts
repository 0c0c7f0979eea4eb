import { createHash } from 'node:crypto'

import type { Hlc } from '../../kernel/hlc.ts'
import { keyOf, type Collation } from '../../kernel/keys.ts'
import type { Encoded, Fields } from '../../kernel/values.ts'
import { claimOf } from '../../protocol/claims.ts'
import type { SchemaTable, SchemaUnique } from '../../protocol/schema.ts'
import { columnDefault } from './column-default.ts'
import { type Journal, JournalCell, JournalMap } from './journal.ts'
import { integerOf, isOfType } from './storage-class.ts'
import { saysNothing, UNKNOWN, type RowState } from './row-state.ts'

/** What a table of the file is made of; the snapshot of one. */
export interface TableContent {
  readonly schema: SchemaTable
  readonly rows: ReadonlyMap<string, Fields>
  readonly marks: ReadonlyMap<string, Hlc>
  readonly states: ReadonlyMap<string, RowState>
  readonly parked: ReadonlyMap<string, true>
  readonly held: ReadonlyMap<string, true>
  readonly tombstones: ReadonlyMap<string, true>
  readonly unkeyed: ReadonlyMap<string, true>
  /** The largest integer key ever given. */
  readonly largest: bigint
}

/**
 * One table: the application's rows under their canonical keys, who holds which unique value, the marks that
 * writes left, and what was agreed with the cloud. It keeps the indexes right and enforces nothing by itself.
 */
export class MemoryTable {
  readonly schema: SchemaTable
  /** Columns that are stored, in the table's order. */
  readonly columns: readonly string[]
  readonly defaults: Fields
  readonly rows: JournalMap<Fields>
  readonly marks: JournalMap<Hlc>
  readonly #states: JournalMap<RowState>
  /** Keys with a parked record, and keys that are held. */
  readonly parked: JournalMap<true>
  readonly held: JournalMap<true>
  /** Keys agreed to be deleted. */
  readonly tombstones: JournalMap<true>
  /** Rows with a NULL in the key: they have no canonical one and leave no marks. */
  readonly unkeyed: JournalMap<true>
  readonly largest: JournalCell<bigint>
  readonly #collations: ReadonlyMap<string, Collation>
  /** Claim → canonical value → key of the row that holds it. */
  readonly #holders = new Map<string, JournalMap<string>>()

  constructor(journal: Journal, content: TableContent | SchemaTable) {
    const given = 'rows' in content ? content : null
    this.schema = 'rows' in content ? content.schema : content
    const stored = this.schema.columns.filter(({ generated }) => generated === undefined)
    this.columns = stored.map(({ name }) => name)
    this.defaults = Object.fromEntries(stored.map((column) => [column.name, columnDefault(column)]))
    this.#collations = new Map(stored.map(({ name, collation }) => [name, collationOf(collation)]))
    this.rows = new JournalMap(journal, given?.rows)
    this.marks = new JournalMap(journal, given?.marks)
    this.#states = new JournalMap(journal, given?.states)
    this.parked = new JournalMap(journal, given?.parked)
    this.held = new JournalMap(journal, given?.held)
    this.tombstones = new JournalMap(journal, given?.tombstones)
    this.unkeyed = new JournalMap(journal, given?.unkeyed)
    this.largest = new JournalCell(journal, given?.largest ?? 0n)
    for (const { claim } of this.schema.unique) {
      const holders = new Map<string, string>()
      for (const [key, row] of this.rows.entries()) {
        const value = this.claimsOf(row)[claim]
        if (typeof value === 'string') holders.set(value, key)
      }
      this.#holders.set(claim, new JournalMap(journal, holders))
    }
  }

  share(): TableContent {
    return {
      schema: this.schema,
      rows: this.rows.share(),
      marks: this.marks.share(),
      states: this.#states.share(),
      parked: this.parked.share(),
      held: this.held.share(),
      tombstones: this.tombstones.share(),
      unkeyed: this.unkeyed.share(),
      largest: this.largest.get(),
    }
  }

  get name(): string {
    return this.schema.name
  }

  /** The canonical key of a row, null when a key value is null. */
  keyOf(fields: Fields): string | null {
    const values = this.schema.key.map((name) => fields[name] ?? null)
    if (values.includes(null)) return null
    return keyOf(
      values,
      this.schema.key.map((name, at) => {
        const own = this.schema.keyCollations?.[at]
        return own === undefined ? (this.#collations.get(name) ?? 'BINARY') : collationOf(own)
      }),
    )
  }

  /** The canonical values of `columns`, as the table compares them; null when one of them is null. */
  textOf(columns: readonly string[], values: readonly Encoded[]): string | null {
    if (values.includes(null)) return null
    return keyOf(
      values,
      columns.map((name) => this.#collations.get(name) ?? 'BINARY'),
    )
  }

  state(key: string): RowState {
    return this.#states.get(key) ?? UNKNOWN
  }

  stateKeys(): IterableIterator<string> {
    return this.#states.keys()
  }

  setState(key: string, state: RowState): void {
    if (saysNothing(state)) this.#states.delete(key)
    else this.#states.set(key, state)
    setMember(this.parked, key, state.parked !== null)
    setMember(this.held, key, state.heldAt !== null)
    setMember(this.tombstones, key, state.agreed === 'deleted')
  }

  /** Writes a row under its key; no other row may hold its unique values (`blockersOf`). */
  put(key: string, row: Fields): void {
    this.drop(key)
    this.rows.set(key, row)
    if (isUnkeyed(key)) this.unkeyed.set(key, true)
    for (const [claim, value] of Object.entries(this.claimsOf(row))) {
      if (value !== null) this.#holders.get(claim)?.set(value, key)
    }
    if (this.schema.rowidAlias === true) {
      const id = integerOf(row[this.schema.key[0] ?? ''])
      if (id !== null && id > this.largest.get()) this.largest.set(id)
    }
  }

  drop(key: string): void {
    const row = this.rows.get(key)
    if (row === undefined) return
    this.rows.delete(key)
    this.unkeyed.delete(key)
    for (const [claim, value] of Object.entries(this.claimsOf(row))) {
      if (value !== null) this.#holders.get(claim)?.delete(value)
    }
  }

  /** Other rows that hold a unique value of this one: claim → key. */
  blockersOf(key: string, row: Fields): ReadonlyMap<string, string> {
    const blockers = new Map<string, string>()
    for (const [claim, value] of Object.entries(this.claimsOf(row))) {
      const holder = value === null ? undefined : this.#holders.get(claim)?.get(value)
      if (holder !== undefined && holder !== key) blockers.set(claim, holder)
    }
    return blockers
  }

  /** Unique index → the canonical value that a row holds in it, null when it holds none. */
  claimsOf(row: Fields): { readonly [claim: string]: string | null } {
    const claims: { [claim: string]: string | null } = {}
    for (const index of this.schema.unique) claims[index.claim] = this.#claimOf(index, row)
    return claims
  }

  #claimOf(index: SchemaUnique, row: Fields): string | null {
    const values = index.terms.map(({ column }) => row[column ?? ''] ?? null)
    const collations = index.terms.map(({ column, collation }) =>
      collation === undefined ? (this.#collations.get(column ?? '') ?? 'BINARY') : collationOf(collation),
    )
    return claimOf(values, collations, sha256)
  }

  /** The rule of its own that a row breaks, other rows apart; null when it can stand. */
  faultOf(row: Fields): { readonly rule: 'not null' | 'type'; readonly column: string } | null {
    const { columns, key, rowidAlias, withoutRowid, strict } = this.schema
    for (const { name, notNull, type, generated } of columns) {
      if (generated !== undefined) continue
      const value = row[name] ?? null
      if (rowidAlias === true && name === key[0] && integerOf(value) === null) {
        return { rule: 'type', column: name }
      }
      const needed = notNull === true || (withoutRowid === true && key.includes(name))
      if (value === null && needed) return { rule: 'not null', column: name }
      if (strict === true && value !== null && !isOfType(value, type)) return { rule: 'type', column: name }
    }
    return null
  }
}

/** True for the place of a row with a NULL in its key. */
export const isUnkeyed = (key: string): boolean => key.startsWith('#')

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

function setMember(set: JournalMap<true>, key: string, isMember: boolean): void {
  if (isMember === set.has(key)) return
  if (isMember) set.set(key, true)
  else set.delete(key)
}

/** The name of a collation as the kernel knows it. */
export function collationOf(name: string | undefined): Collation {
  const upper = name?.toUpperCase()
  return upper === 'NOCASE' || upper === 'RTRIM' ? upper : 'BINARY'
}
