import { TidemarkError } from '../../../../kernel/errors.ts'
import { SqliteFailure } from '../../driver/failure.ts'
import { Retreat } from '../retreat.ts'
import { LetFall, Unfit } from '../unfit.ts'
import type { Obstacle } from './target.ts'

/** The transaction is gone: a trigger of the application rolled it back while this row was being written. */
export class RolledBack extends Retreat {
  readonly table: string
  readonly key: string

  constructor(table: string, key: string) {
    super('a trigger of the application rolled the transaction back')
    this.name = 'RolledBack'
    this.table = table
    this.key = key
  }
}

/** Rows that take every transaction back that writes them, by table. */
export type Poison = ReadonlyMap<string, ReadonlySet<string>>

export const isPoisoned = (poison: Poison, table: string, key: string): boolean =>
  poison.get(table)?.has(key) === true

/** Rows of one transaction that may take it back before it is given up. */
const MAX_POISONED_ROWS = 100

/** Runs a transaction, and again without each row that takes it back (I9). */
export function withoutPoison<T>(transaction: (poison: Poison) => T): T {
  const poison = new Map<string, Set<string>>()
  for (let tries = 0; tries <= MAX_POISONED_ROWS; tries++) {
    try {
      return transaction(poison)
    } catch (error) {
      if (!(error instanceof RolledBack)) throw error
      poison.set(error.table, (poison.get(error.table) ?? new Set<string>()).add(error.key))
    }
  }
  throw new TidemarkError('invariant', 'triggers of the application take every transaction back')
}

/** A row stands under the key of a record although nothing is known of it: it must be looked at as an edit. */
export class Unmarked extends Retreat {
  readonly table: string
  readonly key: string

  constructor(table: string, key: string) {
    super('a row stands that was never agreed on')
    this.name = 'Unmarked'
    this.table = table
    this.key = key
  }
}

export type Failure =
  /** Another row of the table holds a unique value. */
  | { readonly kind: 'unique'; readonly obstacle: Obstacle }
  /** Another row has the key itself. */
  | { readonly kind: 'key'; readonly obstacle: Obstacle }
  | { readonly kind: 'other'; readonly obstacle: Obstacle }

/** What a failed write of one row says about that row. Null: it says nothing about it, and must be thrown on. */
export function failureOf(error: unknown): Failure | null {
  if (error instanceof Unfit) return other(error.message, !(error instanceof LetFall))
  if (!(error instanceof SqliteFailure)) return null
  const { constraint, names, sqlite } = error
  const named = names.length === 0 ? '' : `: ${names.join(', ')}`
  switch (constraint) {
    case 'unique':
      return { kind: 'unique', obstacle: { reason: `unique${named}`, own: false } }
    case 'primary-key':
    case 'rowid':
      return { kind: 'key', obstacle: { reason: 'another row has the key', own: false } }
    case 'not-null':
      return other(`not null${named}`, true)
    case 'datatype':
      return other('type: a STRICT column does not take its value', true)
    case 'trigger':
      return other('a trigger of the application refuses it', false)
    case null:
      break
    default:
      return other(error.message, false)
  }
  if (sqlite === 'SQLITE_MISMATCH') return other('type: the integer key does not take its value', true)
  if (sqlite === 'SQLITE_TOOBIG') return other('it is larger than SQLite allows', true)
  // A trigger of the application that does not run here: this row waits, the others must not (I9).
  return sqlite === 'SQLITE_ERROR' ? other('a statement of the application fails on it', false) : null
}

const other = (reason: string, own: boolean): Failure => ({ kind: 'other', obstacle: { reason, own } })
