import { TidemarkError, toTidemarkError } from '../../../kernel/errors.ts'
import type { SchemaColumn, SchemaTable, SchemaUnique } from '../../../protocol/schema.ts'
import { quoteName, transact, tryStatement, type Connection } from '../driver/driver.ts'
import { closingOf, isOperator, splitAtCommas, tokenize, type Token } from './tokens.ts'

/**
 * Makes the tables of a space's schema in an empty file. What comes from the cloud is data: names are quoted,
 * declared types and expressions must be tokens of their own kind, one expression each, and every expression is
 * tried in `sandbox`, an empty database in memory, before it reaches the file. What cannot stand is left out and
 * said in the notes, unless a table cannot be made without it.
 *
 * Throws `unprocessable` for a table that cannot be made; then nothing was.
 */
export function createTables(
  connection: Connection,
  tables: readonly SchemaTable[],
  sandbox: Connection,
): readonly string[] {
  const notes: string[] = []
  const statements = withoutDoubles(tables, ({ name }) => name, notes).flatMap((table) =>
    tableStatements(sandbox, withoutDoubleColumns(table, notes), notes),
  )
  try {
    transact(connection, 'immediate', () => statements.forEach((sql) => connection.exec(sql)))
  } catch (error) {
    throw toTidemarkError(error, 'internal')
  }
  return notes
}

/** SQLite's names know no case of ASCII. */
const foldName = (name: string): string => name.replace(/[A-Z]+/g, (run) => run.toLowerCase())

/** The first of those that SQLite takes for one. */
function withoutDoubles<T>(items: readonly T[], nameOf: (item: T) => string, notes: string[]): readonly T[] {
  const seen = new Map<string, string>()
  return items.filter((item) => {
    const name = nameOf(item)
    const first = seen.get(foldName(name))
    if (first === undefined) seen.set(foldName(name), name)
    else notes.push(`${name} was left out; SQLite takes it for ${first}.`)
    return first === undefined
  })
}

/** Without what an application has renamed to the same name in other letters: what it told last comes first. */
function withoutDoubleColumns(table: SchemaTable, notes: string[]): SchemaTable {
  const columns = withoutDoubles(table.columns, ({ name }) => name, notes)
  if (columns.length === table.columns.length) return table
  const names = new Set(columns.map(({ name }) => name))
  const stays = (column: string | undefined): boolean => column === undefined || names.has(column)
  const areWhole = ({ terms }: { readonly terms: Terms }): boolean =>
    terms.every(({ column }) => stays(column))
  return {
    ...table,
    columns: [...columns],
    unique: table.unique.filter(areWhole),
    ...(table.indexes === undefined ? {} : { indexes: table.indexes.filter(areWhole) }),
    foreignKeys: table.foreignKeys.filter((foreignKey) => foreignKey.columns.every(stays)),
  }
}

/** The statements that make one table and its indexes here, parts that cannot stand left out. */
function tableStatements(sandbox: Connection, table: SchemaTable, notes: string[]): readonly string[] {
  // Nearly always everything can stand; else it is told part by part what cannot.
  if (stands(sandbox, table)) return printTable(table)
  const fits = (part: Partial<SchemaTable>): boolean => stands(sandbox, { ...bare(table), ...part })
  if (!fits({})) {
    throw new TidemarkError(
      'unprocessable',
      'a table of the space cannot be made on this version of SQLite',
      {
        details: { table: table.name },
      },
    )
  }
  const columns = table.columns.map((column, at) =>
    fittingColumn(
      column,
      (tried) =>
        fits({ columns: table.columns.map((one, place) => (place === at ? tried : plainColumn(one))) }),
      table,
      notes,
    ),
  )
  const keep = <T>(
    items: readonly T[] | undefined,
    what: string,
    part: (item: T) => Partial<SchemaTable>,
  ): T[] =>
    (items ?? []).filter((item) => {
      // With the columns as they will be: an index may be on a generated one.
      const good = stands(sandbox, { ...bare(table), columns, ...part(item) })
      if (!good) notes.push(`${table.name}: ${what} was left out; this version of SQLite does not take it.`)
      return good
    })
  const whole: SchemaTable = {
    ...table,
    columns,
    unique: keep(table.unique, 'a unique index', (item) => ({ unique: [item] })),
    indexes: keep(table.indexes, 'an index', (item) => ({ indexes: [item] })),
    checks: keep(table.checks, 'a CHECK condition', (item) => ({ checks: [item] })),
    foreignKeys: table.foreignKeys,
  }
  return printTable(whole)
}

