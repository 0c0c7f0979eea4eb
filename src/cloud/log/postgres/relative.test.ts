import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { meetings } from '../../../../test/cloud/arbitrary-pushes.ts'
import type { PushResult } from '../../../protocol/push.ts'
import type { WireRecord } from '../../../protocol/records.ts'
import { decideGroup } from '../decide-group.ts'
import { readsOf } from '../group-view.ts'
import { keepAnswer, repeatAnswer } from '../kept-answer.ts'
import { mergedRecord, NO_CLAIMS, wholeRecord, type StandingClaims } from '../standing.ts'
import { agesText, claimsText, keepRelativeAnswer, repeatRelativeAnswer } from './relative.ts'

/** The same cases each time, so that what they come to can be counted; others by hand. */
const SEED = Number(process.env['TIDEMARK_FUZZ_SEED'] ?? 1)
const RUNS = Number(process.env['TIDEMARK_FUZZ_RUNS'] ?? 2_000)
const runs = { numRuns: RUNS, seed: SEED }

/** As the commit puts versions in the place of marks. */
const absolute = (text: string | null, own: number): string | null =>
  text
    ?.replaceAll('\u0001', `${own}`)
    .split('\u0002')
    .map((part, at) => (at % 2 === 0 ? part : `${own - Number(part)}`))
    .join('') ?? null

const agesOf = ({ since, fieldVersions }: WireRecord): string | null =>
  since === undefined
    ? null
    : JSON.stringify({ since, ...(fieldVersions === undefined ? {} : { fieldVersions }) }).slice(1, -1)
const heldOf = (claims: StandingClaims): string | null =>
  claims === NO_CLAIMS ? null : JSON.stringify(claims)

describe('versions before the commit', () => {
  test('are, once it is made, those that deciding at its head gives', () => {
    const seen = { own: 0, earlier: 0, claims: 0, old: 0, kept: 0 }
    fc.assert(
      fc.property(meetings, ({ space, group, ahead }) => {
        const view = space.read(readsOf(group.flatMap(({ changes }) => changes)))
        const head = view.head + ahead
        const sent = decideGroup(group, view, view.head)
        const due = decideGroup(group, view, head)
        expect(sent.total).toBe(due.total)
        expect([sent.drops, sent.takes, sent.counts]).toEqual([due.drops, due.takes, due.counts])
        const after = space.copy()
        after.head = head
        after.writeFolded(due)

        expect(sent.writes.length).toBe(due.writes.length)
        for (const [at, write] of sent.writes.entries()) {
          const { record, claims } = write.after
          const own = record.version
          const ages = agesText(record, view.head)
          const held = claimsText(claims, own, view.head)
          const { since: _, fieldVersions: __, ...rest } = record
          const stored = {
            place: [write.table, write.key, write.offset, write.text, write.after.was],
            before: write.before,
            record: { ...rest, version: head + write.offset },
            ages: absolute(ages, head + write.offset),
            claims: absolute(held, head + write.offset),
          }
          const other = due.writes[at] as (typeof due.writes)[number]
          const { since: ___, fieldVersions: ____, ...same } = other.after.record
          expect(JSON.stringify(stored, null, 1)).toBe(
            JSON.stringify(
              {
                place: [other.table, other.key, other.offset, other.text, other.after.was],
                before: other.before,
                record: same,
                ages: agesOf(other.after.record),
                claims: heldOf(other.after.claims),
              },
              null,
              1,
            ),
          )
          // Decided under the lock, where the head is known, nothing differs.
          expect(absolute(agesText(other.after.record, head), other.after.record.version)).toBe(stored.ages)
          if (ages?.includes('\u0001') === true) seen.own++
          if (`${ages}${held}`.includes('\u0002')) seen.earlier++
          if (held !== null) seen.claims++
          if (/\[\d+,/.test(ages ?? '')) seen.old++
        }

        const read = (table: string, key: string) => after.standing(table, key)?.record ?? null
        for (const [at, { changes }] of group.entries()) {
          const kept = keepRelativeAnswer(sent.answers[at]?.results ?? [], changes, view.head)
          const told = repeatRelativeAnswer(kept, head, read)
          const results = due.answers[at]?.results ?? []
          expect(JSON.stringify(told)).toBe(JSON.stringify(repeatAnswer(keepAnswer(results, changes), read)))
          if (kept.includes('-')) seen.kept++
        }
      }),
      runs,
    )
    for (const [what, times] of Object.entries(seen)) expect.soft(times, what).toBeGreaterThan(RUNS / 50)
  })

  const stamp = (version: number) => ({ version, hlc: version * 10, by: 'r', sealed: undefined })
  const whole = wholeRecord('t', '[1]', { a: 1, b: 1, c: 1, '"\u0001\u0002': 1 }, stamp(5))
  const once = mergedRecord(whole, { ...whole.fields, a: 2 }, { a: 2 }, stamp(101))
  const twice = mergedRecord(once, { ...once.fields, b: 2 }, { b: 2 }, stamp(103))

  test('marks in ages stand for versions above the head, and for no other', () => {
    expect(agesText(whole, 100)).toBe(null)
    expect(agesText(once, 100)).toBe('"since":[5,50],"fieldVersions":{"a":[\u0001,1010]}')
    expect(agesText(twice, 100)).toBe(
      '"since":[5,50],"fieldVersions":{"a":[\u00022\u0002,1010],"b":[\u0001,1030]}',
    )
    expect(agesText(twice, 101)).toBe('"since":[5,50],"fieldVersions":{"a":[101,1010],"b":[\u0001,1030]}')
    expect(agesText(mergedRecord(whole, whole.fields ?? {}, {}, stamp(101)), 100)).toBe('"since":[5,50]')
  })

  test('a name that holds the marks themselves is no mark', () => {
    const record = mergedRecord(
      whole,
      { ...whole.fields, '"\u0001\u0002': 2 },
      { '"\u0001\u0002': 2 },
      stamp(101),
    )
    expect(agesText(record, 100)).toBe('"since":[5,50],"fieldVersions":{"\\"\\u0001\\u0002":[\u0001,1010]}')
  })

  test('marks in claims', () => {
    expect(claimsText(NO_CLAIMS, 103, 100)).toBe(null)
    const claims = Object.fromEntries([
      ['__proto__', [null, 101]],
      ['i', ['"x"\u0002', 103]],
      ['j', ['y', 100]],
    ] as const)
    expect(claimsText(claims, 103, 100)).toBe(
      '{"__proto__":[null,\u00022\u0002],"i":["\\"x\\"\\u0002",\u0001],"j":["y",100]}',
    )
  })

  test('an answer keeps old versions apart from new ones, though they follow each other at first', () => {
    const results = [99, 100, 101, 102].map((version): PushResult => ({ status: 'ok', version }))
    const changes = results.map(
      (_, at) => ({ table: 't', key: `[${at}]`, op: 'delete', base: 0, hlc: 1 }) as const,
    )
    const kept = keepRelativeAnswer(results, changes, 100)
    expect(kept).toBe('[[0,-99,1],[0,-100,1],[0,1,2]]')
    const told = repeatRelativeAnswer(kept, 250, () => null)
    expect(told.map((result) => result.status === 'ok' && result.version)).toEqual([99, 100, 251, 252])
  })

  test('an answer of many new rows is short', () => {
    const results = Array.from({ length: 2_000 }, (_, at): PushResult => ({ status: 'ok', version: 8 + at }))
    expect(keepRelativeAnswer(results, [], 7)).toBe('[[0,1,2000]]')
    expect(repeatRelativeAnswer('[[0,1,2000]]', 7, () => null)).toEqual(results)
  })
})
