import { describe, expect, test } from 'vitest'

import { countRows, hasTest, readLedger, readProjectLedger } from '../scripts/ledger.ts'

test('the ledger claims nothing that no test shows', () => {
  const { rows, faults } = readProjectLedger()
  expect(faults).toEqual([])
  expect(rows.length).toBeGreaterThan(300)
})

const HEAD = '| document:line | name | what it promises | state | test |\n|---|---|---|---|---|\n'
const TEST_FILE = `test('it holds', () => {})`
const faultsOf = (...rows: string[]): readonly string[] =>
  readLedger(HEAD + rows.join('\n'), (path) => (path === 'a.test.ts' ? TEST_FILE : null)).faults.filter(
    (fault) => !fault.startsWith('no row about'),
  )

describe('a row is a fault when', () => {
  test.each([
    [
      'its test file is absent',
      '| 001-relay:5 | a | b | works | b.test.ts › it holds |',
      'no file b.test.ts',
    ],
    [
      'its test is absent',
      '| 001-relay:5 | a | b | works | a.test.ts › it hold |',
      `no running test 'it hold'`,
    ],
    ['it works without a test', '| 001-relay:5 | a | b | works | – |', 'names no test'],
    ['it is later with a test', '| 001-relay:5 | a | b | later | a.test.ts › it holds |', 'not later'],
    ['its test is not one', '| 001-relay:5 | a | b | works | a.test.ts: it holds |', 'not a test'],
    ['its state is unknown', '| 001-relay:5 | a | b | done | – |', `unknown state 'done'`],
    ['its change has no reason', '| 001-relay:5 | a | b | changed, because | – |', 'unknown state'],
    ['a cell is missing', '| 001-relay:5 | a | b | later |', '4 cells'],
    ['a cell is too many', '| 001-relay:5 | a | b | later | – | c |', '6 cells'],
    ['it does not end', '| 001-relay:5 | a | b | later | –', 'cells'],
    ['its document is unknown', '| 009-x:5 | a | b | later | – |', 'unknown document 009-x'],
    ['its line is no number', '| 001-relay:x | a | b | later | – |', 'no line x'],
    ['its line is past the end', '| 001-relay:216 | a | b | later | – |', 'no line 216'],
    ['it has no name', '| 001-relay:5 |  | b | later | – |', 'a name'],
  ])('%s', (_what, row, fault) => {
    expect(faultsOf(row).join()).toContain(fault)
  })

  test('it stands twice, or before an earlier one', () => {
    const row = '| 001-relay:5 | a | b | later | – |'
    expect(faultsOf(row, row)).toEqual(['line 4: 001-relay:5 a stands twice'])
    expect(faultsOf(row, '| 001-relay:4 | a | b | later | – |')).toEqual([
      'line 4: 001-relay:4 stands after 001-relay:5',
    ])
  })

  test('its document has no row at all', () => {
    expect(readLedger(HEAD, () => null).faults).toContain('no row about 002-auto-sync')
  })
})

test('a row in order is read', () => {
  const row = '| 001-relay:5 | `a \\| b` | c | changed, because it is better so | a.test.ts › it holds |'
  const { rows } = readLedger(HEAD + row, () => TEST_FILE)
  expect(faultsOf(row)).toEqual([])
  expect(rows).toEqual([
    {
      at: 3,
      document: '001-relay',
      line: 5,
      name: '`a | b`',
      promise: 'c',
      state: 'changed',
      tests: [{ file: 'a.test.ts', title: 'it holds' }],
    },
  ])
  expect(countRows(rows)[2]).toBe('001-relay                     0        1        0        1')
})

test('a title counts only where a test of that name runs', () => {
  expect(hasTest(`test("it's so", () => {})`, "it's so")).toBe(true)
  expect(hasTest(`it('it\\'s so', () => {})`, "it's so")).toBe(true)
  expect(hasTest('test.each([\n  [1, 2],\n])(`n is %s`, () => {})', 'n is %s')).toBe(true)
  expect(hasTest(`test.concurrent('a', () => {})`, 'a')).toBe(true)
  expect(hasTest(`test.skip('a', () => {})`, 'a')).toBe(false)
  expect(hasTest(`it.todo('a')`, 'a')).toBe(false)
  expect(hasTest(`describe('a', () => {})`, 'a')).toBe(false)
  expect(hasTest(`const x = 'a'`, 'a')).toBe(false)
})
