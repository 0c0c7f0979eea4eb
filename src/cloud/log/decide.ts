import { hlcClamp } from '../../kernel/hlc.ts'
import { sameValue, type Fields } from '../../kernel/values.ts'
import type { PushResult } from '../../protocol/push.ts'
import type { Change, Claims, WireRecord } from '../../protocol/records.ts'
import { settleClaims, type Taken } from './claims.ts'
import { changeFault, sizeFault, type Fault } from './faults.ts'
import {
  ageOf,
  claimValue,
  claimVersion,
  listClaims,
  mergedRecord,
  NO_CLAIMS,
  tombstone,
  wholeRecord,
  type Claim,
  type Standing,
  type StandingClaims,
} from './standing.ts'

/** The time of a row that is offered again as it was: the first moment there was. An edit is later. */
const UNEDITED_HLC = 1

/** One mutation, all its parts together. */
export interface Mutation {
  readonly replica: string
  readonly force: boolean
  readonly changes: readonly Change[]
}

/** The space as it is, read under its lock. */
export interface SpaceView {
  readonly head: number
  /** Tombstones up to this version may be gone. */
  readonly floor: number
  /** The cloud's clock, milliseconds. */
  readonly now: number
  /** The row as it stands, a tombstone too; null when there is neither. */
  readonly standing: (table: string, key: string) => Standing | null
  /** The key of the row that holds a unique value. */
  readonly holder: (table: string, index: string, value: string) => string | null
}

export interface Decision {
  /** The head after the writes. */
  readonly head: number
  /** One for each change, in order. */
  readonly results: readonly PushResult[]
  /** In version order. */
  readonly writes: readonly Write[]
}

export interface Write {
  readonly before: Standing | null
  readonly after: Standing
  /** The JSON of the record's fields; null for a tombstone. */
  readonly text: string | null
}

/** A change that its own row allows; unique values are judged after. */
interface Plan {
  readonly change: Change
  readonly before: Standing | null
  /** Null: the row is deleted. `set` are the fields that get the new version, `text` the JSON of `fields`. */
  readonly live: { readonly fields: Fields; readonly set: Fields; readonly text: string } | null
  /** Nothing of the row as it was is left. */
  readonly whole: boolean
  readonly hlc: number
  /** The row holds fields that the replica has not seen. */
  readonly unseen: boolean
  readonly lost: Fields | null
  /** Offered again where nothing is, and where a deletion of it would be forgotten by now. */
  readonly forgotten?: boolean
}

type Verdict = { readonly answer: PushResult } | { readonly plan: Plan }

/**
 * Decides one mutation. Pure: what is accepted at which version, and what every change is answered.
 *
 * | change          | nothing there             | tombstone                     | live row                             |
 * |-----------------|---------------------------|-------------------------------|--------------------------------------|
 * | put, base 0     | inserted                  | conflict (`force`: inserted)  | conflict                             |
 * | put, base b     | conflict, `current: null` | inserted if not newer than b  | merged if no field it sets is newer than b |
 * | put, `force`    | conflict, `current: null` | conflict (fields are missing) | each field: the newer time           |
 * | put, `was` w    | inserted (`forgotten` where a tombstone of it may be gone) | in place of what is not newer than b, or was offered with less than w     ||
 * | delete          | tombstone                 | nothing to do: ok             | deleted if no field is newer than b (`force`: left, ok) |
 * | delete, `was` w | tombstone                 | as a put with `was`; else nothing to do | as a put with `was`        |
 *
 * A row that was offered again together with an edit gives way to no later offer: the other replica's version of
 * it, however high, has not seen that edit (I7). Its time tells: a row without an edit has `UNEDITED_HLC` at most.
 */
export function decideMutation(mutation: Mutation, view: SpaceView): Decision {
  const verdicts = judgeChanges(mutation, view)
  const taken = judgeClaims(verdicts, view)
  const results: PushResult[] = []
  const writes: Write[] = []
  let head = view.head
  for (const [at, verdict] of verdicts.entries()) {
    const by = taken.get(at)
    if ('answer' in verdict) results.push(verdict.answer)
    else if (by !== undefined) {
      results.push({ status: 'taken', ...by, current: verdict.plan.before?.record ?? null })
    } else {
      const write = carryOut(verdict.plan, ++head, mutation.replica)
      writes.push(write)
      results.push(accepted(verdict.plan, write.after.record))
    }
  }
  return { head, results, writes }
}

/**
 * What `decideMutation` comes to for a put with base 0 of a row that is not there, where nobody else has the unique
 * values that it asks for: its time, the JSON of its fields, and its claims. Null when it is refused.
 */
export function decideNewRow(
  change: Change,
  version: number,
  now: number,
): { readonly hlc: number; readonly text: string; readonly claims: StandingClaims } | null {
  if (changeFault(change) !== null) return null
  const text = JSON.stringify(change.fields ?? {})
  if (sizeFault(text) !== null) return null
  const claims = touchClaims(NO_CLAIMS, dropNulls(change.claims), version)
  return { hlc: hlcClamp(change.hlc, now), text, claims }
}

