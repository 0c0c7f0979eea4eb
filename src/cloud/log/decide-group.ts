import { TidemarkError } from '../../kernel/errors.ts'
import type { PushResult } from '../../protocol/push.ts'
import { claimId } from './claims.ts'
import { decideMutation, type Mutation, type SpaceView, type Write } from './decide.ts'
import { spaceView, type ClaimPlace, type GroupView } from './group-view.ts'
import { claimValue, listClaims, NO_CLAIMS, rowId, type Standing } from './standing.ts'

/** Who takes a unique value, or lets it go. */
export interface HeldClaim extends ClaimPlace {
  readonly key: string
}

/** A row as a group leaves it. */
export interface FoldedWrite {
  readonly table: string
  readonly key: string
  /** Its version, counted from the head that was decided at. */
  readonly offset: number
  /** As it was read. */
  readonly before: Standing | null
  readonly after: Standing
  /** The JSON of the record's fields; null for a tombstone. */
  readonly text: string | null
}

/** Writes put together, each row once. */
export interface Folded {
  /** Versions given, those that a later write of the same row took the place of included. */
  readonly total: number
  /** In the order of offsets. */
  readonly writes: readonly FoldedWrite[]
  /** Values let go, to be carried out before any is taken. */
  readonly drops: readonly HeldClaim[]
  readonly takes: readonly HeldClaim[]
  /** How the numbers of live rows and of tombstones change, by table. */
  readonly counts: ReadonlyMap<string, { readonly live: number; readonly buried: number }>
}

export interface GroupDecision extends Folded {
  /** For each mutation what it is answered, and the head after it. */
  readonly answers: readonly { readonly head: number; readonly results: readonly PushResult[] }[]
}

/**
 * True for a mutation that may not follow another one in its group. A group is decided before its versions are
 * known; all that may move them is the head, which only rises. A base at or below the view's head is below every
 * version of the group, wherever that begins; one above it is compared with versions that are not known yet. In the
 * first place of a group it meets none of those, and what was read stays at or below the view's head.
 */
export const mustStandAlone = ({ changes }: Pick<Mutation, 'changes'>, head: number): boolean =>
  changes.some(({ base }) => base > head)

/**
 * Decides mutations of one space one after the other, the first at `head`: the view's own, or a later one while what
 * was read still stands. The outcome differs between the two by the versions given alone. Throws `invariant` when a
 * mutation that must stand alone follows another, and when something is asked for that was not read.
 */
export function decideGroup(items: readonly Mutation[], view: GroupView, head: number): GroupDecision {
  const rows = new Map<string, Standing>()
  const holders = new Map<string, string | null>()
  const read = spaceView(view, head)
  const standing: SpaceView['standing'] = (table, key) => {
    const before = read.standing(table, key)
    return rows.get(rowId(table, key)) ?? before
  }
  const holder: SpaceView['holder'] = (table, index, value) => {
    const before = read.holder(table, index, value)
    const now = holders.get(claimId(table, { index, value }))
    return now === undefined ? before : now
  }
  const writes: Write[] = []
  const answers: { readonly head: number; readonly results: readonly PushResult[] }[] = []
  let next = head
  for (const [at, item] of items.entries()) {
    if (at > 0 && mustStandAlone(item, view.head))
      throw new TidemarkError('invariant', 'a mutation with a base above the head follows another')
    const decision = decideMutation(item, { ...read, head: next, standing, holder })
    next = decision.head
    answers.push({ head: next, results: decision.results })
    for (const write of decision.writes) writes.push(write)
    if (at === items.length - 1) break
    // Let go before any is taken: rows of one mutation may swap values.
    for (const { before } of decision.writes) if (before !== null) note(before, null)
    for (const { after } of decision.writes) {
      rows.set(rowId(after.record.table, after.record.key), after)
      note(after, after.record.key)
    }
  }
  return { answers, ...foldWrites(writes, head) }

  function note({ record, claims }: Standing, key: string | null): void {
    for (const claim of listClaims(claims)) holders.set(claimId(record.table, claim), key)
  }
}

/** Writes that follow each other from `head` on, put together: of a row that is written twice only the end counts. */
export function foldWrites(writes: readonly Write[], head: number): Folded {
  const rows = new Map<string, FoldedWrite>()
  for (const { before, after, text } of writes) {
    const { table, key, version } = after.record
    const id = rowId(table, key)
    const earlier = rows.get(id)
    // A map lists in the order of insertion: the row's place is that of its last version.
    if (earlier !== undefined) rows.delete(id)
    const first = earlier === undefined ? before : earlier.before
    rows.set(id, { table, key, offset: version - head, before: first, after, text })
  }
  const drops: HeldClaim[] = []
  const takes: HeldClaim[] = []
  const counts = new Map<string, { live: number; buried: number }>()
  const folded = [...rows.values()]
  for (const { table, key, before, after } of folded) {
    const had = before?.claims ?? NO_CLAIMS
    if (had !== after.claims) {
      for (const { index, value } of listClaims(had))
        if (claimValue(after.claims, index) !== value) drops.push({ table, index, value, key })
      for (const { index, value } of listClaims(after.claims))
        if (claimValue(had, index) !== value) takes.push({ table, index, value, key })
    }
    let count = counts.get(table)
    if (count === undefined) counts.set(table, (count = { live: 0, buried: 0 }))
    count[after.record.deleted === true ? 'buried' : 'live']++
    if (before !== null) count[before.record.deleted === true ? 'buried' : 'live']--
  }
  return { total: writes.length, writes: folded, drops, takes, counts }
}
