import { Compile } from 'typebox/compile'
import { describe, expect, test } from 'vitest'

import { MAX_ID_CHARS, MAX_SPACE_CHARS } from './limits.ts'
import { fieldVersion } from './field-version.ts'
import { Change, Id, SpaceName, type WireRecord } from './records.ts'
import { isSpaceName } from './space-name.ts'

describe('the version of a field', () => {
  const record: WireRecord = { table: 't', key: '[1]', version: 9, hlc: 90, by: 'r', fields: { a: 1, b: 2 } }

  test('is its own, else that of the others, else that of the record', () => {
    const fieldVersions = { a: [7, 70] as [number, number] }
    expect(fieldVersion({ ...record, since: [3, 30], fieldVersions }, 'a')).toEqual([7, 70])
    expect(fieldVersion({ ...record, since: [3, 30], fieldVersions }, 'b')).toEqual([3, 30])
    expect(fieldVersion({ ...record, fieldVersions }, 'b')).toEqual([9, 90])
    expect(fieldVersion(record, 'a')).toEqual([9, 90])
  })

  test('of a column with an inherited name is not found in the prototype', () => {
    expect(fieldVersion({ ...record, fieldVersions: {} }, 'constructor')).toEqual([9, 90])
  })
})

describe('names that reach paths and storage', () => {
  const isSpace = (name: string) => Compile(SpaceName).Check(name)
  const isId = (id: string) => Compile(Id).Check(id)

  test.each(['main', 'a', 'user:42', 'A-b.c_d', 'x'.repeat(MAX_SPACE_CHARS)])('space %j', (name) => {
    expect([isSpace(name), isSpaceName(name)]).toEqual([true, true])
  })

  test.each(['', ' a', '../a', '-a', '.a', 'a/b', 'a b', 'é', 'a\n', 'x'.repeat(MAX_SPACE_CHARS + 1)])(
    'no space %j',
    (name) => {
      expect([isSpace(name), isSpaceName(name)]).toEqual([false, false])
    },
  )

  test.each(['', 'a b', 'a/b', 'a\0', 'a\n', 'x'.repeat(MAX_ID_CHARS + 1)])('no id %j', (id) => {
    expect(isId(id)).toBe(false)
  })
})

test('a change with a property that the protocol does not know is refused', () => {
  const change = { table: 't', key: '[1]', op: 'put', base: 0, hlc: 1, fields: { a: 1 } }
  const check = Compile(Change)
  expect(check.Check(change)).toBe(true)
  expect(check.Check({ ...change, when: 1 })).toBe(false)
  expect(check.Check({ ...change, base: -1 })).toBe(false)
  expect(check.Check({ ...change, base: 2 ** 53 })).toBe(false)
  expect(check.Check({ ...change, op: 'merge' })).toBe(false)
})
