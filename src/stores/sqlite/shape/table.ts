import { createHash } from 'node:crypto'

import type { Collation } from '../../../kernel/keys.ts'
import { MAX_NAME_CHARS } from '../../../protocol/limits.ts'
import type { SchemaColumn, SchemaForeignKey, SchemaTable, SchemaUnique } from '../../../protocol/schema.ts'
import type { CatalogIndex, CatalogTable } from './catalog.ts'
import { readIndexText } from './create-index.ts'
import { readTableText, type TableText } from './create-table.ts'
import { readDefault, readExpression } from './expression.ts'
import type {
  Affinity,
  IndexTerm,
  KeyColumn,
  Shape,
  ShapeColumn,
  ShapeForeignKey,
  ShapeIndex,
} from './shape.ts'
import { tokenize } from './tokens.ts'

/** Joins what PRAGMAs and the text say of a table. Null when the two do not fit together. */
export function toShape(table: CatalogTable): Shape | null {
  const text = readTableText(table.sql)
  if (text === null || text.columns.length !== table.columns.length) return null
  const columns = readColumns(table, text)
  const indexes = table.indexes
    .filter((index) => index.origin !== 'pk')
    .map((index) => readIndex(index, table))
  if (columns === null || !indexes.every((index) => index !== null)) return null
  const names = columns.map((column) => column.name)
  const keyIndex = table.indexes.find((index) => index.origin === 'pk')
  const base = {
    name: table.name,
    columns,
    key: readKey(table, keyIndex),
    rowidAlias: keyIndex === undefined && !table.withoutRowid,
    autoincrement: text.autoincrement,
    withoutRowid: table.withoutRowid,
    strict: table.strict,
    resolves: text.resolves,
    unique: indexes.filter((_, at) => isUnique(table, at)),
    indexes: indexes.filter((_, at) => !isUnique(table, at)),
    foreignKeys: readForeignKeys(table, text),
    referenced: table.referenced,
    checks: text.checks.map((tokens) => readExpression(tokens, names, table.name).text),
    triggers: table.triggers,
    sql: table.sql,
  }
  const hiddenRowid = base.rowidAlias || base.withoutRowid ? null : findRowidName(names)
  const schema = toSchemaTable(base)
  const fingerprint = hashOf([
    schema,
    hiddenRowid,
    base.unique.map((index) => [index.name, index.constraint]),
    base.key.map(({ collation, nullable }) => [collation, nullable]),
    base.resolves,
  ])
  return { ...base, hiddenRowid, table: schema, fingerprint }
}

const isUnique = (table: CatalogTable, at: number): boolean =>
  table.indexes.filter((index) => index.origin !== 'pk')[at]?.unique === true

function readColumns(table: CatalogTable, text: TableText): readonly ShapeColumn[] | null {
  const names = table.columns.map((column) => column.name)
  const columns: ShapeColumn[] = []
  for (const [at, column] of table.columns.entries()) {
    const written = text.columns[at]
    if (written === undefined || written.name !== column.name) return null
    if ((column.generated !== 'no') !== (written.generated !== null)) return null
    columns.push({
      name: column.name,
      type: column.type,
      affinity: affinityOf(column.type, table.strict),
      collation: written.collation?.toUpperCase() ?? 'BINARY',
      notNull: column.notNull,
      default: defaultText(column.default),
      generated:
        written.generated === null
          ? null
          : {
              as: readExpression(written.generated, names, table.name).text,
              stored: column.generated === 'stored',
            },
    })
  }
  return columns
}

/** The rule of SQLite's own documentation, section "Determination Of Column Affinity". */
export function affinityOf(type: string, strict: boolean): Affinity {
  const upper = type.toUpperCase()
  if (strict && upper === 'ANY') return 'BLOB'
  if (upper.includes('INT')) return 'INTEGER'
  if (/CHAR|CLOB|TEXT/.test(upper)) return 'TEXT'
  if (upper === '' || upper.includes('BLOB')) return 'BLOB'
  return /REAL|FLOA|DOUB/.test(upper) ? 'REAL' : 'NUMERIC'
}

function defaultText(text: string | null): string | null {
  const tokens = text === null ? null : tokenize(text)
  if (tokens === null || tokens.length === 0) return null
  const portable = readDefault(tokens).text
  return portable.toUpperCase() === 'NULL' ? null : portable
}

function readKey(table: CatalogTable, index: CatalogIndex | undefined): readonly KeyColumn[] {
  const terms =
    index?.terms ??
    table.columns
      .filter((column) => column.pk > 0)
      .sort((a, b) => a.pk - b.pk)
      .map((column) => ({ column: column.name, collation: 'BINARY' }))
  const alias = index === undefined && !table.withoutRowid
  return terms.map((term): KeyColumn => {
    const at = table.columns.findIndex((column) => column.name === term.column)
    return {
      name: term.column ?? '',
      at,
      collation: term.collation.toUpperCase() as Collation,
      nullable: !alias && !table.withoutRowid && table.columns[at]?.notNull !== true,
    }
  })
}