function judgeChanges({ replica, force, changes }: Mutation, view: SpaceView): readonly Verdict[] {
  const rows = new Map<string, Set<string>>()
  return changes.map((change) => {
    const fault = changeFault(change)
    if (fault !== null) return rejected(fault)
    let keys = rows.get(change.table)
    if (keys === undefined) rows.set(change.table, (keys = new Set()))
    if (keys.has(change.key))
      return rejected({ code: 'unprocessable', message: 'the row was changed twice in one mutation' })
    keys.add(change.key)
    const before = view.standing(change.table, change.key)
    const judge = change.op === 'delete' ? judgeDelete : judgePut
    const verdict = judge(change, before, {
      replica,
      force,
      floor: view.floor,
      hlc: hlcClamp(change.hlc, view.now),
    })
    if ('answer' in verdict || verdict.plan.live === null) return verdict
    const size = sizeFault(verdict.plan.live.text)
    return size === null ? verdict : rejected(size)
  })
}

interface Judging {
  readonly replica: string
  readonly force: boolean
  readonly floor: number
  /** The change's time, clamped. */
  readonly hlc: number
}

function judgePut(change: Change, before: Standing | null, judging: Judging): Verdict {
  const set = change.fields ?? {}
  if (before === null) {
    return change.base === 0 || change.was !== undefined ? insert(change, before, judging) : conflict(null)
  }
  const { record } = before
  const offered = change.was !== undefined
  if (offered && !givesWay(before, change)) return conflict(record)
  if (record.deleted === true) {
    const back = offered || record.version <= change.base || (judging.force && change.base === 0)
    return back ? insert(change, before, judging) : conflict(record)
  }
  if (offered) return merge(change, before, set, judging)
  if (change.base === 0 || claimsMoved(before.claims, change)) return conflict(record)
  if (isSeen(record, Object.keys(set), change.base)) return merge(change, before, set, judging)
  return judging.force ? forceMerge(change, before, set, judging) : conflict(record)
}

function judgeDelete(change: Change, before: Standing | null, judging: Judging): Verdict {
  if (before === null) return bury(change, before, judging.hlc)
  const { record } = before
  if (change.was !== undefined && givesWay(before, change)) return bury(change, before, judging.hlc)
  if (record.deleted === true) return { answer: { status: 'ok', version: record.version } }
  if (change.was !== undefined) return conflict(record)
  if (isSeen(record, Object.keys(record.fields ?? {}), change.base)) return bury(change, before, judging.hlc)
  // The edit wins over a delete, and the replica sees the row come back.
  return judging.force
    ? { answer: { status: 'ok', version: record.version, current: record } }
    : conflict(record)
}

/** A row offered again takes the place of what the replica knew, and of a lower offer. */
function givesWay({ record, was }: Standing, change: Change): boolean {
  return record.version <= change.base || (was !== null && change.was !== undefined && was < change.was)
}

const isSeen = (record: WireRecord, columns: readonly string[], base: number): boolean =>
  columns.every((column) => ageOf(record, column)[0] <= base)

/** True when others touched a unique value that the change was made from: the claim in it may be stale. */
function claimsMoved(claims: StandingClaims, change: Change): boolean {
  return Object.keys(change.claims ?? {}).some((index) => claimVersion(claims, index) > change.base)
}

function insert(change: Change, before: Standing | null, { hlc, floor }: Judging): Verdict {
  const fields = change.fields ?? {}
  const live = { fields, set: fields, text: JSON.stringify(fields) }
  const time = Math.max(hlc, before === null ? 0 : before.record.hlc + 1)
  const forgotten = before === null && change.was !== undefined && change.base < floor
  return { plan: { change, before, live, whole: true, hlc: time, unseen: false, lost: null, forgotten } }
}

function bury(change: Change, before: Standing | null, hlc: number): Verdict {
  const columns = Object.keys(before?.record.fields ?? {})
  const time = before === null ? hlc : latestHlc(hlc, before.record, columns)
  return { plan: { change, before, live: null, whole: true, hlc: time, unseen: false, lost: null } }
}

function merge(change: Change, before: Standing, set: Fields, { hlc }: Judging): Verdict {
  const { record } = before
  const fields = { ...record.fields, ...set }
  const unseen = Object.keys(record.fields ?? {}).some(
    (column) => !Object.hasOwn(set, column) && ageOf(record, column)[0] > change.base,
  )
  const live = { fields, set, text: JSON.stringify(fields) }
  return {
    plan: {
      change,
      before,
      live,
      whole: false,
      hlc: latestHlc(hlc, record, Object.keys(set)),
      unseen,
      lost: null,
    },
  }
}

