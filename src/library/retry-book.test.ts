import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { makeOperation } from '../../test/library/operation.ts'
import type { QuarantineEntry } from '../engine/inbox.ts'
import { BACK_OFF_FIRST_MS, BACK_OFF_MAX_MS } from '../kernel/back-off.ts'
import { seededRandom } from '../kernel/random.ts'
import {
  chooseRetries,
  FAILED_RETRY_MS,
  isEmpty,
  nextRetryAt,
  observe,
  RETRIES_PER_SYNC,
  rowName,
  type OpenOperation,
  type Operation,
  type Sight,
} from './retry-book.ts'

/** Chance that takes nothing off a wait. */
const random = { next: () => 0 }
const rules = { maxRetries: 3, random }
const NOW = 1_000_000

const operation = (given: Partial<Operation> = {}): Operation => makeOperation(NOW, { sequence: 1, ...given })

const entry = (given: Partial<QuarantineEntry> = {}): QuarantineEntry => ({
  id: 'e1',
  table: 'notes',
  key: '["a"]',
  op: 'put',
  code: 'unprocessable',
  message: 'why',
  at: NOW,
  ...given,
})

const sight = (given: Partial<Sight> = {}): Sight => ({
  quarantine: [],
  unsettled: new Set(),
  synced: new Set(['notes']),
  ...given,
})

describe('what becomes of an operation', () => {
  const cases: readonly (readonly [
    string,
    Partial<Operation> | null,
    Partial<Sight>,
    Partial<Operation> | 'same' | 'removed' | 'none',
  ])[] = [
    [
      'refused first',
      null,
      { quarantine: [entry()] },
      { failures: 1, status: 'pending', nextAt: NOW + 15_000, sequence: 0 },
    ],
    ['seen before', {}, { quarantine: [entry()] }, 'same'],
    [
      'refused again',
      {},
      { quarantine: [entry({ id: 'e2', message: 'other' })] },
      { failures: 2, entry: 'e2', message: 'other', nextAt: NOW + 30_000 },
    ],
    [
      'refused the last time',
      { failures: 2 },
      { quarantine: [entry({ id: 'e2' })] },
      { failures: 3, status: 'failed', nextAt: NOW + FAILED_RETRY_MS },
    ],
    [
      'refused after it failed',
      { failures: 3, status: 'failed' },
      { quarantine: [entry({ id: 'e2' })] },
      { failures: 4, status: 'failed', nextAt: NOW + FAILED_RETRY_MS },
    ],
    ['on its way, or in the inbox', {}, { unsettled: new Set([rowName(entry())]) }, 'same'],
    ['taken by the cloud', {}, {}, { status: 'completed', completedAt: NOW }],
    ['taken after it failed', { status: 'failed', failures: 5 }, {}, { status: 'completed', failures: 5 }],
    ['of a table that is not synced', {}, { synced: new Set() }, 'removed'],
    ['refused, in a table that is not synced', null, { quarantine: [entry({ table: '' })] }, 'none'],
    [
      'the clock went back',
      { nextAt: NOW + 99_000_000 },
      { quarantine: [entry()] },
      { nextAt: NOW + 15_000 },
    ],
    [
      'failed, and the clock went back',
      { status: 'failed', failures: 3, nextAt: NOW + 99_000_000 },
      { quarantine: [entry()] },
      { nextAt: NOW + FAILED_RETRY_MS },
    ],
    [
      'more retries allowed than before',
      { status: 'failed', failures: 2, nextAt: NOW + FAILED_RETRY_MS },
      { quarantine: [entry()] },
      { status: 'pending', failures: 2, nextAt: NOW + 30_000 },
    ],
    [
      'fewer retries allowed than before',
      { status: 'pending', failures: 4, nextAt: NOW + 5 },
      { quarantine: [entry()] },
      { status: 'failed', failures: 4, nextAt: NOW + 5 },
    ],
  ]
  it.each(cases)('%s', (_what, before, seen, expected) => {
    const open = before === null ? [] : [operation(before)]
    const { book, changes } = observe(open, sight(seen), NOW, rules)
    const after = [...changes.added, ...changes.changed.map((change) => change.after)]
    if (expected === 'none') return expect([book, after]).toEqual([[], []])
    if (expected === 'same') {
      expect(isEmpty(changes)).toBe(true)
      return expect(book.map((one) => one.operation)).toEqual(open)
    }
    if (expected === 'removed') return expect([book, changes.removed]).toEqual([[], open])
    expect(after).toMatchObject([expected])
    expect(changes.changed.map((change) => change.before)).toEqual(open)
    // What was written once is not written again.
    if (expected.status !== 'completed') {
      expect(book.map((one) => one.operation)).toEqual(after)
      expect(isEmpty(observe(after, sight(seen), NOW, rules).changes)).toBe(true)
    } else expect(book).toEqual([])
  })

  it('keys of different tables are different rows', () => {
    const both = [entry(), entry({ id: 'e2', table: 'tasks' })]
    const { changes } = observe(
      [],
      sight({ quarantine: both, synced: new Set(['notes', 'tasks']) }),
      NOW,
      rules,
    )
    expect(changes.added.map(({ table, entry: id }) => [table, id])).toEqual([
      ['tasks', 'e2'],
      ['notes', 'e1'],
    ])
  })
})

