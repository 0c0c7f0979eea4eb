import type { Chance } from '../../../src/stores/sqlite/capture/fuzz/chance.ts'
import { quote, type PairSchema, type PairTable } from './schema.ts'

/** Statements of one transaction of an application. Tokens are given by `next`, each of them once. */
export function makeEdits(chance: Chance, schema: PairSchema, next: () => string): readonly string[] {
  return Array.from({ length: chance.pick([1, 1, 1, 2, 4]) }, () =>
    makeEdit(chance, chance.pick(schema.tables), next),
  )
}

function makeEdit(chance: Chance, table: PairTable, next: () => string): string {
  const roll = chance.int(1, 100)
  const name = quote(table.name)
  if (roll <= 40) return insert(chance, table, next)
  if (roll <= 78) {
    const sets = [assignment(chance, table, next), ...(chance.is(30) ? [`val = '${next()}'`] : [])]
    const set = [...new Map(sets.map((text) => [text.split(' = ')[0], text])).values()].join(', ')
    return `UPDATE${or(chance)} ${name} SET ${set} WHERE ${where(chance, table)}`
  }
  if (roll <= 84) {
    const key = table.key[0]?.name ?? ''
    return `UPDATE${or(chance)} ${name} SET ${key} = ${keyValue(chance, table, 0)} WHERE ${where(chance, table)}`
  }
  return `DELETE FROM ${name} WHERE ${where(chance, table)}`
}

const or = (chance: Chance): string => chance.maybe(25, ` OR ${chance.pick(['REPLACE', 'IGNORE', 'FAIL'])}`)

function insert(chance: Chance, table: PairTable, next: () => string): string {
  const chosen = !table.alias || chance.is(50) ? table.key.map(({ name }) => name) : []
  const names = [...chosen, ...table.columns]
  const row = (): string => `(${names.map((name) => valueOf(chance, table, name, next)).join(', ')})`
  const rows = Array.from({ length: chance.pick([1, 1, 2]) }, row).join(', ')
  const target = table.key.map(({ name }) => name).join(', ')
  const upsert = chance.maybe(20, ` ON CONFLICT (${target}) DO UPDATE SET val = excluded.val, n = excluded.n`)
  return `INSERT${or(chance)} INTO ${quote(table.name)} (${names.join(', ')}) VALUES ${rows}${upsert}`
}

function assignment(chance: Chance, table: PairTable, next: () => string): string {
  const name = chance.pick(['val', 'val', 'n', 'm', 'x', ...(table.parent === null ? [] : ['parent'])])
  if (name === 'n' && chance.is(40)) return `n = ${chance.pick(['n + 1', '3 - n', '-n'])}`
  return `${name} = ${valueOf(chance, table, name, next)}`
}

function valueOf(chance: Chance, table: PairTable, name: string, next: () => string): string {
  switch (name) {
    case 'tok':
    case 'val':
      return `'${next()}'`
    case 'n':
      return chance.pick(['0', '1', '2', '3', '4', '5', '9', 'NULL'])
    case 'm':
      return chance.pick(["'a'", "'A'", "'b'", "'c '", "''", 'NULL', "'d'", 'lower(hex(randomblob(2)))'])
    case 'x':
      return chance.pick(VALUES)
    case 'parent': {
      const { parent } = table
      if (parent === null || chance.is(25)) return 'NULL'
      const key = parent.key[0]?.name ?? ''
      const some = `(SELECT ${key} FROM ${quote(parent.name)} ORDER BY ${key} LIMIT 1 OFFSET ${chance.int(0, 3)})`
      return chance.is(85) ? some : keyValue(chance, parent, 0)
    }
    default:
      return keyValue(
        chance,
        table,
        table.key.findIndex((column) => column.name === name),
      )
  }
}

/** Every storage class, and the values on which someone's numbers or texts break. */
const VALUES = [
  'NULL',
  '1',
  '1.0',
  '-0.0',
  '9e999',
  '9007199254740993',
  '-9223372036854775808',
  '0.1',
  "x''",
  "x'00ff'",
  "CAST(x'ff41' AS TEXT)",
  "'a' || char(0) || 'b'",
  `'{"$int":"1"}'`,
  "'😀'",
]

const keyValue = (chance: Chance, table: PairTable, at: number): string =>
  table.key[at]?.kind === 'number'
    ? String(chance.int(1, 6))
    : chance.pick(["'a'", "'b'", "'c'", "'d'", "'A'", "'e e'"])

function where(chance: Chance, table: PairTable): string {
  const key = table.key[0]?.name ?? ''
  return chance.pick([
    `${key} = ${keyValue(chance, table, 0)}`,
    `${key} = ${keyValue(chance, table, 0)}`,
    `${key} = (SELECT ${key} FROM ${quote(table.name)} LIMIT 1 OFFSET ${chance.int(0, 3)})`,
    `n = ${chance.int(0, 5)}`,
    `n > 3`,
    'm IS NULL',
  ])
}
