import { MAX_COLUMNS, MAX_ID_CHARS, MAX_NAME_CHARS, MAX_SPACE_CHARS } from '../../protocol/limits.ts'
import type { HydrateRead, HydrateStart, PullAnswer, ReadAnswer } from '../../protocol/pull.ts'
import type { PushAnswer } from '../../protocol/push.ts'
import type { WireRecord } from '../../protocol/records.ts'
import type { SchemaAnswer } from '../../protocol/schema.ts'
import type { Device, DeviceAnswer, DeviceList, ErrorAnswer, SpaceStatus } from '../../protocol/status.ts'
import {
  anyOf,
  isBoolean,
  isCount,
  isFields,
  isInteger,
  isNull,
  isText,
  isTrue,
  listOf,
  mapOf,
  objectOf,
  pairOf,
  taggedBy,
  text,
} from './shapes.ts'

/** What each answer of the cloud must look like; `answers.test.ts` holds them to the schemas of the protocol. */

export const isId = text(1, MAX_ID_CHARS, /^[A-Za-z0-9._-]+$/)
const isName = text(1, MAX_NAME_CHARS)
const isKey = text(2, 1_024)
const isGeneration = objectOf({ id: isId, start: isCount })
const isCurrentGeneration = objectOf({ id: isId, start: isCount }, { before: listOf(isGeneration) })
const isFieldVersion = pairOf(isCount, isCount)
const areFieldVersions = mapOf(isFieldVersion)

/** By hand, since there are many: a live record has its fields, a deleted one has none. */
export function isWireRecord(value: unknown): value is WireRecord {
  if (!isFields(value)) return false
  const record = value as { readonly [name in keyof WireRecord]: unknown }
  if (!isName(record.table) || !isKey(record.key) || !isId(record.by)) return false
  if (!isCount(record.version) || !isCount(record.hlc)) return false
  if (
    record.deleted === undefined
      ? !isFields(record.fields)
      : record.deleted !== true || record.fields !== undefined
  ) {
    return false
  }
  if (record.since !== undefined && !isFieldVersion(record.since)) return false
  if (record.fieldVersions !== undefined && !areFieldVersions(record.fieldVersions)) return false
  return record.sealed === undefined || isId(record.sealed)
}

const isCurrent = anyOf(isNull, isWireRecord)
const isPushResult = taggedBy('status', {
  ok: objectOf({ version: isCount }, { current: isWireRecord, lost: isFields, forgotten: isTrue }),
  conflict: objectOf({ current: isCurrent }),
  taken: objectOf({ index: isName, by: isKey, current: isCurrent }),
  rejected: objectOf({ code: isText, message: isText }),
})

const isExpression = text(0, 10_000)
const isCollation = text(1, 64)
const areTerms = listOf(
  objectOf({}, { column: isName, expression: isExpression, collation: isCollation, descending: isTrue }),
  1,
  64,
)
const isColumn = objectOf(
  { name: isName, type: text(0, 200) },
  {
    notNull: isTrue,
    collation: isCollation,
    default: isExpression,
    generated: objectOf({ as: isExpression, stored: isBoolean }),
  },
)
const isUnique = objectOf({ claim: isName, terms: areTerms }, { where: isExpression, index: isName })
const isForeignKey = objectOf(
  { columns: listOf(isName, 1), table: isName, references: listOf(isName) },
  { onUpdate: text(0, 32), onDelete: text(0, 32), deferred: isTrue },
)
const isTable = objectOf(
  {
    name: isName,
    columns: listOf(isColumn, 1, MAX_COLUMNS),
    key: listOf(isName, 1, 64),
    unique: listOf(isUnique, 0, 64),
    foreignKeys: listOf(isForeignKey, 0, 256),
  },
  {
    keyCollations: listOf(isCollation, 1, 64),
    rowidAlias: isTrue,
    autoincrement: isTrue,
    withoutRowid: isTrue,
    strict: isTrue,
    indexes: listOf(objectOf({ name: isName, terms: areTerms }, { where: isExpression }), 0, 64),
    checks: listOf(isExpression, 0, 256),
  },
)

type Guard<Answer> = (value: unknown) => value is Answer

const start = { epoch: isId, generation: isCurrentGeneration, head: isCount, floor: isCount, schema: isCount }

export const isPushAnswer = objectOf(
  { epoch: isId, generation: isCurrentGeneration, head: isCount, results: listOf(isPushResult) },
  { staged: isCount },
) as Guard<PushAnswer>
export const isPullAnswer = objectOf({
  ...start,
  records: listOf(isWireRecord),
  next: isCount,
  has_more: isBoolean,
}) as Guard<PullAnswer>
export const isReadAnswer = objectOf({ records: listOf(isCurrent) }) as Guard<ReadAnswer>
export const isHydrateStart = objectOf({ ...start, count: isCount }) as Guard<HydrateStart>
export const isHydrateRead = objectOf({ read: isCount }) as Guard<HydrateRead>
export const isHydrateEnd = objectOf({ end: isTrue }) as Guard<{ readonly end: true }>
export const isSchemaAnswer = objectOf({ schema: isCount, tables: listOf(isTable) }) as Guard<SchemaAnswer>
export const isSpaceStatus = objectOf({
  ...start,
  space: text(1, MAX_SPACE_CHARS, /^[A-Za-z0-9][A-Za-z0-9._:-]*$/),
  records: isCount,
  tombstones: isCount,
  replicas: isCount,
}) as Guard<SpaceStatus>
export const isDevice = objectOf(
  { id: isId, name: isName, platform: isText, created_at: isInteger, last_seen_at: isInteger },
  { deregistered_at: isInteger },
) as Guard<Device>
export const isDeviceAnswer = objectOf({ device: isDevice }, { token: isText }) as Guard<DeviceAnswer>
export const isDeviceList = objectOf({ devices: listOf(isDevice) }) as Guard<DeviceList>
export const isErrorAnswer = objectOf({
  error: objectOf({ code: isText, message: isText, details: isFields, retry: isBoolean }),
}) as Guard<ErrorAnswer>
