import { quoteName } from '../../driver/driver.ts'
import type { Chance } from './chance.ts'
import type { FuzzTable } from './case.ts'

/** Few values, so that they meet; none after which SQLite chooses row numbers by chance; every storage class, and spellings that some collation takes for one. */
const INTEGERS = ['-1', '0', '1', '2', '3', '4', '9007199254740993']
const REALS = ['1.0', '2.0', '1.5', '-0.0', '9e999']
const TEXTS = [
  "'a'",
  "'A'",
  "'b'",
  "'a '",
  "''",
  "'1'",
  "'2.0'",
  "'ab'",
  "'ä'",
  "CAST(x'ff41' AS TEXT)",
  "'a' || char(0)",
]
const JSON_TEXTS = [`'{"x":1}'`, `'{"x":"a"}'`, `'{"x":1,"y":2}'`, "'{bad'", "'[]'", "'{x:1}'"]
const BLOBS = ["x''", "x'61'", "x'00'", 'zeroblob(3)']

/** Values that some index, affinity or expression takes for one. Most of a case draws from one or two of these. */
const FAMILIES = [
  ["'a'", "'A'", "'a '", "'b'"],
  ["'a'", "x'61'", "'A'", "CAST(x'ff41' AS TEXT)"],
  ['1', '1.0', "'1'", '2'],
  ['-1', '0', '1', "'1.0'"],
  ['3', "'3'", '4', '-3'],
  [...JSON_TEXTS],
  [`'{"x":1}'`, `'{"x":1,"y":2}'`, "'{x:1}'", '1'],
  ["''", "x''", 'NULL', '0'],
]

/** The families of one case. */
export function pickPalette(chance: Chance): readonly string[] {
  return [...chance.pick(FAMILIES), ...chance.pick(FAMILIES)]
}

export function literal(chance: Chance, type: string): string {
  if (chance.palette.length > 0 && chance.is(80)) return chance.pick(chance.palette)
  const roll = chance.int(1, 100)
  if (roll <= 8) return 'NULL'
  if (roll <= 14) return chance.pick(BLOBS)
  if (roll <= 20) return chance.pick(REALS)
  if (roll <= 26) return chance.pick(JSON_TEXTS)
  const text = /CHAR|TEXT|^$|ANY|BLOB/.test(type) ? 70 : 15
  return chance.is(text) ? chance.pick(TEXTS) : chance.pick(INTEGERS)
}

/** A value that a row of the table has in this column, perhaps in another spelling. */
export function heldValue(chance: Chance, table: FuzzTable, column: string): string {
  const name = quoteName(column)
  const row = `ORDER BY typeof(${name}), ${name} COLLATE BINARY LIMIT 1 OFFSET ${chance.int(0, 3)}`
  const value = `(SELECT ${name} FROM ${quoteName(table.name)} ${row})`
  return chance.pick([value, value, `upper(${value})`, `${value} || ' '`])
}

/** A condition that holds for some rows of the table. */
export function condition(chance: Chance, table: FuzzTable, prefix = ''): string {
  const column = chance.pick(table.columns)
  const name = `${prefix}${quoteName(column.name)}`
  const value = literal(chance, column.type)
  return chance.pick([
    `${name} = ${value}`,
    `${name} <> ${value}`,
    `${name} > ${value}`,
    `${name} IS NULL`,
    `${name} IS NOT NULL`,
    `typeof(${name}) = ${chance.pick(["'integer'", "'text'"])}`,
    '1',
  ])
}