describe('what is retried', () => {
  const open = (given: Partial<Operation>, waits = true): OpenOperation => ({
    operation: operation(given),
    waits,
  })
  const due = open({ sequence: 1, nextAt: NOW })
  const later = open({ sequence: 2, nextAt: NOW + 1 })
  const failedDue = open({ sequence: 3, nextAt: NOW - 5, status: 'failed', failures: 3 })
  const failedLater = open({ sequence: 4, nextAt: NOW + 5, status: 'failed', failures: 3 })
  const sent = open({ sequence: 5, nextAt: NOW - 9, status: 'failed', failures: 3 }, false)
  const book = [due, later, failedDue, failedLater, sent]
  const chosen = (onDemand: boolean): readonly number[] =>
    chooseRetries(book, NOW, { random, onDemand }).map(({ after }) => after.sequence)

  it('is what waits and is due', () => expect(chosen(false)).toEqual([1, 3]))
  it('on demand is everything that failed and waits', () => expect(chosen(true)).toEqual([3, 4]))

  it('has its next turn planned first, as if it failed again', () => {
    const planned = chooseRetries(book, NOW, { random }).map(({ before, after }) => [
      before.failures,
      after.failures,
      after.nextAt - NOW,
    ])
    expect(planned).toEqual([
      [1, 1, BACK_OFF_FIRST_MS],
      [3, 3, FAILED_RETRY_MS],
    ])
  })

  it('I9: is so much at a time, the longest due first, and no lane stops the other', () => {
    const many = Array.from({ length: RETRIES_PER_SYNC + 5 }, (_, at) =>
      open({ sequence: at, nextAt: NOW - at, status: 'failed', failures: 9 }),
    )
    const sequences = chooseRetries([...many, due], NOW, { random }).map(({ before }) => before.sequence)
    expect(sequences).toHaveLength(RETRIES_PER_SYNC + 1)
    expect(sequences.slice(0, 2)).toEqual([1, RETRIES_PER_SYNC + 4])
    expect(chooseRetries(many, NOW, { random, onDemand: true })).toHaveLength(many.length)
  })

  it('I8: is told beforehand', () => {
    expect(nextRetryAt(book)).toBe(NOW - 5)
    expect(nextRetryAt([sent])).toBe(null)
    expect(nextRetryAt([])).toBe(null)
  })
})

/** Rows with a cloud that refuses some of them, and everything that may happen between. */
type Step =
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'edit'; readonly row: number }
  | { readonly kind: 'heal'; readonly row: number }
  | { readonly kind: 'poison'; readonly row: number }
  /** `cut`: how many of the chosen rows are marked before the process dies. */
  | { readonly kind: 'retry'; readonly onDemand: boolean; readonly cut: number }
  | { readonly kind: 'observe' }
  | { readonly kind: 'push' }

const ROWS = 4
const row = fc.nat(ROWS - 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 2_000_000 }) }),
  fc.record({ kind: fc.constant('edit' as const), row }),
  fc.record({ kind: fc.constant('heal' as const), row }),
  fc.record({ kind: fc.constant('poison' as const), row }),
  fc.record({ kind: fc.constant('retry' as const), onDemand: fc.boolean(), cut: fc.nat(ROWS) }),
  fc.record({ kind: fc.constant('observe' as const) }),
  fc.record({ kind: fc.constant('push' as const) }),
)

class Model {
  now = NOW
  entries = 0
  readonly chance = seededRandom(3)
  readonly dirty = new Set<number>()
  readonly poisonous = new Set<number>([0, 1])
  readonly quarantine = new Map<number, QuarantineEntry>()
  /** Entries that there ever were, by row: refusals. */
  readonly refusals = new Map<number, number>()
  /** When each row was marked again last, and after which failures. */
  readonly retried = new Map<
    string,
    { readonly at: number; readonly failures: number; readonly status: string }
  >()
  book: Operation[] = []
  done: Operation[] = []

  sight(): Sight {
    const held = [...this.dirty, ...this.quarantine.keys()]
    return {
      quarantine: [...this.quarantine.values()].reverse(),
      unsettled: new Set(held.map((at) => rowName({ table: 'notes', key: `[${at}]` }))),
      synced: new Set(['notes']),
    }
  }

