import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { batchRows, meetings, SCHEMA } from '../../../test/cloud/arbitrary-pushes.ts'
import { PlainSpace, T0 } from '../../../test/cloud/plain-space.ts'
import type { Change } from '../../protocol/records.ts'
import { decideBatch } from './batch.ts'
import type { Mutation } from './decide.ts'
import { decideGroup, foldWrites, mustStandAlone, type Folded } from './decide-group.ts'
import { readsOf, spaceView, toGroupView, type GroupView } from './group-view.ts'
import { claimValue, listClaims } from './standing.ts'

/** The same cases each time, so that what they come to can be counted; others by hand. */
const SEED = Number(process.env['TIDEMARK_FUZZ_SEED'] ?? 1)
const RUNS = Number(process.env['TIDEMARK_FUZZ_RUNS'] ?? 2_000)
const runs = { numRuns: RUNS, seed: SEED }

const json = (value: unknown): string => JSON.stringify(value, null, 1)
const readFor = (space: PlainSpace, group: readonly Mutation[]): GroupView =>
  space.read(readsOf(group.flatMap(({ changes }) => changes)))

/** What must have happened now and then, or agreeing says little. */
const seen = new Map<string, number>()
const note = (what: string, times = 1): void => void seen.set(what, (seen.get(what) ?? 0) + times)

function noteFolded({ writes, total, drops, takes }: Folded): void {
  note('written twice', total - writes.length)
  for (const { index, table, value, key } of takes) {
    const from = drops.find((drop) => drop.table === table && drop.index === index && drop.value === value)
    if (from !== undefined && from.key !== key) note('a value moves')
  }
  for (const { before, after } of writes) {
    if (before === null && after.record.deleted === true) note('comes and goes')
    if (before?.record.deleted === true && after.record.deleted !== true) note('comes back')
    const kept = listClaims(after.claims).some(
      ({ index, value }) => claimValue(before?.claims ?? {}, index) === value,
    )
    if (kept) note('a value stays')
  }
}