function readIndex(index: CatalogIndex, table: CatalogTable): ShapeIndex | null {
  const names = table.columns.map((column) => column.name)
  const text = index.sql === null ? null : readIndexText(index.sql)
  if (index.sql !== null && text?.terms.length !== index.terms.length) return null
  const terms: IndexTerm[] = index.terms.map((term, at) => ({
    column: term.column,
    expression: term.column === null ? readExpression(text?.terms[at] ?? [], names, table.name).text : null,
    collation: term.collation.toUpperCase(),
    descending: term.descending,
  }))
  if (terms.some((term) => term.expression === '')) return null
  const where = text?.where == null ? null : readExpression(text.where, names, table.name).text
  return { name: index.name, claim: claimName(terms, where), terms, where, constraint: index.origin === 'u' }
}

/** The same in every replica, whatever the index is called there: terms, collations, condition. */
export function claimName(terms: readonly IndexTerm[], where: string | null): string {
  const plain = (name: string): string =>
    /^[A-Za-z_]\w*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
  const listed = terms.map((term) => {
    const what = term.column === null ? `(${term.expression ?? ''})` : plain(term.column)
    return term.collation === 'BINARY' ? what : `${what} COLLATE ${term.collation}`
  })
  const name = `${listed.join(', ')}${where === null ? '' : ` WHERE ${where}`}`
  return name.length <= MAX_NAME_CHARS ? name : `sha256:${createHash('sha256').update(name).digest('hex')}`
}

function readForeignKeys(table: CatalogTable, text: TableText): readonly ShapeForeignKey[] {
  const last = table.foreignKeys.length - 1
  return [...table.foreignKeys]
    .sort((a, b) => b.id - a.id)
    .map(({ id, columns, table: to, references, onUpdate, onDelete }) => ({
      columns,
      table: to,
      references,
      onUpdate,
      onDelete,
      deferred: text.deferred[last - id] === true,
    }))
}

function findRowidName(columns: readonly string[]): string | null {
  const taken = new Set(columns.map((name) => name.toLowerCase()))
  return ['rowid', '_rowid_', 'oid'].find((name) => !taken.has(name)) ?? null
}

type BareShape = Omit<Shape, 'hiddenRowid' | 'table' | 'fingerprint'>

function toSchemaTable(shape: BareShape): SchemaTable {
  const unique = new Map(shape.unique.map((index) => [index.claim, toSchemaUnique(index)]))
  const plain = shape.indexes.map((index) => ({
    name: index.name,
    terms: index.terms.map(toSchemaTerm),
    ...when('where', index.where),
  }))
  return {
    name: shape.name,
    columns: shape.columns.map(toSchemaColumn),
    key: shape.key.map((column) => column.name),
    ...(hasOwnCollation(shape) ? { keyCollations: shape.key.map(({ collation }) => collation) } : {}),
    ...(shape.rowidAlias ? { rowidAlias: true } : {}),
    ...(shape.autoincrement ? { autoincrement: true } : {}),
    ...(shape.withoutRowid ? { withoutRowid: true } : {}),
    ...(shape.strict ? { strict: true } : {}),
    unique: [...unique.values()].sort((a, b) => (a.claim < b.claim ? -1 : 1)),
    ...(plain.length === 0 ? {} : { indexes: plain.sort((a, b) => (a.name < b.name ? -1 : 1)) }),
    foreignKeys: shape.foreignKeys.map(toSchemaForeignKey),
    ...(shape.checks.length === 0 ? {} : { checks: [...shape.checks] }),
  }
}

const hasOwnCollation = ({ key, columns, rowidAlias }: BareShape): boolean =>
  !rowidAlias && key.some(({ at, collation }) => columns[at]?.collation !== collation)

function toSchemaColumn(column: ShapeColumn): SchemaColumn {
  return {
    name: column.name,
    type: column.type,
    ...(column.notNull ? { notNull: true } : {}),
    ...(column.collation === 'BINARY' ? {} : { collation: column.collation }),
    ...when('default', column.default),
    ...(column.generated === null ? {} : { generated: column.generated }),
  }
}

function toSchemaUnique(index: ShapeIndex): SchemaUnique {
  return {
    claim: index.claim,
    terms: index.terms.map(toSchemaTerm),
    ...when('where', index.where),
    ...(index.constraint ? {} : { index: index.name }),
  }
}

function toSchemaTerm(term: IndexTerm): SchemaUnique['terms'][number] {
  return {
    ...when('column', term.column),
    ...when('expression', term.expression),
    ...(term.collation === 'BINARY' ? {} : { collation: term.collation }),
    ...(term.descending ? { descending: true } : {}),
  }
}

function toSchemaForeignKey(foreignKey: ShapeForeignKey): SchemaForeignKey {
  const action = (text: string): string | null => (text === 'NO ACTION' ? null : text)
  return {
    columns: [...foreignKey.columns],
    table: foreignKey.table,
    references: [...foreignKey.references],
    ...when('onUpdate', action(foreignKey.onUpdate)),
    ...when('onDelete', action(foreignKey.onDelete)),
    ...(foreignKey.deferred ? { deferred: true } : {}),
  }
}

const when = <K extends string>(name: K, value: string | null): { [key in K]?: string } =>
  (value === null ? {} : { [name]: value }) as { [key in K]?: string }

const hashOf = (what: unknown): string =>
  createHash('sha256').update(JSON.stringify(what)).digest('hex').slice(0, 32)