/** The column with what can stand of default, generated value and collation. */
function fittingColumn(
  column: SchemaColumn,
  fits: (column: SchemaColumn) => boolean,
  table: SchemaTable,
  notes: string[],
): SchemaColumn {
  if (fits(column)) return column
  const { default: _, ...withoutDefault } = column
  notes.push(
    `${table.name}.${column.name}: its default or generated value was left out; this version of SQLite does not take it.`,
  )
  return fits(withoutDefault) ? withoutDefault : plainColumn(column)
}

function bare(table: SchemaTable): SchemaTable {
  const { checks: _, indexes: __, ...rest } = table
  return { ...rest, columns: table.columns.map(plainColumn), unique: [], foreignKeys: [] }
}

function plainColumn({ default: _, generated: __, ...column }: SchemaColumn): SchemaColumn {
  return column
}

/** Made and taken back in the empty database. */
function stands(sandbox: Connection, table: SchemaTable): boolean {
  sandbox.exec('BEGIN')
  try {
    for (const sql of printTable(table)) sandbox.exec(sql)
    // An expression may name a column or function that is missed only when a row is written.
    const names = table.columns
      .filter(({ generated }) => generated === undefined)
      .map(({ name }) => quoteName(name))
    tryStatement(
      sandbox,
      `INSERT INTO ${quoteName(table.name)} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`,
    )
    return true
  } catch {
    return false
  } finally {
    sandbox.exec('ROLLBACK')
  }
}

function printTable(table: SchemaTable): readonly string[] {
  const inColumn = keyInColumn(table)
  const parts = [
    ...table.columns.map((column) => printColumn(column, column.name === table.key[0] ? inColumn : '')),
    ...(inColumn === '' ? [`PRIMARY KEY (${printKey(table)})`] : []),
    ...table.unique
      .filter(({ index }) => index === undefined)
      .map((unique) => `UNIQUE (${printTerms(unique.terms)})`),
    ...(table.checks ?? []).map((check) => `CHECK (${requireExpression(check)})`),
    ...table.foreignKeys.map(printForeignKey),
  ]
  const options = [
    ...(table.withoutRowid === true ? ['WITHOUT ROWID'] : []),
    ...(table.strict === true ? ['STRICT'] : []),
  ]
  const name = quoteName(table.name)
  return [
    `CREATE TABLE ${name} (\n  ${parts.join(',\n  ')}\n)${options.length === 0 ? '' : ` ${options.join(', ')}`}`,
    ...table.unique.flatMap(({ index, terms, where }) =>
      index === undefined
        ? []
        : [`CREATE UNIQUE INDEX ${quoteName(index)} ON ${name} (${printTerms(terms)})${printWhere(where)}`],
    ),
    ...(table.indexes ?? []).map(
      (index) =>
        `CREATE INDEX ${quoteName(index.name)} ON ${name} (${printTerms(index.terms)})${printWhere(index.where)}`,
    ),
  ]
}

/**
 * What makes the key's column the key; empty where the table says it. A column of type INTEGER would be the row's
 * number in every other writing: only `DESC` beside the column keeps SQLite from that, and the key takes any value.
 */
function keyInColumn(table: SchemaTable): string {
  if (table.rowidAlias === true) return `PRIMARY KEY${table.autoincrement === true ? ' AUTOINCREMENT' : ''}`
  const [name, ...more] = table.key
  const type = table.columns.find((column) => column.name === name)?.type ?? ''
  const wouldBeNumber = more.length === 0 && table.withoutRowid !== true && type.toUpperCase() === 'INTEGER'
  return wouldBeNumber ? 'PRIMARY KEY DESC' : ''
}

