import { rowId, type Claim } from './standing.ts'

/** A row of a mutation that would be written: values it takes, and values it held and lets go. */
export interface Claimant {
  readonly table: string
  readonly key: string
  readonly takes: readonly Claim[]
  readonly gives: readonly Claim[]
}

/** The row `by` holds the value. */
export interface Taken {
  readonly index: string
  readonly by: string
}

/**
 * Which rows of one mutation may have the unique values they ask for: null where a row may. The rows are
 * judged together, so that values can be swapped inside a mutation; a row that loses keeps what it held, which
 * may cost others theirs; among rows of the mutation the first in order wins.
 *
 * Three steps, each linear in the claims: rows fall that ask for what a standing row keeps; of rows that ask for
 * the same value all but the first fall; rows whose blocker has fallen since come back. Every `by` names the
 * row that holds the value in the end.
 */
export function settleClaims(
  claimants: readonly Claimant[],
  holder: (table: string, index: string, value: string) => string | null,
): readonly (Taken | null)[] {
  const standing = claimants.map(() => true)
  const places = new Map(claimants.map((row, at) => [rowId(row.table, row.key), at]))
  const given = claimants.map((row) => new Set(row.gives.map((claim) => claimId(row.table, claim))))
  const askers = new Map<string, number[]>()
  const owners = new Map<string, number>()
  for (const [at, row] of claimants.entries()) {
    for (const claim of row.takes) {
      const id = claimId(row.table, claim)
      const list = askers.get(id)
      if (list === undefined) askers.set(id, [at])
      else list.push(at)
    }
  }

  /** A row outside the mutation, or one of it that does not let go, keeps the value. */
  const keeper = (row: Claimant, claim: Claim): string | null => {
    const key = holder(row.table, claim.index, claim.value)
    if (key === null || key === row.key) return null
    const place = places.get(rowId(row.table, key))
    if (place === undefined || standing[place] !== true) return key
    return given[place]?.has(claimId(row.table, claim)) === true ? null : key
  }
  const owner = (row: Claimant, claim: Claim): string | null => {
    const place = owners.get(claimId(row.table, claim))
    if (place === undefined || standing[place] !== true) return null
    const key = claimants[place]?.key ?? null
    return key === row.key ? null : key
  }
  const affected = (row: Claimant): readonly number[] =>
    row.gives.flatMap((claim) => askers.get(claimId(row.table, claim)) ?? [])
  const own = (row: Claimant, at: number): void => {
    for (const claim of row.takes) owners.set(claimId(row.table, claim), at)
  }

  /** What a fallen row held comes back to it, so whoever asked for it is looked at again. */
  const fell = (first: readonly number[]): void => {
    const queue = [...first]
    for (let next = 0; next < queue.length; next++) {
      const at = queue[next] as number
      const row = claimants[at] as Claimant
      if (standing[at] !== true || row.takes.every((claim) => keeper(row, claim) === null)) continue
      standing[at] = false
      for (const other of affected(row)) queue.push(other)
    }
  }

  fell([...claimants.keys()])
  for (const [at, row] of claimants.entries()) {
    if (standing[at] !== true) continue
    if (row.takes.every((claim) => owner(row, claim) === null)) own(row, at)
    else {
      standing[at] = false
      fell(affected(row))
    }
  }
  const fallen = [...claimants.keys()].filter((at) => standing[at] !== true)
  for (let next = 0; next < fallen.length; next++) {
    const at = fallen[next] as number
    const row = claimants[at] as Claimant
    if (standing[at] === true) continue
    if (!row.takes.every((claim) => keeper(row, claim) === null && owner(row, claim) === null)) continue
    standing[at] = true
    own(row, at)
    for (const other of affected(row)) fallen.push(other)
  }

  return claimants.map((row, at) => {
    if (standing[at] === true) return null
    for (const claim of row.takes) {
      const by = keeper(row, claim) ?? owner(row, claim)
      if (by !== null) return { index: claim.index, by }
    }
    return null
  })
}

/** One text for a value of a table's index: neither name holds NUL (`faults.ts`). */
export const claimId = (table: string, claim: Claim): string => `${table}\0${claim.index}\0${claim.value}`
