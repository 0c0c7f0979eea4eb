import Type, { type Static } from 'typebox'

import { MAX_CLAIM_CHARS, MAX_NAME_CHARS, MAX_PUSH_PARTS } from '../../protocol/limits.ts'
import { FieldMap, Generation, Id, Key, Name, Version, WireRecord } from '../../protocol/records.ts'
import { SchemaTable } from '../../protocol/schema.ts'
import type { CopiedRecord, CopiedReplica, CopiedSpace } from '../log/copy.ts'
import { NO_CLAIMS } from '../log/standing.ts'

/**
 * The lines of an exported space (docs/decisions/0006-moving-a-space.md). What a line may hold besides its schema is
 * in `check-lines.ts`.
 */
export const EXPORT_FORMAT = 'tidemark-space'
/** Counts up when an older program can no longer read the lines rightly. */
export const EXPORT_VERSION = 1

const Milliseconds = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
/** Nothing that this program does not know: what it would leave out is lost. */
const CLOSED = { additionalProperties: false } as const

export const HeaderLine = Type.Object(
  {
    format: Type.Literal(EXPORT_FORMAT),
    version: Type.Literal(EXPORT_VERSION),
    epoch: Id,
    generations: Type.Array(Type.Object(Generation.properties, CLOSED), { minItems: 1 }),
    head: Version,
    floor: Version,
    /** A database counts no further. */
    schema: Type.Integer({ minimum: 0, maximum: 2_147_483_647 }),
    tables: Type.Array(SchemaTable),
    records: Version,
    replicas: Version,
  },
  CLOSED,
)
export type HeaderLine = Static<typeof HeaderLine>

const LineClaims = Type.Record(
  Type.String({ minLength: 1, maxLength: MAX_NAME_CHARS }),
  Type.Tuple([Type.Union([Type.String({ maxLength: MAX_CLAIM_CHARS }), Type.Null()]), Version]),
)

export const RecordLine = Type.Object(
  {
    ...WireRecord.properties,
    was: Type.Optional(Version),
    claims: Type.Optional(LineClaims),
    buriedAt: Type.Optional(Milliseconds),
  },
  CLOSED,
)
export type RecordLine = Static<typeof RecordLine>

/** The forms of `kept-answer.ts`. */
const LineAnswer = Type.Array(
  Type.Union([
    Type.Tuple([Type.Literal(0), Version, Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })]),
    Type.Tuple([Type.Literal(1), Version, Name, Key]),
    Type.Tuple([Type.Literal(1), Version, Name, Key, FieldMap]),
    Type.Tuple([Type.Literal(2), Name, Key]),
    Type.Tuple([Type.Literal(3), Name, Key, Type.String(), Type.String()]),
    Type.Tuple([Type.Literal(4), Type.String(), Type.String()]),
    Type.Tuple([Type.Literal(5), Version]),
  ]),
)

export const ReplicaLine = Type.Object(
  {
    replica: Id,
    mutation: Version,
    hashes: Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { maxItems: MAX_PUSH_PARTS }),
    answer: LineAnswer,
    acked: Type.Union([Version, Type.Null()]),
    seen: Milliseconds,
  },
  CLOSED,
)
export type ReplicaLine = Static<typeof ReplicaLine>

const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })

export const EndLine = Type.Object(
  { end: Type.Literal(true), records: Version, replicas: Version, hash: Sha256, sha256: Sha256 },
  CLOSED,
)
export type EndLine = Static<typeof EndLine>

export type ExportLine = HeaderLine | RecordLine | ReplicaLine | EndLine

export function headerLine(space: CopiedSpace): HeaderLine {
  const { epoch, generations, head, floor, schema, tables, records, replicas } = space
  return {
    format: EXPORT_FORMAT,
    version: EXPORT_VERSION,
    epoch,
    generations: generations.map(({ id, start }) => ({ id, start })),
    head,
    floor,
    schema,
    tables: [...tables],
    records,
    replicas,
  }
}

export function recordLine({ record, was, claims, buriedAt }: CopiedRecord): RecordLine {
  return {
    ...record,
    ...(was === null ? {} : { was }),
    ...(claims === NO_CLAIMS || Object.keys(claims).length === 0
      ? {}
      : { claims: claims as RecordLine['claims'] & {} }),
    ...(buriedAt === null ? {} : { buriedAt }),
  }
}

export function lineToRecord({ was, claims, buriedAt, ...record }: RecordLine): CopiedRecord {
  return { record, was: was ?? null, claims: claims ?? NO_CLAIMS, buriedAt: buriedAt ?? null }
}

export function replicaLine(replica: CopiedReplica): ReplicaLine {
  const { id, mutation, hashes, answer, acked, seen } = replica
  return {
    replica: id,
    mutation,
    hashes: [...hashes],
    answer: JSON.parse(answer) as ReplicaLine['answer'],
    acked,
    seen,
  }
}

export function lineToReplica({ replica, answer, ...rest }: ReplicaLine): CopiedReplica {
  return { ...rest, id: replica, answer: JSON.stringify(answer) }
}
