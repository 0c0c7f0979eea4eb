import { expect, test } from 'vitest'

import { createTurns } from './turns.ts'

/** Work that ends when it is told to. */
function createWork() {
  const ends: (() => void)[] = []
  let working = 0
  let most = 0
  const work = async (): Promise<void> => {
    most = Math.max(most, ++working)
    await new Promise<void>((resolve) => ends.push(resolve))
    working--
  }
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve()
  }
  return { work, ends, settle, most: () => most }
}

test('so many work at once, so many wait in the order in which they came, the others are turned away', async () => {
  const { work, ends, settle, most } = createWork()
  const turns = createTurns(2, 3, 'too many')
  const done: number[] = []
  const all = [0, 1, 2, 3, 4].map((at) => turns.take(work).then(() => done.push(at)))
  await expect(turns.take(work)).rejects.toMatchObject({ code: 'unavailable', retryAfterMs: 2_000 })
  await settle()
  for (let ended = 0; ended < 5; ended++) {
    expect(ends.length).toBeLessThanOrEqual(ended + 2)
    ends[ended]?.()
    await settle()
  }
  await Promise.all(all)
  expect([most(), done]).toEqual([2, [0, 1, 2, 3, 4]])
})

test('what fails gives its turn back', async () => {
  const turns = createTurns(1, 1, 'too many')
  const failing = () => Promise.reject(new Error('broken'))
  const both = [turns.take(failing), turns.take(failing)]
  for (const one of both) await expect(one).rejects.toThrow('broken')
  await expect(turns.take(async () => 'in turn')).resolves.toBe('in turn')
})