const printKey = ({ key, keyCollations }: SchemaTable): string =>
  key
    .map((name, at) => {
      const collation = keyCollations?.[at]
      return `${quoteName(name)}${collation === undefined ? '' : ` COLLATE ${quoteName(collation)}`}`
    })
    .join(', ')

function printColumn(column: SchemaColumn, key: string): string {
  const { generated } = column
  return [
    quoteName(column.name),
    printType(column.type),
    key,
    ...(column.notNull === true ? ['NOT NULL'] : []),
    ...(column.collation === undefined ? [] : [`COLLATE ${quoteName(column.collation)}`]),
    ...(column.default === undefined ? [] : [`DEFAULT (${requireExpression(column.default)})`]),
    ...(generated === undefined
      ? []
      : [`AS (${requireExpression(generated.as)}) ${generated.stored ? 'STORED' : 'VIRTUAL'}`]),
  ]
    .filter((word) => word !== '')
    .join(' ')
}

/** Words and one pair of numbers stand as they are, so that the declared type is the same everywhere; else quoted. */
function printType(type: string): string {
  const plain = /^[A-Za-z_]\w*( [A-Za-z_]\w*)*( ?\( ?[+-]?\d+( ?, ?[+-]?\d+)? ?\))?$/
  // Words that would end the type and begin a constraint.
  const ending = /\b(CONSTRAINT|PRIMARY|NOT|UNIQUE|CHECK|DEFAULT|COLLATE|REFERENCES|GENERATED|AS)\b/i
  return type === '' || (plain.test(type) && !ending.test(type)) ? type : quoteName(type)
}

type Terms = SchemaUnique['terms']

const printTerms = (terms: Terms): string =>
  terms
    .map(({ column, expression, collation, descending }) => {
      const what = column === undefined ? requireExpression(expression ?? '') : quoteName(column)
      return `${what}${collation === undefined ? '' : ` COLLATE ${quoteName(collation)}`}${descending === true ? ' DESC' : ''}`
    })
    .join(', ')

const printWhere = (where: string | undefined): string =>
  where === undefined ? '' : ` WHERE ${requireExpression(where)}`

const printNames = (names: readonly string[]): string => names.map(quoteName).join(', ')

const ACTIONS = new Set(['NO ACTION', 'RESTRICT', 'SET NULL', 'SET DEFAULT', 'CASCADE'])

function printForeignKey(foreignKey: SchemaTable['foreignKeys'][number]): string {
  const { columns, table, references, onUpdate, onDelete, deferred } = foreignKey
  const action = (event: string, name: string | undefined) =>
    name !== undefined && ACTIONS.has(name.toUpperCase()) ? ` ON ${event} ${name.toUpperCase()}` : ''
  const target = `${quoteName(table)}${references.length === 0 ? '' : ` (${printNames(references)})`}`
  const late = deferred === true ? ' DEFERRABLE INITIALLY DEFERRED' : ''
  return `FOREIGN KEY (${printNames(columns)}) REFERENCES ${target}${action('UPDATE', onUpdate)}${action('DELETE', onDelete)}${late}`
}

/** The text, when it is one expression: the inside of one pair of parentheses, with nothing listed. Throws otherwise. */
function requireExpression(text: string): string {
  const tokens = tokenize(`(${text}\n)`)
  if (tokens === null || tokens.length < 3 || closingOf(tokens, 0) !== tokens.length - 1)
    throw notAnExpression()
  const isForeign = (token: Token): boolean => isOperator(token, ';') || token.kind === 'variable'
  if (tokens.some(isForeign) || splitAtCommas(tokens.slice(1, -1)).length > 1) throw notAnExpression()
  return text
}

const notAnExpression = (): TidemarkError =>
  new TidemarkError('unprocessable', 'an expression of the schema is not one expression')
