import { describe, expect, test } from 'vitest'

import { seededRandom } from '../../../kernel/random.ts'
import { createManualClock, type ManualClock } from '../../../testing/manual-clock.ts'
import { startSweep, SWEEP_MS } from './sweep.ts'

const settle = () => new Promise(setImmediate)

/** A sweep whose looks begin at these times and end when they are told to. */
function openSweep(seed = 1, isQuick = true) {
  const clock = createManualClock()
  const looks: number[] = []
  let end = (): void => {}
  const sweep = startSweep(clock, seededRandom(seed), () => {
    looks.push(clock.now())
    return isQuick ? Promise.resolve() : new Promise((resolve) => (end = resolve))
  })
  return { clock, looks, sweep, end: () => end() }
}

async function pass(clock: ManualClock, ms: number, each = (): void => {}): Promise<void> {
  for (let passed = 0; passed < ms; passed += 10) {
    clock.elapse(10)
    each()
    await settle()
  }
}

describe('a sweep', () => {
  test('I8: looks within its time after each look, and nodes look at different times', async () => {
    const firsts = new Set<number>()
    for (let seed = 1; seed <= 5; seed++) {
      const { clock, looks, sweep } = openSweep(seed)
      await pass(clock, 3 * SWEEP_MS)
      expect(looks.length).toBeGreaterThanOrEqual(3)
      for (const [n, at] of looks.entries()) expect(at - (looks[n - 1] ?? 0)).toBeLessThanOrEqual(SWEEP_MS)
      firsts.add(looks[0] ?? 0)
      sweep.stop()
    }
    expect(firsts.size).toBeGreaterThan(1)
  })

  test('looks at once when asked, but not all the time, however often', async () => {
    const { clock, looks, sweep } = openSweep()
    sweep.soon()
    await pass(clock, 10)
    expect(looks).toEqual([0])
    await pass(clock, 10_000, () => sweep.soon())
    expect(looks.length).toBeGreaterThan(50)
    expect(looks.length).toBeLessThan(102)
  })

  test('I8: looks again when it was asked during a look, which may have begun too early', async () => {
    const { clock, looks, sweep, end } = openSweep(1, false)
    sweep.soon()
    await pass(clock, 10)
    sweep.soon()
    await pass(clock, 2 * SWEEP_MS)
    expect(looks).toHaveLength(1)
    end()
    await pass(clock, 200)
    expect(looks).toHaveLength(2)
  })

  test('looks no more when it was stopped, in a look too', async () => {
    for (const isQuick of [true, false]) {
      const { clock, looks, sweep, end } = openSweep(1, isQuick)
      sweep.soon()
      await pass(clock, 200)
      sweep.stop()
      end()
      sweep.soon()
      await pass(clock, 2 * SWEEP_MS)
      expect(looks).toHaveLength(1)
      expect(clock.pending).toEqual([])
    }
  })
})
