import type { Fields } from '../../kernel/values.ts'
import type { FieldVersion, WireRecord } from '../../protocol/records.ts'

/** A row as the log keeps it: what travels, and what only the log needs to know. */
export interface Standing {
  readonly record: WireRecord
  /** The version in a lost history under which it was offered again, while nothing else has changed it since. */
  readonly was: number | null
  readonly claims: StandingClaims
}

/**
 * Unique index → the value the row holds in it (null: none any more), and the version that last touched it.
 * Claims are opaque, and one over two columns may be touched by two replicas whose edits are disjoint: so a
 * claim has a version like a field, or a stale claim would outlive the row it was made from.
 */
export interface StandingClaims {
  readonly [index: string]: readonly [value: string | null, version: number]
}

/** One value of one unique index. */
export interface Claim {
  readonly index: string
  readonly value: string
}

export const NO_CLAIMS: StandingClaims = {}

/** When `index` was last touched in this row; 0: never since it was inserted. */
export function claimVersion(claims: StandingClaims, index: string): number {
  return Object.hasOwn(claims, index) ? (claims[index]?.[1] ?? 0) : 0
}

/** The value the row holds in `index`, null when it holds none. */
export function claimValue(claims: StandingClaims, index: string): string | null {
  return Object.hasOwn(claims, index) ? (claims[index]?.[0] ?? null) : null
}

/** The values a row holds, without those it let go of. */
export function listClaims(claims: StandingClaims): readonly Claim[] {
  if (claims === NO_CLAIMS) return []
  return Object.entries(claims).flatMap(([index, [value]]) => (value === null ? [] : [{ index, value }]))
}

/** One text for a row's place: table names hold no NUL (`faults.ts`). */
export const rowId = (table: string, key: string): string => `${table}\0${key}`

const NEVER: FieldVersion = [0, 0]

/** When `field` was last set; never, where the row has no such field: an older replica wrote it. */
export function ageOf(record: WireRecord, field: string): FieldVersion {
  if (record.fields === undefined || !Object.hasOwn(record.fields, field)) return NEVER
  // A column may be called `constructor`: only own properties count.
  const named = record.fieldVersions
  if (named !== undefined && Object.hasOwn(named, field)) return named[field] ?? NEVER
  return record.since ?? [record.version, record.hlc]
}

/** What every change leaves on its record. */
export interface Stamp {
  readonly version: number
  readonly hlc: number
  readonly by: string
  readonly sealed: string | undefined
}

/** A live record, every field of which is set now. */
export function wholeRecord(table: string, key: string, fields: Fields, stamp: Stamp): WireRecord {
  const { version, hlc, by, sealed } = stamp
  const record = { table, key, version, hlc, by, fields }
  return sealed === undefined ? record : { ...record, sealed }
}

export function tombstone(table: string, key: string, stamp: Stamp): WireRecord {
  return { table, key, version: stamp.version, hlc: stamp.hlc, by: stamp.by, deleted: true }
}

/**
 * `before` with `fields` in place of its own, of which those in `set` are new. Ages are kept compact: the
 * version that most fields share is `since`, and only the others are named.
 */
export function mergedRecord(before: WireRecord, fields: Fields, set: Fields, stamp: Stamp): WireRecord {
  const sealed = stamp.sealed ?? before.sealed
  const record = wholeRecord(before.table, before.key, fields, { ...stamp, sealed })
  const now: FieldVersion = [stamp.version, stamp.hlc]
  const columns = Object.keys(fields)
  const ages = columns.map((column) => (Object.hasOwn(set, column) ? now : ageOf(before, column)))
  const since = mostCommon(ages) ?? now
  if (ages.every(([version]) => version === stamp.version)) return record
  const named = columns.map((column, at) => [column, ages[at] ?? now] as const)
  const others = named.filter(([, [version]]) => version !== since[0])
  // Built from entries: assigning to `__proto__` would lose a column of that name.
  return { ...record, since, ...(others.length === 0 ? {} : { fieldVersions: Object.fromEntries(others) }) }
}

/** A version has one time, so versions alone are counted; of equals the older. */
function mostCommon(ages: readonly FieldVersion[]): FieldVersion | undefined {
  const counts = new Map<number, number>()
  for (const [version] of ages) counts.set(version, (counts.get(version) ?? 0) + 1)
  let best: FieldVersion | undefined
  let most = 0
  for (const age of ages) {
    const count = counts.get(age[0]) ?? 0
    if (count < most || (count === most && best !== undefined && age[0] >= best[0])) continue
    best = age
    most = count
  }
  return best
}
