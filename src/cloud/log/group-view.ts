import { TidemarkError } from '../../kernel/errors.ts'
import type { Change } from '../../protocol/records.ts'
import { claimId } from './claims.ts'
import type { SpaceView } from './decide.ts'
import { placeFault } from './faults.ts'
import { rowId, type Claim, type Standing } from './standing.ts'

/** A unique value of a table. */
export interface ClaimPlace extends Claim {
  readonly table: string
}

/** All that deciding some changes can ask for, each once. */
export interface Reads {
  readonly rows: readonly { readonly table: string; readonly key: string }[]
  readonly claims: readonly ClaimPlace[]
}

/** A space as it was read without a lock. What is not in it was not read, and may not be asked for. */
export interface GroupView {
  readonly head: number
  readonly floor: number
  /** The cloud's clock, milliseconds. The same for every decision on this view. */
  readonly now: number
  /** By `rowId`; null: there is neither row nor tombstone. */
  readonly rows: ReadonlyMap<string, Standing | null>
  /** Keys of the rows that hold the values, by `claimId`; null: nobody does. */
  readonly holders: ReadonlyMap<string, string | null>
}

/** What deciding these needs to know. What is refused for its names alone is never looked for: no database takes such text. */
export function readsOf(
  changes: Iterable<Pick<Change, 'table' | 'key'> & Partial<Pick<Change, 'op' | 'claims'>>>,
): Reads {
  const rows = new Map<string, Reads['rows'][number]>()
  const claims = new Map<string, ClaimPlace>()
  for (const change of changes) {
    if (placeFault(change) !== null) continue
    const { table, key } = change
    rows.set(rowId(table, key), { table, key })
    // A row that is deleted asks for nothing.
    if (change.op === 'delete' || change.claims === undefined) continue
    for (const [index, value] of Object.entries(change.claims)) {
      if (value !== null) claims.set(claimId(table, { index, value }), { table, index, value })
    }
  }
  return { rows: [...rows.values()], claims: [...claims.values()] }
}

/**
 * A view of what `reads` named: `standings` and `holders` are in the order of its lists. Throws `invariant` where a row
 * is newer than the head: it was read at another moment, and its version would be taken for one still to be given.
 */
export function toGroupView(
  { head, floor, now }: Pick<GroupView, 'head' | 'floor' | 'now'>,
  reads: Reads,
  standings: readonly (Standing | null)[],
  holders: readonly (string | null)[],
): GroupView {
  const rows = new Map<string, Standing | null>()
  for (const [at, { table, key }] of reads.rows.entries()) {
    const standing = standings[at] ?? null
    if (standing !== null && standing.record.version > head)
      throw new TidemarkError('invariant', 'a row was read that is newer than the head it was read at')
    rows.set(rowId(table, key), standing)
  }
  const held = new Map(reads.claims.map((place, at) => [claimId(place.table, place), holders[at] ?? null]))
  return { head, floor, now, rows, holders: held }
}

/** The view as a decision at `head` looks at it. Throws `invariant` when it asks for what was not read. */
export function spaceView(view: GroupView, head: number): SpaceView {
  return {
    head,
    floor: view.floor,
    now: view.now,
    standing: (table, key) => readValue(view.rows, rowId(table, key), 'row'),
    holder: (table, index, value) =>
      readValue(view.holders, claimId(table, { index, value }), 'unique value'),
  }
}

function readValue<T>(read: ReadonlyMap<string, T>, id: string, what: string): T {
  const value = read.get(id)
  if (value === undefined)
    throw new TidemarkError('invariant', `a decision asked for a ${what} that was not read`)
  return value
}
