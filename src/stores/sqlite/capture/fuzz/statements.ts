import { quoteName } from '../../driver/driver.ts'
import type { FuzzColumn, FuzzStep, FuzzTable } from './case.ts'
import type { Chance } from './chance.ts'
import { condition, heldValue, literal } from './literals.ts'
import { triggerText, uniqueIndex, type FuzzSchema } from './schema.ts'

const plainOf = (table: FuzzTable): readonly FuzzColumn[] =>
  table.columns.filter((column) => !column.generated)

/** One statement that writes. */
export function writeStatement(chance: Chance, schema: FuzzSchema): string {
  const table = chance.pick(schema.tables)
  const roll = chance.int(1, 100)
  if (roll <= 42) return insertStatement(chance, schema, table)
  if (roll <= (chance.focused ? 93 : 80)) return updateStatement(chance, schema, table)
  if (roll <= 94 || schema.views.length === 0) return deleteStatement(chance, table)
  return viewStatement(chance, schema)
}

export function insertStatement(chance: Chance, schema: FuzzSchema, table: FuzzTable): string {
  const target = quoteName(table.name)
  const or = chance.maybe(chance.focused ? 75 : 55, ` OR ${chance.resolution()}`)
  if (chance.is(4)) return `INSERT${or} INTO ${target} DEFAULT VALUES`
  const columns = [...(chance.is(70) ? plainOf(table) : chance.some(plainOf(table)))]
  const rowid = !table.withoutRowid && chance.is(12) ? chance.pick(['rowid', '_rowid_', 'oid']) : null
  if (rowid !== null && !columns.some((column) => column.name === rowid)) {
    columns.push({ name: rowid, type: 'INTEGER', generated: false })
  }
  const names = columns.map((column) => quoteName(column.name)).join(', ')
  const upsert = chance.is(chance.focused ? 8 : 25) ? upsertClauses(chance, table) : ''
  if (chance.is(15)) {
    const from = chance.pick(schema.tables)
    const list = columns.map(() => quoteName(chance.pick(from.columns).name)).join(', ')
    return `INSERT${or} INTO ${target} (${names}) SELECT ${list} FROM ${quoteName(from.name)} WHERE ${condition(chance, from)}${upsert}`
  }
  const value = (column: FuzzColumn): string => {
    const parent = parentValue(chance, table, column.name)
    if (parent !== null) return parent
    return chance.is(15) && column.name !== rowid
      ? heldValue(chance, table, column.name)
      : literal(chance, column.type)
  }
  const row = (): string => `(${columns.map(value).join(', ')})`
  const rows = Array.from({ length: chance.pick([1, 1, 2, 3]) }, row)
  return `INSERT${or} INTO ${target} (${names}) VALUES ${rows.join(', ')}${upsert}`
}

/** Mostly a key of the table that the column refers to, or children would never have parents. */
function parentValue(chance: Chance, table: FuzzTable, column: string): string | null {
  const reference = table.references.find((one) => one.column === column)
  if (reference === undefined || !chance.is(75)) return null
  const key = quoteName(reference.table.key[reference.at] ?? '')
  return `(SELECT ${key} FROM ${quoteName(reference.table.name)} ORDER BY typeof(${key}), ${key} COLLATE BINARY LIMIT 1 OFFSET ${chance.int(0, 1)})`
}

function upsertClauses(chance: Chance, table: FuzzTable): string {
  const clause = (): string => {
    const target = `ON CONFLICT (${chance.pick(table.targets)})`
    if (chance.is(35)) return ` ${target} DO NOTHING`
    const where = chance.maybe(25, ` WHERE ${condition(chance, table)}`)
    return ` ${target} DO UPDATE SET ${assignment(chance, table, 'excluded.')}${where}`
  }
  if (chance.is(15)) return ' ON CONFLICT DO NOTHING'
  return chance.is(15) ? clause() + clause() : clause()
}