/** Field by field the newer time, of equals the larger replica id. What it overwrites unseen is `lost`. */
function forceMerge(change: Change, before: Standing, set: Fields, judging: Judging): Verdict {
  const { record } = before
  const columns = Object.keys(set)
  const seen = columns.filter((column) => ageOf(record, column)[0] <= change.base)
  const hlc = latestHlc(judging.hlc, record, seen)
  const wins = (column: string): boolean => {
    const [version, time] = ageOf(record, column)
    return version <= change.base || hlc > time || (hlc === time && judging.replica > record.by)
  }
  const winning = pick(set, columns.filter(wins))
  const overwritten = Object.keys(winning).filter(
    (column) => ageOf(record, column)[0] > change.base && !sameValue(record.fields?.[column], set[column]),
  )
  const lost = pick(record.fields ?? {}, overwritten)
  if (Object.keys(winning).length === 0)
    return { answer: { status: 'ok', version: record.version, current: record } }
  const fields = { ...record.fields, ...winning }
  const live = { fields, set: winning, text: JSON.stringify(fields) }
  return { plan: { change, before, live, whole: false, hlc, unseen: true, lost } }
}

/** A time after that of every field it replaces: what was seen is older, whatever the clocks say. */
export function latestHlc(hlc: number, record: WireRecord, columns: readonly string[]): number {
  return columns.reduce((time, column) => Math.max(time, ageOf(record, column)[1] + 1), hlc)
}

function judgeClaims(verdicts: readonly Verdict[], view: SpaceView): ReadonlyMap<number, Taken> {
  const claimants: {
    at: number
    table: string
    key: string
    takes: readonly Claim[]
    gives: readonly Claim[]
  }[] = []
  for (const [at, verdict] of verdicts.entries()) {
    if ('answer' in verdict) continue
    const { change, before } = verdict.plan
    const had = before?.claims ?? NO_CLAIMS
    const has = claimsAfter(verdict.plan, 0)
    if (had === has) continue
    const gives = listClaims(had).filter(({ index, value }) => claimValue(has, index) !== value)
    const takes = listClaims(has).filter(({ index, value }) => claimValue(had, index) !== value)
    if (takes.length > 0 || gives.length > 0)
      claimants.push({ at, table: change.table, key: change.key, takes, gives })
  }
  const taken = new Map<number, Taken>()
  if (claimants.length === 0) return taken
  for (const [place, by] of settleClaims(claimants, view.holder).entries()) {
    const at = claimants[place]?.at
    if (by !== null && at !== undefined) taken.set(at, by)
  }
  return taken
}

function claimsAfter({ change, before, live, whole }: Plan, version: number): StandingClaims {
  if (live === null) return NO_CLAIMS
  if (whole || before === null) return touchClaims(NO_CLAIMS, dropNulls(change.claims), version)
  return touchClaims(before.claims, change.claims, version)
}

/** A value let go of stays as null: its version still tells that others touched it. */
function touchClaims(kept: StandingClaims, touched: Claims | undefined, version: number): StandingClaims {
  if (touched === undefined) return kept
  const entries = Object.entries(touched).map(([index, value]) => [index, [value, version] as const] as const)
  return entries.length === 0 ? kept : { ...kept, ...Object.fromEntries(entries) }
}

/** A row that is inserted has let nothing go. */
function dropNulls(claims: Claims | undefined): Claims | undefined {
  return claims && Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== null))
}

function carryOut(plan: Plan, version: number, by: string): Write {
  const { change, before, live, hlc } = plan
  const { table, key, sealed } = change
  const how = { version, hlc, by, sealed }
  // An edit makes the row this history's own: no other offer replaces it unseen.
  const was = change.was !== undefined && change.hlc <= UNEDITED_HLC ? change.was : null
  const claims = claimsAfter(plan, version)
  if (live === null) return { before, after: { record: tombstone(table, key, how), was, claims }, text: null }
  const record =
    plan.whole || before === null
      ? wholeRecord(table, key, live.fields, how)
      : mergedRecord(before.record, live.fields, live.set, how)
  return { before, after: { record, was, claims }, text: live.text }
}

function accepted({ unseen, lost, forgotten }: Plan, record: WireRecord): PushResult {
  if (forgotten === true) return { status: 'ok', version: record.version, forgotten }
  if (!unseen) return { status: 'ok', version: record.version }
  const some = lost !== null && Object.keys(lost).length > 0
  return { status: 'ok', version: record.version, current: record, ...(some ? { lost } : {}) }
}

const conflict = (current: WireRecord | null): Verdict => ({ answer: { status: 'conflict', current } })
const rejected = (fault: Fault): Verdict => ({ answer: { status: 'rejected', ...fault } })

const pick = (fields: Fields, columns: readonly string[]): Fields =>
  Object.fromEntries(
    columns
      .filter((column) => Object.hasOwn(fields, column))
      .map((column) => [column, fields[column] ?? null]),
  )
