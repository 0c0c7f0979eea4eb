import type { FieldVersion, WireRecord } from './records.ts'

/** The version and time at which `field` of `record` was last set. */
export function fieldVersion(record: WireRecord, field: string): FieldVersion {
  const own = record.fieldVersions
  // A column may be called `constructor`.
  const known = own !== undefined && Object.hasOwn(own, field) ? own[field] : undefined
  return known ?? record.since ?? [record.version, record.hlc]
}