function assignment(chance: Chance, table: FuzzTable, prefix = ''): string {
  const unique = plainOf(table).filter((column) =>
    table.targets.slice(1).some((target) => target.includes(quoteName(column.name))),
  )
  const indexed = plainOf(table).filter((column) =>
    table.indexes.some((index) => index.columns.includes(column.name)),
  )
  const chosen = chance.pick([plainOf(table), unique, indexed])
  const column = chance.pick(chosen.length > 0 ? chosen : plainOf(table))
  const name = quoteName(column.name)
  const other = `${prefix}${quoteName(chance.pick(table.columns).name)}`
  const value = chance.pick([
    literal(chance, column.type),
    literal(chance, column.type),
    heldValue(chance, table, column.name),
    heldValue(chance, table, column.name),
    other,
    `${name} + 1`,
    `${name} || 'b'`,
    `-${name}`,
  ])
  return `${name} = ${value}`
}

function updateStatement(chance: Chance, schema: FuzzSchema, table: FuzzTable): string {
  const or = chance.maybe(chance.focused ? 75 : 55, ` OR ${chance.resolution()}`)
  const sets = new Map<string, string>()
  for (let count = chance.pick([1, 1, 2]); count > 0; count--) {
    const text = assignment(chance, table)
    sets.set(text.slice(0, text.indexOf(' =')), text)
  }
  if (!table.withoutRowid && chance.is(8))
    sets.set('rowid', `${chance.pick(['rowid', '_rowid_', 'oid'])} = ${chance.int(-1, 5)}`)
  const list = [...sets.values()].join(', ')
  const from = chance.is(8) ? ` FROM ${quoteName(chance.pick(schema.tables).name)} AS other` : ''
  const where =
    from === ''
      ? aim(chance, table)
      : `${quoteName(table.name)}.${condition(chance, table).replace(/^(typeof\(|1$).*/, `${quoteName(table.key[0] as string)} IS NOT NULL`)}`
  return `UPDATE${or} ${quoteName(table.name)} SET ${list}${from} WHERE ${where}`
}

function deleteStatement(chance: Chance, table: FuzzTable): string {
  return `DELETE FROM ${quoteName(table.name)}${chance.hinders(12) ? '' : ` WHERE ${aim(chance, table)}`}`
}

/** A condition that mostly holds for some row: by its key, where others refer to it. */
function aim(chance: Chance, table: FuzzTable): string {
  const key = table.key[0] ?? ''
  return chance.is(30) ? `${quoteName(key)} = ${heldValue(chance, table, key)}` : condition(chance, table)
}

function viewStatement(chance: Chance, schema: FuzzSchema): string {
  const view = chance.pick(schema.views)
  const columns = view.columns
  const name = quoteName(view.name)
  const column = chance.pick(columns)
  const test = `${quoteName(column.name)} ${chance.pick(['=', '<>', '>'])} ${literal(chance, column.type)}`
  return chance.pick([
    `INSERT INTO ${name} (${columns.map((column) => quoteName(column.name)).join(', ')}) VALUES (${columns.map((column) => literal(chance, column.type)).join(', ')})`,
    `UPDATE ${name} SET ${quoteName(columns.at(-1)?.name as string)} = ${literal(chance, 'TEXT')} WHERE ${test}`,
    `DELETE FROM ${name} WHERE ${test}`,
  ])
}

