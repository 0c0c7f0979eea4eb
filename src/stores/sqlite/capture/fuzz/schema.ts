import { quoteName } from '../../driver/driver.ts'
import type { FuzzColumn, FuzzTable } from './case.ts'
import type { Chance } from './chance.ts'
import { condition, literal } from './literals.ts'

const TABLE_NAMES = ['t', 'u', 'T able', 'we"ird', 'order', 'a.b', "x'y", '[b]', 'näme', 'new', 'd', 'main']
const COLUMN_NAMES = [
  'a', 'b', 'c', 'e', 'x y', 'q"q', 'select', 'new', 'old', 'at', 'k0', 'd', 'f', 'floor', 'applying', 'excluded', 'rowid',
  'oid', 'id', 'key', 'end', 'ä', "it's", 'sweep', 'name',
] // prettier-ignore
const TYPES = ['', 'INTEGER', 'INT', 'TEXT', 'VARCHAR(10)', 'REAL', 'BLOB', 'NUMERIC', 'DATE']
const STRICT_TYPES = ['INT', 'INTEGER', 'TEXT', 'REAL', 'BLOB', 'ANY']
const COLLATIONS = ['BINARY', 'NOCASE', 'RTRIM']

export interface FuzzSchema {
  readonly tables: FuzzTable[]
  readonly statements: string[]
  /** Views that can be written. */
  readonly views: { readonly name: string; readonly columns: readonly FuzzColumn[] }[]
}

export function makeSchema(chance: Chance): FuzzSchema {
  const schema: FuzzSchema = { tables: [], statements: [], views: [] }
  const names = [...TABLE_NAMES]
  for (let count = chance.focused ? 1 : chance.int(1, 3); count > 0; count--) {
    const [name] = names.splice(chance.int(0, names.length - 1), 1)
    addTable(chance, schema, name as string)
  }
  if (chance.hinders(25)) addFamily(chance, schema)
  schema.statements.push('CREATE TABLE journal (what, n)')
  for (const table of schema.tables) addIndexes(chance, schema, table)
  if (chance.hinders(30)) addTrigger(chance, schema)
  if (chance.hinders(30)) addTrigger(chance, schema)
  if (chance.is(20)) addView(chance, schema)
  return schema
}

function addTable(chance: Chance, schema: FuzzSchema, name: string): void {
  const strict = chance.hinders(15)
  const names = [...COLUMN_NAMES]
  const take = (): string => names.splice(chance.int(0, names.length - 1), 1)[0] as string
  const types = strict ? STRICT_TYPES : TYPES
  const rowidAlias = chance.is(40)
  const columns: FuzzColumn[] = []
  const keyCount = rowidAlias ? 1 : chance.pick([1, 1, 2, 3])
  for (let at = 0; at < keyCount; at++) {
    columns.push({ name: take(), type: rowidAlias ? 'INTEGER' : chance.pick(types), generated: false })
  }
  const key = columns.map((column) => column.name)
  const withoutRowid = !rowidAlias && chance.is(40)
  const targets = [key.map(quoteName).join(', ')]
  const definitions = columns.map(
    (column) =>
      `${quoteName(column.name)} ${column.type}${collate(chance, 25)}${chance.hinders(20) ? ' NOT NULL' : ''}`,
  )
  for (let count = chance.int(1, 4); count > 0; count--) {
    const column = { name: take(), type: chance.pick(types), generated: false }
    columns.push(column)
    definitions.push(columnDefinition(chance, column, targets))
  }
  const parent = chance.hinders(45) && schema.tables.length > 0 ? chance.pick(schema.tables) : null
  const own: string[] = []
  // Columns of their own, or a child would seldom have a parent.
  for (const [at, name] of chance.is(70) ? (parent?.key ?? []).entries() : []) {
    const column = { name: `ref ${at}`, type: typeOf(parent, name, strict), generated: false }
    own.push(column.name)
    columns.push(column)
    definitions.push(`${quoteName(column.name)} ${column.type}${chance.maybe(20, ' UNIQUE')}`)
  }
  if (chance.is(25)) definitions.push(addGenerated(chance, columns, take(), chance.pick(types)))
  definitions.push(primaryKey(chance, columns, key, rowidAlias))
  if (rowidAlias && chance.is(60)) {
    // In the column's own definition; otherwise as a constraint of the table.
    definitions.pop()
    definitions[0] = `${quoteName(key[0] as string)} INTEGER PRIMARY KEY${onConflict(chance)}${chance.maybe(20, ' AUTOINCREMENT')}`
  }
  const plain = columns.filter((column) => !column.generated).map((column) => column.name)
  if (chance.is(25)) {
    const some = chance.some(plain).map(quoteName).join(', ')
    definitions.push(`UNIQUE (${some})${onConflict(chance)}`)
    targets.push(some)
  }
  if (chance.hinders(10)) definitions.push(`CHECK (${quoteName(chance.pick(plain))} IS NOT 4)`)
  const references: FuzzTable['references'] = []
  const table: FuzzTable = {
    name,
    columns,
    key,
    rowidAlias,
    withoutRowid,
    strict,
    targets,
    indexes: [],
    references,
  }
  if (parent !== null) definitions.push(foreignKey(chance, parent, own.length > 0 ? own : plain, references))
  else if (chance.hinders(10)) {
    const column = chance.pick(plain)
    references.push({ column, table, at: 0 })
    definitions.push(`FOREIGN KEY (${quoteName(column)}) REFERENCES ${quoteName(name)}${actions(chance)}`)
  }
  const options = [...(withoutRowid ? ['WITHOUT ROWID'] : []), ...(strict ? ['STRICT'] : [])]
  schema.statements.push(
    `CREATE TABLE ${quoteName(name)} (${definitions.join(', ')}) ${options.join(', ')}`.trim(),
  )
  schema.tables.push(table)
}

