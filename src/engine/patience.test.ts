import { expect, test } from 'vitest'

import { TidemarkError } from '../kernel/errors.ts'
import { createWaiting } from './patience.ts'

const away = new TidemarkError('network', undefined, { details: { reason: 'ECONNRESET' } })

function wait(ms: number) {
  let now = 1_000
  const clock = { now: () => now, after: () => () => {} }
  const told: number[] = []
  const waiting = createWaiting({ ms, onWait: (_, pause) => told.push(pause) }, clock)
  return {
    told,
    waiting,
    /** A try that fails at once, and the next one after so long. */
    fail(pause: number, error = away): boolean {
      const waits = waiting.waitsUntil(error, now + pause)
      if (waits) now += pause
      return waits
    },
  }
}

test('a caller waits from try to try, told each time, until its patience would end before the next', () => {
  const { fail, told } = wait(10_000)
  expect([fail(1_000), fail(2_000), fail(4_000), fail(8_000)]).toEqual([true, true, true, false])
  expect(told).toEqual([1_000, 2_000, 4_000])
})

test('a pause that the cloud asks for and nobody waits for is no pause at all', () => {
  const { fail, told } = wait(10_000)
  expect(fail(10_001)).toBe(false)
  expect(told).toEqual([])
})

test('patience begins anew with everything that got on', () => {
  const { fail, waiting } = wait(10_000)
  for (let times = 0; times < 5; times++) {
    expect(fail(9_000)).toBe(true)
    waiting.gotOn()
  }
  expect([fail(9_000), fail(9_000)]).toEqual([true, false])
})

test('what only a person can mend is not waited for', () => {
  for (const code of ['unauthorized', 'bad_answer', 'aborted', 'needs_upgrade', 'invariant'] as const)
    expect(wait(10_000).fail(1_000, new TidemarkError(code))).toBe(false)
})

test('an address where nobody is is waited for only once the cloud was heard there', () => {
  const nobody = new TidemarkError('network', undefined, { details: { reason: 'ECONNREFUSED' } })
  expect(wait(10_000).fail(1_000, nobody)).toBe(false)
  const answered = wait(10_000)
  answered.waiting.heard()
  expect(answered.fail(1_000, nobody)).toBe(true)
  const refused = wait(10_000)
  expect([refused.fail(1_000), refused.fail(1_000, nobody)]).toEqual([true, true])
})
