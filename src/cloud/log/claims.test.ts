import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { settleClaims, type Claimant } from './claims.ts'

type Row = readonly [key: string, from: string | null, to: string | null]

/** Rows that move from one value to another in one index; `held` are rows outside the mutation. */
function settle(rows: readonly Row[], held: { readonly [value: string]: string } = {}) {
  const claim = (value: string | null) => (value === null ? [] : [{ index: 'i', value }])
  const claimants = rows.map(([key, from, to]): Claimant => ({
    table: 't',
    key,
    takes: claim(to),
    gives: claim(from),
  }))
  const holders = new Map(Object.entries(held))
  for (const [key, from] of rows) if (from !== null) holders.set(from, key)
  return settleClaims(claimants, (_, __, value) => holders.get(value) ?? null).map(
    (taken) => taken?.by ?? 'ok',
  )
}

describe('settleClaims', () => {
  test.each<
    readonly [
      name: string,
      rows: readonly Row[],
      held: { readonly [value: string]: string },
      answer: string[],
    ]
  >([
    ['a free value', [['1', null, 'x']], {}, ['ok']],
    ['a value held outside', [['1', null, 'x']], { x: '9' }, ['9']],
    [
      'two rows, one value: the first',
      [
        ['1', null, 'x'],
        ['2', null, 'x'],
      ],
      {},
      ['ok', '1'],
    ],
    [
      'a swap',
      [
        ['1', 'x', 'y'],
        ['2', 'y', 'x'],
      ],
      {},
      ['ok', 'ok'],
    ],
    [
      'a ring of three',
      [
        ['1', 'x', 'y'],
        ['2', 'y', 'z'],
        ['3', 'z', 'x'],
      ],
      {},
      ['ok', 'ok', 'ok'],
    ],
    [
      'a shift whose end is blocked',
      [
        ['1', 'x', 'y'],
        ['2', 'y', 'z'],
        ['3', 'z', 'w'],
      ],
      { w: '9' },
      ['2', '3', '9'],
    ],
    [
      'a shift whose end is free',
      [
        ['1', 'x', 'y'],
        ['2', 'y', 'z'],
      ],
      {},
      ['ok', 'ok'],
    ],
    [
      'a row that comes after the one that leaves',
      [
        ['1', 'x', null],
        ['2', null, 'x'],
      ],
      {},
      ['ok', 'ok'],
    ],
    [
      'a row that comes before the one that leaves',
      [
        ['2', null, 'x'],
        ['1', 'x', null],
      ],
      {},
      ['ok', 'ok'],
    ],
    [
      'a loser takes back what it held',
      [
        ['1', null, 'y'],
        ['2', 'x', 'y'],
        ['3', null, 'x'],
      ],
      {},
      ['ok', '1', '2'],
    ],
  ])('%s', (_, rows, held, answer) => {
    expect(settle(rows, held)).toEqual(answer)
  })

  test('a row that lost only to one that fell itself comes back', () => {
    const claim = (index: string, value: string) => ({ index, value })
    const rows: readonly Claimant[] = [
      { table: 't', key: '1', takes: [claim('i', 'y'), claim('j', 'x')], gives: [] },
      { table: 't', key: '2', takes: [claim('i', 'y')], gives: [claim('j', 'x')] },
    ]
    const holder = (_: string, index: string, value: string) => (index === 'j' && value === 'x' ? '2' : null)
    // 2 would lose y to 1, keep x and thereby stop 1: nobody would have y.
    expect(settleClaims(rows, holder)).toEqual([{ index: 'i', by: '2' }, null])
  })

  test('a long shift that falls is not quadratic', () => {
    const rows = Array.from({ length: 20_000 }, (_, at): Row => [`${at}`, `v${at}`, `v${at + 1}`])
    const answer = settle(rows, { v20000: 'other' })
    expect(answer.at(-1)).toBe('other')
    expect(answer[0]).toBe('1')
  })

  test('whatever is asked for: values stay unique, every answer is true, nobody is refused for nothing', () => {
    const value = fc.option(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { nil: null })
    const index = fc.constantFrom('i', 'j')
    const rowArb = fc.record({ from: fc.dictionary(index, value), to: fc.dictionary(index, value) })
    fc.assert(
      fc.property(fc.array(rowArb, { maxLength: 8 }), fc.integer({ min: 0, max: 8 }), (drawn, outside) => {
        // What stands now: unique by dropping later doubles. The last `outside` rows are not in the mutation.
        const standing = new Map<string, string>()
        const rows = drawn.map((row, at) => {
          const had = new Map<string, string>()
          for (const [name, held] of Object.entries(row.from)) {
            if (held === null || standing.has(`${name}=${held}`)) continue
            standing.set(`${name}=${held}`, `${at}`)
            had.set(name, held)
          }
          const has = new Map(had)
          for (const [name, wanted] of Object.entries(row.to)) {
            if (wanted === null) has.delete(name)
            else has.set(name, wanted)
          }
          return { key: `${at}`, had, has }
        })
        const pushed = rows.slice(0, Math.max(0, rows.length - outside))
        const differ = (a: Map<string, string>, b: Map<string, string>) =>
          [...a]
            .filter(([name, held]) => b.get(name) !== held)
            .map(([name, held]) => ({ index: name, value: held }))
        const claimants = pushed.map(({ key, had, has }) => ({
          table: 't',
          key,
          takes: differ(has, had),
          gives: differ(had, has),
        }))
        const answers = settleClaims(claimants, (_, name, held) => standing.get(`${name}=${held}`) ?? null)

        const final = rows.map((row, at) => (at < pushed.length && answers[at] === null ? row.has : row.had))
        const holders = new Map<string, string>()
        for (const [at, row] of final.entries()) {
          for (const [name, held] of row) {
            expect(holders.has(`${name}=${held}`)).toBe(false)
            holders.set(`${name}=${held}`, `${at}`)
          }
        }
        for (const [at, answer] of answers.entries()) {
          if (answer === null || answer === undefined) continue
          const wanted = pushed[at]?.has.get(answer.index)
          expect(holders.get(`${answer.index}=${wanted}`)).toBe(answer.by)
          expect(answer.by).not.toBe(`${at}`)
        }
      }),
      { numRuns: 2_000 },
    )
  })
})