/** Parents with children from the start: by chance alone one seldom has the other. */
function addFamily(chance: Chance, schema: FuzzSchema): void {
  const type = (): string => chance.pick(['', 'TEXT', 'INTEGER', 'NUMERIC', 'TEXT COLLATE NOCASE'])
  const plain = (name: string): FuzzColumn => ({ name, type: '', generated: false })
  const base = { rowidAlias: false, withoutRowid: false, strict: false }
  const parents: FuzzTable = {
    ...base,
    name: 'parents',
    columns: ['pk', 'pv'].map(plain),
    key: ['pk'],
    targets: ['"pk"', '"pv"'],
    indexes: [],
    references: [],
  }
  const children: FuzzTable = {
    ...base,
    name: 'children',
    columns: ['ck', 'ref', 'cv'].map(plain),
    key: ['ck'],
    targets: ['"ck"'],
    indexes: [],
    references: [{ column: 'ref', table: parents, at: 0 }],
  }
  const reference = `REFERENCES "parents"${actions(chance)}`
  schema.tables.push(parents, children)
  schema.statements.push(
    `CREATE TABLE "parents" ("pk" ${type()} PRIMARY KEY, "pv" UNIQUE)${chance.maybe(30, ' WITHOUT ROWID')}`,
    `CREATE TABLE "children" ("ck" ${type()} PRIMARY KEY, "ref" ${type()} ${chance.maybe(30, 'UNIQUE ')}${reference}, "cv" ${chance.maybe(30, 'UNIQUE')})`,
    ...["'007'", '1', "'a'", '2.0', "x'61'"].map(
      (key, at) => `INSERT OR IGNORE INTO "parents" VALUES (${key}, ${at})`,
    ),
    `INSERT OR IGNORE INTO "children" SELECT "pv", "pk", NULL FROM "parents" WHERE 1`,
    `INSERT OR IGNORE INTO "children" SELECT "pv" + 10, "pk", "pk" FROM "parents" WHERE 1`,
  )
}

const collate = (chance: Chance, percent: number): string =>
  chance.maybe(percent, ` COLLATE ${chance.pick(COLLATIONS)}`)
const onConflict = (chance: Chance): string => chance.maybe(25, ` ON CONFLICT ${chance.resolution()}`)

function columnDefinition(chance: Chance, column: FuzzColumn, targets: string[]): string {
  const unique = chance.is(20)
  if (unique) targets.push(quoteName(column.name))
  const filled = chance.is(20)
  const notNull = chance.is(25) ? ` NOT NULL${onConflict(chance)}` : ''
  const value = literal(chance, column.type)
  return [
    `${quoteName(column.name)} ${column.type}`,
    notNull,
    filled || notNull !== ''
      ? ` DEFAULT ${/^[-\dx']/.test(value) && !value.includes('|') && !value.includes('(') ? value : '2'}`
      : '',
    unique ? ` UNIQUE${onConflict(chance)}` : '',
    collate(chance, 25),
    chance.hinders(5) ? ` CHECK (${quoteName(column.name)} IS NOT 3)` : '',
  ].join('')
}