  push(): void {
    for (const at of this.dirty) {
      this.quarantine.delete(at)
      if (!this.poisonous.has(at)) continue
      const id = `e${++this.entries}`
      this.quarantine.set(at, entry({ id, key: `[${at}]`, at: this.now }))
      this.refusals.set(at, (this.refusals.get(at) ?? 0) + 1)
    }
    this.dirty.clear()
  }

  observe(): readonly OpenOperation[] {
    const { book, changes } = observe(this.book, this.sight(), this.now, {
      maxRetries: 3,
      random: this.chance,
    })
    for (const { before, after } of changes.changed) {
      // Attempts only grow, one by one, and only for another entry.
      expect(after.failures - before.failures).toBe(after.entry === before.entry ? 0 : 1)
      expect(after.status === 'failed').toBe(after.failures >= 3 && after.status !== 'completed')
      if (after.status === 'completed') this.done.push(after)
    }
    this.book = book.map(({ operation: one }) => one)
    return book
  }

  retry(onDemand: boolean, cut: number): void {
    const book = this.observe()
    const chosen = chooseRetries(book, this.now, { random: this.chance, onDemand })
    for (const { before, after } of chosen) {
      expect(after.nextAt).toBeGreaterThan(this.now)
      const last = this.retried.get(before.key)
      // Nothing is retried before its time: not sooner after the last try than the back-off of its failures.
      if (!onDemand) {
        expect(before.nextAt).toBeLessThanOrEqual(this.now)
        if (last !== undefined && last.failures <= before.failures)
          expect(this.now - last.at).toBeGreaterThanOrEqual(0.8 * BACK_OFF_FIRST_MS)
        if (last !== undefined && last.status === 'failed' && before.status === 'failed')
          expect(this.now - last.at).toBeGreaterThanOrEqual(FAILED_RETRY_MS)
      }
      const { failures, status } = before
      this.retried.set(before.key, { at: this.now, failures, status })
    }
    const planned = new Map(chosen.map(({ before, after }) => [before, after]))
    this.book = this.book.map((one) => planned.get(one) ?? one)
    // The process may die here: what is planned is durable, what is marked is so only as far as it came.
    for (const { before } of chosen.slice(0, cut)) {
      const [at] = JSON.parse(before.key) as readonly [number]
      if (this.quarantine.get(at)?.id !== before.entry) continue
      this.quarantine.delete(at)
      this.dirty.add(at)
    }
  }

  run(given: Step): void {
    if (given.kind === 'wait') this.now += given.ms
    else if (given.kind === 'edit') this.dirty.add(given.row)
    else if (given.kind === 'heal') this.poisonous.delete(given.row)
    else if (given.kind === 'poison') this.poisonous.add(given.row)
    else if (given.kind === 'push') this.push()
    else if (given.kind === 'observe') this.observe()
    else this.retry(given.onDemand, given.cut)
  }
}

it('I8, I9: attempts only grow while refused, nothing is retried before its time, and everything in the end', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const model = new Model()
      for (const one of steps) {
        model.run(one)
        for (const { key, failures } of model.book) {
          const [at] = JSON.parse(key) as readonly [number]
          expect(failures).toBeLessThanOrEqual(model.refusals.get(at) ?? 0)
        }
      }
      // Whatever happened: the timer that the book asks for leads to a retry of every row, and a healed row is taken.
      model.poisonous.clear()
      for (let rounds = 0; model.quarantine.size > 0; rounds++) {
        expect(rounds).toBeLessThan(2 * ROWS + 2)
        const next = nextRetryAt(model.observe())
        expect(next).not.toBe(null)
        expect((next ?? 0) - model.now).toBeLessThanOrEqual(FAILED_RETRY_MS)
        model.now = Math.max(model.now, next ?? 0)
        model.retry(false, ROWS)
        model.push()
      }
      model.push()
      expect(model.observe()).toEqual([])
      expect(model.book).toEqual([])
    }),
    { numRuns: 500 },
  )
})

it('the sync never spins: a row that is refused for ever is sent fewer than 30 times in a day', () => {
  const model = new Model()
  model.dirty.add(0)
  model.push()
  const times: number[] = []
  const end = NOW + 24 * 3_600_000
  for (;;) {
    const next = nextRetryAt(model.observe())
    if (next === null || next > end) break
    model.now = Math.max(model.now, next)
    model.retry(false, ROWS)
    expect(model.dirty.size).toBe(1)
    times.push(model.now)
    model.push()
  }
  expect(times.length).toBeLessThan(30)
  expect(times.length).toBeGreaterThan(20)
  expect(BACK_OFF_MAX_MS).toBeLessThan(FAILED_RETRY_MS)
})