describe('decideGroup', () => {
  test('I3 I5: comes to what deciding one after the other comes to, at any head', () => {
    fc.assert(
      fc.property(meetings, ({ space, group, ahead }) => {
        const view = readFor(space, group)
        const one = space.copy()
        one.head += ahead
        const folded = one.copy()
        const decision = decideGroup(group, view, view.head + ahead)
        const answers = group.map((mutation) => {
          const { head, results } = one.push(mutation)
          return { head, results }
        })
        expect(json(decision.answers)).toBe(json(answers))
        for (const { status } of answers.flatMap(({ results }) => results)) note(status)
        const before = folded.counts()
        folded.writeFolded(decision)
        expect(folded.text()).toBe(one.text())
        for (const { after, text } of decision.writes)
          expect(text).toBe(after.record.deleted === true ? null : JSON.stringify(after.record.fields))
        for (const [table, count] of decision.counts) {
          const { live, buried } = before.get(table) ?? { live: 0, buried: 0 }
          const sum = { live: live + count.live, buried: buried + count.buried }
          expect(sum).toEqual(folded.counts().get(table))
        }
        for (const [table, count] of folded.counts())
          if (!decision.counts.has(table)) expect(count).toEqual(before.get(table))
        noteFolded(decision)
      }),
      runs,
    )
    const expected = [
      'ok',
      'conflict',
      'taken',
      'rejected',
      'written twice',
      'a value moves',
      'a value stays',
    ]
    for (const what of [...expected, 'comes and goes', 'comes back'])
      expect.soft(seen.get(what) ?? 0, what).toBeGreaterThan(RUNS / 100)
  })

  test('a batch is folded alike, though it writes a row more than once by itself', () => {
    let twice = 0
    fc.assert(
      fc.property(meetings, batchRows, ({ space, ahead }, rows) => {
        const view = space.read(readsOf(rows))
        const one = space.copy()
        one.head += ahead
        const folded = one.copy()
        const plain = decideBatch(rows, one.asView(), SCHEMA)
        for (const write of plain.writes) one.write([write], write.after.record.version)
        const { writes, stands } = decideBatch(rows, spaceView(view, view.head + ahead), SCHEMA)
        expect(stands).toEqual(plain.stands)
        const decision = foldWrites(writes, view.head + ahead)
        folded.writeFolded(decision)
        expect(folded.text()).toBe(one.text())
        twice += decision.total - decision.writes.length
      }),
      runs,
    )
    expect(twice).toBeGreaterThan(RUNS / 100)
  })

  const put = (key: string, base: number, more: Partial<Change> = {}): Change => ({
    table: 't',
    key,
    op: 'put',
    base,
    hlc: T0,
    fields: { a: 1 },
    ...more,
  })
  const push = (replica: string, ...changes: readonly Change[]): Mutation => ({
    replica,
    force: false,
    changes,
  })

  /** The head is 10; rows 1 and 2 stand at 9 and 10 and hold `x` and `y`. */
  function smallSpace(): PlainSpace {
    const space = new PlainSpace()
    space.head = 8
    space.push(push('a', put('[1]', 0, { claims: { i: 'x' } }), put('[2]', 0, { claims: { i: 'y' } })))
    return space
  }

  test('values change hands over several pushes: all are let go before any is taken', () => {
    const space = smallSpace()
    const group = [
      push('a', put('[1]', 9, { claims: { i: null } })),
      push('b', put('[2]', 10, { claims: { i: 'x' } })),
      push('c', put('[3]', 0, { claims: { i: 'y' } })),
      push('d', put('[4]', 0, { claims: { i: 'x' } })),
    ]
    const { answers, drops, takes, writes } = decideGroup(group, readFor(space, group), 10)
    expect(answers.map(({ results }) => results[0]?.status)).toEqual(['ok', 'ok', 'ok', 'taken'])
    expect(drops).toEqual([
      { table: 't', index: 'i', value: 'x', key: '[1]' },
      { table: 't', index: 'i', value: 'y', key: '[2]' },
    ])
    expect(takes).toEqual([
      { table: 't', index: 'i', value: 'x', key: '[2]' },
      { table: 't', index: 'i', value: 'y', key: '[3]' },
    ])
    expect(writes.map(({ key, offset }) => [key, offset])).toEqual([
      ['[1]', 1],
      ['[2]', 2],
      ['[3]', 3],
    ])
  })

  test('what a push is refused for leaves nothing behind for those after it', () => {
    const space = smallSpace()
    const group = [
      push('a', put('[1]', 9, { claims: { i: 'y' } })),
      push('b', put('[2]', 3, { fields: { a: 2 } })),
      push('c', put('[2]', 10, { fields: { a: 3 }, claims: { i: 'z' } })),
      push('d', put('[1]', 9, { claims: { i: 'y' } })),
    ]
    const { answers, total } = decideGroup(group, readFor(space, group), 10)
    expect(answers.map(({ head, results }) => [head, results[0]?.status])).toEqual([
      [10, 'taken'],
      [10, 'conflict'],
      [11, 'ok'],
      [12, 'ok'],
    ])
    expect(total).toBe(2)
  })

  test('a row that is written twice has the place of its last version, and its first state as before', () => {
    const space = smallSpace()
    const group = [
      push('a', put('[3]', 0), put('[1]', 9, { fields: { b: 1 } })),
      push('b', put('[1]', 9, { fields: { c: 1 } })),
    ]
    const { writes, total, counts } = decideGroup(group, readFor(space, group), 10)
    expect(total).toBe(3)
    expect(writes.map(({ key, offset }) => [key, offset])).toEqual([
      ['[3]', 1],
      ['[1]', 3],
    ])
    expect(writes[1]?.before).toBe(space.standing('t', '[1]'))
    expect(writes[1]?.text).toBe('{"a":1,"b":1,"c":1}')
    expect(writes[1]?.after.record.fieldVersions).toEqual({ b: [12, T0], c: [13, T0] })
    expect([...counts]).toEqual([['t', { live: 1, buried: 0 }]])
  })

  describe('a base above the head', () => {
    const early = push('a', put('[1]', 9, { fields: { a: 2 } }))
    const late = push('b', put('[1]', 11, { fields: { a: 3 } }))

    test('is compared with versions that nobody knows yet where others are before it', () => {
      const space = smallSpace()
      const statusAt = (head: number): string | undefined => {
        const then = space.copy()
        then.head = head
        then.push(early)
        return then.push(late).results[0]?.status
      }
      expect([statusAt(10), statusAt(11)]).toEqual(['ok', 'conflict'])
    })

    test('must stand alone, or first', () => {
      const space = smallSpace()
      expect([early, late].map((mutation) => mustStandAlone(mutation, 10))).toEqual([false, true])
      const view = readFor(space, [early, late])
      // Nor later, when the head has passed its base: it was sent as decided on the view.
      for (const head of [10, 12])
        expect(() => decideGroup([early, late], view, head)).toThrow(/above the head/)
      for (const head of [10, 11, 12]) {
        const one = space.copy()
        one.head = head
        const results = [late, early].map((mutation) => one.push(mutation).results)
        expect(decideGroup([late, early], view, head).answers.map((answer) => answer.results)).toEqual(
          results,
        )
        expect(results[1]?.[0]?.status).toBe('conflict')
      }
    })
  })

  test('what was not read is not taken for missing', () => {
    const space = smallSpace()
    const row = push('a', put('[3]', 0, { claims: { i: 'z' } }))
    expect(() => decideGroup([row], space.read(readsOf([])), 10)).toThrow(/a row that was not read/)
    const rows = { ...readsOf(row.changes), claims: [] }
    expect(() => decideGroup([row], space.read(rows), 10)).toThrow(/a unique value that was not read/)
    // Not even where an earlier one in the group would tell.
    const view = space.read(readsOf([...row.changes, put('[1]', 9)]))
    const group = [
      push('b', put('[1]', 9, { claims: { i: null } })),
      push('a', put('[3]', 0, { claims: { i: 'x' } })),
    ]
    expect(() => decideGroup(group, view, 10)).toThrow(/a unique value that was not read/)
  })

  test('I4: a row and a head of different moments are no view', () => {
    const space = smallSpace()
    const reads = readsOf([put('[2]', 10)])
    const standings = [space.standing('t', '[2]')]
    expect(toGroupView({ head: 10, floor: 0, now: 1 }, reads, standings, []).rows.size).toBe(1)
    expect(() => toGroupView({ head: 9, floor: 0, now: 1 }, reads, standings, [])).toThrow(
      /newer than the head/,
    )
  })

  test('reads each row and value once, and none that a database would not take', () => {
    const reads = readsOf([
      put('[1]', 0, { claims: { i: 'x', j: null } }),
      put('[1]', 0, { claims: { i: 'x', k: 'x' } }),
      put('[2]', 0, { table: 'u', claims: { i: 'x' } }),
      put('[3]', 0, { op: 'delete', claims: { i: 'gone' } }),
      put('["\0"]', 0),
      put('["\ud800"]', 0),
      put('[4]', 0, { table: '\0' }),
      put('[5]', 0, { claims: { i: '\0' } }),
    ])
    expect(reads).toEqual({
      rows: [
        { table: 't', key: '[1]' },
        { table: 'u', key: '[2]' },
        { table: 't', key: '[3]' },
      ],
      claims: [
        { table: 't', index: 'i', value: 'x' },
        { table: 't', index: 'k', value: 'x' },
        { table: 'u', index: 'i', value: 'x' },
      ],
    })
  })
})
