import type { Fields } from '../../../kernel/values.ts'
import type { FieldVersion, WireRecord } from '../../../protocol/records.ts'
import type { Write } from '../decide.ts'
import { claimValue, listClaims, NO_CLAIMS, type Standing, type StandingClaims } from '../standing.ts'
import type { Names } from './names.ts'
import type { RecordRow, StandingRow, Statements } from './statements.ts'

/** What a record's numbers stand for. */
export interface Legend {
  readonly tables: ReadonlyMap<number, string>
  readonly writers: ReadonlyMap<number, string>
}

export function rowToRecord(row: RecordRow, { tables, writers }: Legend): WireRecord {
  const [version, no, key, writer, hlc, buriedAt, sealed, ages, fields] = row
  const head = { table: tables.get(no) ?? '', key, version, hlc, by: writers.get(writer) ?? '' }
  if (buriedAt !== null) return { ...head, deleted: true }
  return {
    ...head,
    fields: JSON.parse(fields ?? '{}') as Fields,
    ...(ages === null ? {} : parseAges(ages)),
    ...(sealed === null ? {} : { sealed }),
  }
}

export function rowToStanding(row: StandingRow, legend: Legend): Standing {
  const was = row[9]
  const claims = row[10]
  return {
    record: rowToRecord(row as readonly unknown[] as RecordRow, legend),
    was,
    claims: claims === null ? NO_CLAIMS : (JSON.parse(claims) as StandingClaims),
  }
}

interface Ages {
  since?: FieldVersion
  fieldVersions?: { [field: string]: FieldVersion }
}

const parseAges = (ages: string): Ages => JSON.parse(`{${ages}}`) as Ages

/** The reverse of `parseAges`; null when the record has neither. */
export function agesText({ since, fieldVersions }: WireRecord): string | null {
  if (since === undefined) return null
  const named = fieldVersions === undefined ? '' : `,"fieldVersions":${JSON.stringify(fieldVersions)}`
  return `"since":${JSON.stringify(since)}${named}`
}

/** Carries decided writes out: values are let go before any is taken, so that rows can swap them. */
export function writeRecords(
  { statements, names }: { readonly statements: Statements; readonly names: Names },
  space: number,
  writes: readonly Write[],
  now: number,
): void {
  const counts = new Map<number, { live: number; buried: number }>()
  for (const { before, after } of writes) {
    if (before === null || before.claims === after.claims) continue
    const { table, key } = before.record
    for (const { index, value } of listClaims(before.claims)) {
      if (claimValue(after.claims, index) !== value)
        statements.dropClaim.run(names.table(space, table), index, value, key)
    }
  }
  for (const { before, after, text } of writes) {
    const { record, was, claims } = after
    const table = names.table(space, record.table)
    const isLive = record.deleted !== true
    const { version } = record
    const isPlain =
      was === null && claims === NO_CLAIMS && record.since === undefined && record.sealed === undefined
    if (before === null && isPlain && isLive && text !== null) {
      statements.addPlainRecord.run(
        space,
        version,
        names.writer(record.by),
        record.hlc,
        text,
        table,
        record.key,
      )
    } else {
      const values = [
        names.writer(record.by),
        record.hlc,
        isLive ? null : now,
        record.sealed ?? null,
        agesText(record),
        isLive ? text : null,
        was,
        claims === NO_CLAIMS ? null : JSON.stringify(claims),
      ] as const
      if (before === null) statements.addRecord.run(space, version, ...values, table, record.key)
      else statements.replaceRecord.run(space, version, ...values, space, before.record.version)
    }
    if (claims !== before?.claims) {
      for (const { index, value } of listClaims(claims)) {
        if (before !== null && claimValue(before.claims, index) === value) continue
        statements.addClaim.run(table, index, value, record.key)
      }
    }
    let count = counts.get(table)
    if (count === undefined) counts.set(table, (count = { live: 0, buried: 0 }))
    count[isLive ? 'live' : 'buried']++
    if (before !== null) count[before.record.deleted === true ? 'buried' : 'live']--
  }
  for (const [table, { live, buried }] of counts) {
    if (live !== 0 || buried !== 0) statements.countTable.run(live, buried, table)
  }
}
