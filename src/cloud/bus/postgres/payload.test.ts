import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { readMessage, Untold, type Hint } from './payload.ts'

const NODE = 'a3b7c1d2-0000-4000-8000-000000000001'
const id = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/)
const hint: fc.Arbitrary<Hint> = fc.tuple(
  id,
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  fc.option(id, { nil: null }),
)

function untold(hints: readonly Hint[]): Untold {
  const all = new Untold()
  for (const one of hints) all.add(...one)
  return all
}

/** All that the payloads say, as whoever hears them reads it. */
const read = (payloads: readonly string[]) => payloads.map((payload) => readMessage(payload))
const LOOK_AT_EVERYTHING = [{ node: NODE, hints: null }]

describe('what is told', () => {
  test('arrives as it was said, in payloads that PostgreSQL takes', () => {
    fc.assert(
      fc.property(fc.uniqueArray(hint, { selector: ([space]) => space, maxLength: 400 }), (hints) => {
        const all = untold(hints)
        const payloads = all.take(NODE)
        expect(read(payloads).flatMap((message) => message?.hints ?? [])).toEqual(hints)
        for (const payload of payloads) expect(Buffer.byteLength(payload)).toBeLessThan(8_000)
        expect(all.isEmpty).toBe(true)
      }),
      { numRuns: 50 },
    )
  })

  test('fills the payloads', () => {
    const hints = Array.from({ length: 200 }, (_, n): Hint => [`space-${n}`.padEnd(64, '-'), n + 1, null])
    const payloads = untold(hints).take(NODE)
    expect(payloads.length).toBeGreaterThan(1)
    for (const payload of payloads.slice(0, -1)) expect(payload.length).toBeGreaterThan(7_800)
  })

  test('of one space is one hint, with its latest head, and a writer where there is but one', () => {
    const said = (...hints: Hint[]) => read(untold(hints).take(NODE))[0]?.hints
    expect(said(['s', 1, 'x'], ['s', 2, 'x'])).toEqual([['s', 2, 'x']])
    expect(said(['s', 2, 'x'], ['s', 1, 'x'])).toEqual([['s', 2, 'x']])
    expect(said(['s', 1, 'x'], ['s', 2, 'y'])).toEqual([['s', 2, null]])
    expect(said(['s', 1, 'x'], ['s', 2, null])).toEqual([['s', 2, null]])
    expect(said(['s', 1, null], ['s', 2, 'x'])).toEqual([['s', 2, null]])
    expect(said(['s', 1, 'x'], ['t', 2, 'y'])).toEqual([
      ['s', 1, 'x'],
      ['t', 2, 'y'],
    ])
  })

  test('is "look at everything" when it is too much, and when nobody would take it for an id', () => {
    const many = (count: number) => Array.from({ length: count }, (_, n): Hint => [`s${n}`, 1, null])
    expect(read(untold(many(1_001)).take(NODE))).toEqual(LOOK_AT_EVERYTHING)
    const long = Array.from({ length: 900 }, (_, n): Hint => [`s${n}`.padEnd(64, 's'), 1, 'w'.repeat(64)])
    expect(read(untold(long).take(NODE))).toEqual(LOOK_AT_EVERYTHING)
    for (const odd of ['', 'a b', 'ü', 'x'.repeat(65)]) {
      expect(
        read(
          untold([
            ['s', 1, 'x'],
            [odd, 2, null],
          ]).take(NODE),
        ),
      ).toEqual(LOOK_AT_EVERYTHING)
      expect(read(untold([['s', 1, odd]]).take(NODE))).toEqual(LOOK_AT_EVERYTHING)
    }
    const all = untold([])
    all.addEverything()
    all.add('s', 1, 'x')
    expect([read(all.take(NODE)), all.isEmpty]).toEqual([LOOK_AT_EVERYTHING, true])
    all.add('s', 2, 'x')
    expect(read(all.take(NODE))).toEqual([{ node: NODE, hints: [['s', 2, 'x']] }])
  })

  test('may be nothing, to be heard by oneself', () => {
    const all = untold([])
    expect(all.isEmpty).toBe(true)
    all.addNothing()
    expect(all.isEmpty).toBe(false)
    expect(read(all.take(NODE))).toEqual([{ node: NODE, hints: [] }])
    expect(all.isEmpty).toBe(true)
  })
})

describe('what no node has said', () => {
  test.each([
    '',
    'null',
    '7',
    '"x"',
    '{}',
    '[]',
    '["n"]',
    '["n",[],1]',
    '[1,[]]',
    '["",[]]',
    '["n",{}]',
    '["n",[null]]',
    '["n",[["s",1]]]',
    '["n",[["s",1,null,2]]]',
    '["n",[["s",0,null]]]',
    '["n",[["s",-1,null]]]',
    '["n",[["s",1.5,null]]]',
    '["n",[["s",1e308,null]]]',
    '["n",[["s",9007199254740993,null]]]',
    '["n",[["s","1",null]]]',
    '["n",[["s",[1],null]]]',
    '["n",[["__proto__\\u0000",1,null]]]',
    '["n",[["s",1,7]]]',
    '["n",[["s",1,"a b"]]]',
    '["n",[["s",1,null],["s",0,null]]]',
    `["n",[["${'s'.repeat(65)}",1,null]]]`,
    '['.repeat(7_999),
    `${'['.repeat(3_999)}${']'.repeat(3_999)}`,
  ])('is not read: %.40s', (payload) => {
    expect(readMessage(payload)).toBeNull()
  })

  test('is refused or has the shape of a message, whatever it is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (payload) => {
        const message = readMessage(payload)
        if (message !== null) expect(typeof message.node).toBe('string')
      }),
    )
  })
})
