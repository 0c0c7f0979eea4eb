import Type, { type Static } from 'typebox'

import { MAX_COLUMNS, MAX_TABLES } from './limits.ts'
import { Id, Name, SpaceName, Version } from './records.ts'

/**
 * A space's schema as data. Expressions (defaults, checks, generated columns, partial and expression indexes)
 * travel as SQL text; a replica tries them in an empty, defensive in-memory database before it uses them.
 * There is never free DDL from the cloud.
 */
const Expression = Type.String({ maxLength: 10_000 })
const CollationName = Type.String({ minLength: 1, maxLength: 64 })

export const SchemaColumn = Type.Object(
  {
    name: Name,
    /** The declared type as written; empty when there is none. */
    type: Type.String({ maxLength: 200 }),
    notNull: Type.Optional(Type.Literal(true)),
    collation: Type.Optional(CollationName),
    default: Type.Optional(Expression),
    generated: Type.Optional(
      Type.Object({ as: Expression, stored: Type.Boolean() }, { additionalProperties: false }),
    ),
  },
  { additionalProperties: false },
)
export type SchemaColumn = Static<typeof SchemaColumn>

export const SchemaUnique = Type.Object(
  {
    /** The replica-independent name of the claim: made from terms, collations and condition. */
    claim: Name,
    terms: Type.Array(
      Type.Object(
        {
          column: Type.Optional(Name),
          expression: Type.Optional(Expression),
          collation: Type.Optional(CollationName),
          descending: Type.Optional(Type.Literal(true)),
        },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: 64 },
    ),
    where: Type.Optional(Expression),
    /** The index's own name; absent when it comes from a UNIQUE constraint. */
    index: Type.Optional(Name),
  },
  { additionalProperties: false },
)
export type SchemaUnique = Static<typeof SchemaUnique>

export const SchemaForeignKey = Type.Object(
  {
    columns: Type.Array(Name, { minItems: 1 }),
    table: Name,
    references: Type.Array(Name),
    onUpdate: Type.Optional(Type.String({ maxLength: 32 })),
    onDelete: Type.Optional(Type.String({ maxLength: 32 })),
    deferred: Type.Optional(Type.Literal(true)),
  },
  { additionalProperties: false },
)
export type SchemaForeignKey = Static<typeof SchemaForeignKey>

export const SchemaTable = Type.Object(
  {
    name: Name,
    columns: Type.Array(SchemaColumn, { minItems: 1, maxItems: MAX_COLUMNS }),
    /** Key columns, in key order. */
    key: Type.Array(Name, { minItems: 1, maxItems: 64 }),
    /**
     * How the key compares each of its columns, in key order; absent where every one is compared as its column is
     * elsewhere. Nothing but tables made anew needs it: keys travel folded.
     */
    keyCollations: Type.Optional(Type.Array(CollationName, { minItems: 1, maxItems: 64 })),
    /** The key is an `INTEGER PRIMARY KEY`: replicas may choose the same number for different rows. */
    rowidAlias: Type.Optional(Type.Literal(true)),
    autoincrement: Type.Optional(Type.Literal(true)),
    withoutRowid: Type.Optional(Type.Literal(true)),
    strict: Type.Optional(Type.Literal(true)),
    unique: Type.Array(SchemaUnique, { maxItems: 64 }),
    /** Plain indexes: only worth having, never needed. */
    indexes: Type.Optional(
      Type.Array(
        Type.Object(
          { name: Name, terms: SchemaUnique.properties.terms, where: Type.Optional(Expression) },
          { additionalProperties: false },
        ),
        { maxItems: 64 },
      ),
    ),
    foreignKeys: Type.Array(SchemaForeignKey, { maxItems: 256 }),
    checks: Type.Optional(Type.Array(Expression, { maxItems: 256 })),
  },
  { additionalProperties: false },
)
export type SchemaTable = Static<typeof SchemaTable>