/** A change of the schema by the application, as one or more steps outside of a transaction. */
export function schemaSteps(chance: Chance, schema: FuzzSchema, serial: number, legacy: boolean): FuzzStep[] {
  const table = chance.pick(schema.tables)
  const target = quoteName(table.name)
  const changes = [
    'add',
    'rename column',
    'drop column',
    'drop index',
    'index',
    'trigger',
    'rebuild',
    'vacuum',
    'recreate',
  ]
  // With `legacy_alter_table` the bodies of triggers go on naming the old table, whoever made them.
  const change = chance.pick(legacy ? changes : [...changes, 'rename'])
  const step = (sql: string): FuzzStep => ({ kind: 'schema', sql })
  switch (change) {
    case 'add': {
      const column = {
        name: `added ${serial}`,
        type: chance.pick(['', 'TEXT', 'INTEGER', 'ANY']),
        generated: false,
      }
      const type =
        table.strict && column.type === ''
          ? 'TEXT'
          : column.type === 'ANY' && !table.strict
            ? ''
            : column.type
      table.columns.push({ ...column, type })
      return [
        step(
          `ALTER TABLE ${target} ADD COLUMN ${quoteName(column.name)} ${type} ${chance.pick(['', 'DEFAULT 7', "NOT NULL DEFAULT 'a'"])}`,
        ),
      ]
    }
    case 'rename column': {
      const column = chance.pick(table.columns)
      const name = `renamed ${serial}`
      const sql = `ALTER TABLE ${target} RENAME COLUMN ${quoteName(column.name)} TO ${quoteName(name)}`
      renameColumn(table, column.name, name)
      // A column that is renamed and then dropped before anyone looks is the one thing our triggers do not survive.
      return [step(sql), { kind: 'repair', sql: '' }]
    }
    case 'drop column': {
      // Mostly one that nothing but indexes of its own depends on.
      const free = table.columns.filter(
        ({ name, generated }) =>
          !generated &&
          !table.key.includes(name) &&
          !table.targets.some((target) => target.includes(quoteName(name))) &&
          !table.references.some((reference) => reference.column === name),
      )
      const column = chance.pick(free.length > 0 && chance.is(80) ? free : table.columns)
      const using = table.indexes.filter((index) => index.columns.includes(column.name))
      table.indexes = table.indexes.filter((index) => !using.includes(index))
      if (table.columns.length > table.key.length + 1)
        table.columns = table.columns.filter((other) => other !== column || table.key.includes(other.name))
      return [
        ...using.map((index) => step(`DROP INDEX ${quoteName(index.name)}`)),
        step(`ALTER TABLE ${target} DROP COLUMN ${quoteName(column.name)}`),
      ]
    }
    case 'rename': {
      const name = `renamed table ${serial}`
      table.name = name
      return [step(`ALTER TABLE ${target} RENAME TO ${quoteName(name)}`)]
    }
    case 'drop index': {
      const index = table.indexes.pop()
      return index === undefined ? [] : [step(`DROP INDEX ${quoteName(index.name)}`)]
    }
    case 'index':
      return [step(uniqueIndex(chance, table, `late ${serial}`))]
    case 'trigger':
      return [step(triggerText(chance, schema.tables, `late trigger ${serial}`))]
    case 'vacuum':
      return [step('VACUUM')]
    case 'recreate':
      return [step(`DROP TABLE ${target}; CREATE TABLE ${target} (${recreated(table)})`)]
    default: {
      const list = plainOf(table)
        .map((column) => quoteName(column.name))
        .join(', ')
      const fresh = quoteName(`fresh ${serial}`)
      return [
        step(
          `BEGIN; CREATE TABLE ${fresh} (${recreated(table)}); INSERT OR IGNORE INTO ${fresh} (${list}) SELECT ${list} FROM ${target}; DROP TABLE ${target}; ALTER TABLE ${fresh} RENAME TO ${target}; COMMIT`,
        ),
      ]
    }
  }
}

/** The table again, plainer: generated columns, indexes and constraints are gone. */
function recreated(table: FuzzTable): string {
  table.columns = table.columns.filter((column) => !column.generated)
  table.indexes = []
  table.references = []
  table.targets = [table.key.map(quoteName).join(', ')]
  const columns = table.columns.map((column) => `${quoteName(column.name)} ${column.type}`)
  return `${columns.join(', ')}, PRIMARY KEY (${table.key.map(quoteName).join(', ')})`
}

function renameColumn(table: FuzzTable, from: string, to: string): void {
  const column = table.columns.find((column) => column.name === from)
  if (column !== undefined) column.name = to
  table.key = table.key.map((name) => (name === from ? to : name))
  table.targets = table.targets.map((target) => target.replaceAll(quoteName(from), quoteName(to)))
  for (const index of table.indexes) index.columns = index.columns.map((name) => (name === from ? to : name))
  for (const reference of table.references) if (reference.column === from) reference.column = to
}