function addGenerated(chance: Chance, columns: FuzzColumn[], name: string, type: string): string {
  const base = quoteName(chance.pick(columns).name)
  const expression = chance.pick([
    `${base} || 'z'`,
    `${base} + 1`,
    `coalesce(${base}, 2)`,
    `lower(${base})`,
    `typeof(${base})`,
  ])
  columns.push({ name, type, generated: true })
  return `${quoteName(name)} ${type} AS (${expression}) ${chance.pick(['VIRTUAL', 'STORED'])}${chance.maybe(40, ' UNIQUE')}`
}

function primaryKey(
  chance: Chance,
  columns: readonly FuzzColumn[],
  key: readonly string[],
  rowidAlias: boolean,
): string {
  const terms = key.map(
    (name) =>
      `${quoteName(name)}${rowidAlias ? '' : collate(chance, 15)}${rowidAlias ? '' : chance.maybe(10, ' DESC')}`,
  )
  if (columns.length > 3 && chance.is(30)) terms.reverse()
  return `PRIMARY KEY (${terms.join(', ')})${onConflict(chance)}`
}

/** Mostly the type of the key referred to. */
function typeOf(parent: FuzzTable | null, name: string, strict: boolean): string {
  const type = parent?.columns.find((column) => column.name === name)?.type ?? ''
  return strict && !STRICT_TYPES.includes(type) ? 'ANY' : type === 'ANY' && !strict ? '' : type
}

function foreignKey(
  chance: Chance,
  parent: FuzzTable,
  columns: readonly string[],
  references: FuzzTable['references'],
): string {
  const [first, second] = [chance.pick(columns), chance.pick(columns)]
  const isOwn = columns[0] === 'ref 0'
  const from = parent.key.map((_, at) => (isOwn ? (columns[at] ?? first) : at === 0 ? first : second))
  for (const [at, column] of from.entries()) references.push({ column, table: parent, at })
  return `FOREIGN KEY (${from.map(quoteName).join(', ')}) REFERENCES ${quoteName(parent.name)} (${parent.key.map(quoteName).join(', ')})${actions(chance)}`
}

function actions(chance: Chance): string {
  const action = (): string =>
    chance.pick(['CASCADE', 'CASCADE', 'CASCADE', 'SET NULL', 'SET DEFAULT', 'NO ACTION'])
  return ` ON DELETE ${action()} ON UPDATE ${action()}${chance.maybe(30, ' DEFERRABLE INITIALLY DEFERRED')}`
}

function addIndexes(chance: Chance, schema: FuzzSchema, table: FuzzTable): void {
  for (let count = chance.pick(chance.focused ? [1, 1, 2] : [0, 1, 1, 2]); count > 0; count--) {
    schema.statements.push(uniqueIndex(chance, table, `u${schema.statements.length} "${count}`))
  }
}

/** Registers the index with the table and gives its text. */
export function uniqueIndex(chance: Chance, table: FuzzTable, name: string): string {
  const chosen = chance.is(60) ? [chance.pick(table.columns)] : chance.some(table.columns).slice(0, 3)
  const terms = chosen.map((column) => {
    const quoted = quoteName(column.name)
    if (chance.is(65)) return `${quoted}${collate(chance, 30)}${chance.maybe(15, ' DESC')}`
    return `${expression(chance, quoted)}${collate(chance, 20)}`
  })
  const where = chance.is(30) ? ` WHERE ${indexCondition(chance, table)}` : ''
  const columns = [
    ...chosen.map((column) => column.name),
    ...(where === '' ? [] : table.columns.map((column) => column.name)),
  ]
  table.indexes.push({ name, columns })
  if (where === '' && terms.every((term) => /^"(?:[^"]|"")*"$/.test(term)))
    table.targets.push(terms.join(', '))
  return `CREATE UNIQUE INDEX ${quoteName(name)} ON ${quoteName(table.name)} (${terms.join(', ')})${where}`
}

