import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { joinSchemas, type SchemaTable } from './schema.ts'

const table = (name: string, columns: readonly string[], more: Partial<SchemaTable> = {}): SchemaTable => ({
  name,
  columns: columns.map((column) => ({ name: column, type: 'TEXT' })),
  key: [columns[0] ?? 'id'],
  unique: [],
  foreignKeys: [],
  ...more,
})
const columnsOf = (tables: readonly SchemaTable[], name: string) =>
  tables.find((table) => table.name === name)?.columns.map((column) => column.name)

describe('a schema told by an older version of an application', () => {
  const newer = table('person', ['id', 'name', 'mail', 'city'], {
    unique: [
      { claim: 'mail', terms: [{ column: 'mail', collation: 'NOCASE' }] },
      { claim: 'lower', terms: [{ expression: 'lower("MAIL")' }] },
      { claim: 'gone', terms: [{ column: 'name' }] },
      { claim: 'partial', terms: [{ column: 'name' }], where: 'mail IS NOT NULL' },
      { claim: 'like', terms: [{ expression: 'email || mail_box' }] },
    ],
    indexes: [
      { name: 'by_city', terms: [{ column: 'city' }] },
      { name: 'by_name', terms: [{ column: 'name' }] },
    ],
    foreignKeys: [
      { columns: ['city'], table: 'town', references: ['id'] },
      { columns: ['name'], table: 'city', references: ['id'] },
    ],
    checks: ['length(mail) > 3', 'length(name) > 0'],
  })
  const older = table('person', ['id', 'name'], { checks: ['name <> id'] })
  const [joined] = joinSchemas([newer], [older])

  test('keeps the columns it does not know, after its own', () => {
    expect(columnsOf(joinSchemas([newer], [older]), 'person')).toEqual(['id', 'name', 'mail', 'city'])
  })

  test('keeps what names those columns, and drops what it knew and no longer has', () => {
    expect(joined?.unique.map((unique) => unique.claim)).toEqual(['mail', 'lower', 'partial'])
    expect(joined?.indexes?.map((index) => index.name)).toEqual(['by_city'])
    expect(joined?.foreignKeys.map((key) => key.table)).toEqual(['town'])
    expect(joined?.checks).toEqual(['name <> id', 'length(mail) > 3'])
  })

  test('is replaced again by the newer one', () => {
    expect(joinSchemas([joined as SchemaTable], [newer])).toEqual([newer])
  })
})

test('how a key is compared is as the last one told it, with the key', () => {
  const folded = table('a', ['id'], { keyCollations: ['NOCASE'] })
  const wide = table('a', ['id', 'x'])
  expect(joinSchemas([wide], [folded])).toEqual([{ ...wide, keyCollations: ['NOCASE'] }])
  expect(joinSchemas([{ ...wide, keyCollations: ['NOCASE'] }], [table('a', ['id'])])).toEqual([wide])
})

test('a told column replaces what was known of it', () => {
  const [joined] = joinSchemas(
    [table('a', ['id', 'x', 'y'])],
    [
      {
        ...table('a', ['id']),
        columns: [
          { name: 'id', type: '' },
          { name: 'x', type: 'INTEGER', notNull: true },
        ],
      },
    ],
  )
  expect(joined?.columns).toEqual([
    { name: 'id', type: '' },
    { name: 'x', type: 'INTEGER', notNull: true },
    { name: 'y', type: 'TEXT' },
  ])
})

describe('joining any two schemas', () => {
  const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1 })
  const schema = fc
    .uniqueArray(fc.tuple(fc.constantFrom('t', 'u', 'v'), names), { selector: ([name]) => name })
    .map((tables) =>
      tables.map(([name, columns]) =>
        table(name, columns, { unique: columns.map((column) => ({ claim: column, terms: [{ column }] })) }),
      ),
    )

  test('takes no table and no column away, and nothing twice', () => {
    fc.assert(
      fc.property(schema, schema, (known, told) => {
        const joined = joinSchemas(known, told)
        for (const { name } of [...known, ...told]) {
          const columns = columnsOf(joined, name) ?? []
          const wanted = [...(columnsOf(known, name) ?? []), ...(columnsOf(told, name) ?? [])]
          expect(new Set(columns)).toEqual(new Set(wanted))
          expect(new Set(columns).size).toBe(columns.length)
          const claims = joined.find((table) => table.name === name)?.unique.map((unique) => unique.claim)
          expect(new Set(claims)).toEqual(new Set(wanted))
        }
      }),
    )
  })

  test('is settled once told: telling it again changes nothing', () => {
    fc.assert(
      fc.property(schema, schema, (known, told) => {
        const joined = joinSchemas(known, told)
        expect(joinSchemas(joined, told)).toEqual(joined)
        expect(joined.map((table) => table.name)).toEqual(joined.map((table) => table.name).sort())
      }),
    )
  })
})