/** PUT /sync/schema: what this replica's tables look like. The cloud joins it with what it has. */
export const SchemaRequest = Type.Object(
  { space: SpaceName, replica: Id, tables: Type.Array(SchemaTable, { maxItems: MAX_TABLES }) },
  { additionalProperties: false },
)
export type SchemaRequest = Static<typeof SchemaRequest>

/** Also the answer of GET /sync/schema. `schema` counts up with every change; 0 is none yet. */
export const SchemaAnswer = Type.Object({ schema: Version, tables: Type.Array(SchemaTable) })
export type SchemaAnswer = Static<typeof SchemaAnswer>

/**
 * The schema of a space when one replica tells its own: tables and columns that are new are added. A table
 * told replaces what was known of it, but keeps the columns that only others know, with the indexes, foreign
 * keys and checks that name them: an older version of an application takes nothing away from a newer one.
 */
export function joinSchemas(
  known: readonly SchemaTable[],
  told: readonly SchemaTable[],
): readonly SchemaTable[] {
  const tables = new Map(known.map((table) => [table.name, table]))
  for (const table of told) {
    const before = tables.get(table.name)
    tables.set(table.name, before === undefined ? table : joinTables(before, table))
  }
  return [...tables.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function joinTables(known: SchemaTable, told: SchemaTable): SchemaTable {
  const names = new Set(told.columns.map((column) => column.name))
  const others = known.columns.filter((column) => !names.has(column.name))
  if (others.length === 0) return told
  const unknown = others.map((column) => column.name)
  const keep = <Part>(part: PartKind<Part>): Part[] => {
    const mine = part.of(told)
    const ids = new Set(mine.map(part.id))
    const theirs = part.of(known).filter((item) => !ids.has(part.id(item)))
    return [...mine, ...theirs.filter((item) => part.texts(item).some((text) => namesAny(text, unknown)))]
  }
  const indexes = keep(INDEXES)
  const checks = keep(CHECKS)
  return {
    ...told,
    columns: [...told.columns, ...others],
    unique: keep(UNIQUE),
    foreignKeys: keep(FOREIGN_KEYS),
    ...(indexes.length > 0 ? { indexes } : {}),
    ...(checks.length > 0 ? { checks } : {}),
  }
}

/** A kind of part that a table has: where it is kept, what tells two apart, and the texts that name columns. */
interface PartKind<Part> {
  readonly of: (table: SchemaTable) => readonly Part[]
  readonly id: (part: Part) => string
  readonly texts: (part: Part) => readonly string[]
}

type SchemaIndex = NonNullable<SchemaTable['indexes']>[number]

const indexTexts = (index: Pick<SchemaUnique, 'terms' | 'where'>) => [
  ...index.terms.map((term) => term.column ?? term.expression ?? ''),
  index.where ?? '',
]
const UNIQUE: PartKind<SchemaUnique> = {
  of: (table) => table.unique,
  id: (unique) => unique.claim,
  texts: indexTexts,
}
const INDEXES: PartKind<SchemaIndex> = {
  of: (table) => table.indexes ?? [],
  id: (index) => index.name,
  texts: indexTexts,
}
const FOREIGN_KEYS: PartKind<SchemaForeignKey> = {
  of: (table) => table.foreignKeys,
  id: (key) => JSON.stringify([key.columns, key.table, key.references]),
  texts: (key) => key.columns,
}
const CHECKS: PartKind<string> = {
  of: (table) => table.checks ?? [],
  id: (check) => check,
  texts: (check) => [check],
}

/** True when the text holds one of the names as a word, whatever its case; expressions are not parsed. */
function namesAny(text: string, names: readonly string[]): boolean {
  const lower = text.toLowerCase()
  return names.some((name) => {
    const word = name.toLowerCase()
    for (let at = lower.indexOf(word); at >= 0; at = lower.indexOf(word, at + 1)) {
      if (!isWordUnit(lower, at - 1) && !isWordUnit(lower, at + word.length)) return true
    }
    return false
  })
}

const isWordUnit = (text: string, at: number) => /[\w$\u0080-\uffff]/.test(text.charAt(at))