function expression(chance: Chance, quoted: string): string {
  return chance.pick([
    `lower(${quoted})`,
    `(${quoted} || '')`,
    `(${quoted} + 0)`,
    `coalesce(${quoted}, 1)`,
    `length(${quoted})`,
    `CAST(${quoted} AS TEXT)`,
    `abs(${quoted})`,
    `json_extract(${quoted}, '$.x')`,
    `(${quoted} ->> 'x')`,
    `(${quoted} > '1')`,
  ])
}

function indexCondition(chance: Chance, table: FuzzTable): string {
  const plain = condition(chance, table)
  return chance.is(15) ? `json_valid(${quoteName(chance.pick(table.columns).name)})` : plain
}

/** Registers nothing: a trigger of the application on a table, writing to a table or stopping the statement. */
export function triggerText(chance: Chance, tables: readonly FuzzTable[], name: string): string {
  const table = chance.pick(tables)
  const event = chance.pick(['INSERT', 'UPDATE', 'DELETE'])
  const row = event === 'DELETE' ? 'OLD' : 'NEW'
  const time = chance.pick(['BEFORE', 'AFTER'])
  // SQLite gives whatever stands in memory for a generated column of NEW before an update.
  const readable = {
    ...table,
    columns: table.columns.filter((column) => time === 'AFTER' || !column.generated),
  }
  const when = chance.maybe(50, ` WHEN ${condition(chance, readable, `${row}.`)}`)
  const body = triggerBody(chance, tables, readable, row)
  const head = `CREATE TRIGGER ${quoteName(name)} ${time} ${event} ON ${quoteName(table.name)}${when}`
  return `${head} BEGIN ${body}; END`
}

function addTrigger(chance: Chance, schema: FuzzSchema): void {
  schema.statements.push(triggerText(chance, schema.tables, `trigger ${schema.statements.length}`))
}

function triggerBody(chance: Chance, tables: readonly FuzzTable[], own: FuzzTable, row: string): string {
  const other = chance.pick(tables)
  const column = quoteName(chance.pick(other.columns.filter((column) => !column.generated)).name)
  const value = chance.is(50) ? literal(chance, 'TEXT') : `${row}.${quoteName(chance.pick(own.columns).name)}`
  const or = chance.maybe(40, `OR ${chance.resolution()} `)
  return chance.pick([
    `INSERT INTO journal VALUES ('fired', ${value})`,
    `UPDATE ${or}${quoteName(other.name)} SET ${column} = ${value} WHERE ${condition(chance, other)}`,
    `INSERT ${or}INTO ${quoteName(other.name)} (${column}) VALUES (${value})`,
    `DELETE FROM ${quoteName(other.name)} WHERE ${column} = ${value}`,
    `SELECT RAISE(${chance.pick(['IGNORE', "ABORT, 'stop'", "FAIL, 'stop'", "ROLLBACK, 'stop'"])})`,
  ])
}

function addView(chance: Chance, schema: FuzzSchema): void {
  const table = chance.pick(schema.tables)
  const name = `view ${schema.statements.length}`
  const columns = table.columns.filter((column) => !column.generated)
  const list = columns.map((column) => quoteName(column.name)).join(', ')
  const news = columns.map((column) => `NEW.${quoteName(column.name)}`).join(', ')
  const [target, view] = [quoteName(table.name), quoteName(name)]
  const key = quoteName(table.key[0] as string)
  const first = quoteName(columns.at(-1)?.name as string)
  schema.statements.push(
    `CREATE VIEW ${view} AS SELECT ${list} FROM ${target}`,
    `CREATE TRIGGER ${quoteName(`${name} i`)} INSTEAD OF INSERT ON ${view} BEGIN INSERT OR REPLACE INTO ${target} (${list}) VALUES (${news}); END`,
    `CREATE TRIGGER ${quoteName(`${name} u`)} INSTEAD OF UPDATE ON ${view} BEGIN UPDATE ${target} SET ${first} = NEW.${first} WHERE ${key} = OLD.${key}; END`,
    `CREATE TRIGGER ${quoteName(`${name} d`)} INSTEAD OF DELETE ON ${view} BEGIN DELETE FROM ${target} WHERE ${key} = OLD.${key}; END`,
  )
  schema.views.push({ name, columns })
}
