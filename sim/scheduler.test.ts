import { describe, expect, it } from 'vitest'

import { createChance } from './chance.ts'
import { createOwner, Scheduler } from './scheduler.ts'

const create = (seed: number) => new Scheduler({ start: 1_000, chance: createChance(seed), keepTrace: 100 })

/** Two processes that write in turns, in an order that only chance decides. */
async function race(seed: number): Promise<{ readonly order: string; readonly hash: string }> {
  const scheduler = create(seed)
  const order: string[] = []
  const work = async (name: string): Promise<void> => {
    const owner = createOwner(name)
    for (let at = 0; at < 20; at++) {
      await scheduler.pause(owner, at % 3, `step ${at}`)
      order.push(name)
    }
  }
  void work('a')
  void work('b')
  while (await scheduler.step()) continue
  return { order: order.join(''), hash: scheduler.hash }
}

describe('scheduler', () => {
  it('gives the same order and the same hash for the same seed', async () => {
    expect(await race(7)).toEqual(await race(7))
  })

  it('gives other orders for other seeds', async () => {
    const orders = new Set<string>()
    for (let seed = 1; seed <= 20; seed++) orders.add((await race(seed)).order)
    expect(orders.size).toBeGreaterThan(15)
  })

  it('runs events in the order of time, and passes time with them', async () => {
    const scheduler = create(1)
    const owner = createOwner('a')
    const seen: number[] = []
    for (const ms of [30, 10, 20]) scheduler.after(owner, ms, 'tick', () => seen.push(scheduler.now))
    while (await scheduler.step()) continue
    expect(seen).toEqual([1_010, 1_020, 1_030])
  })

  it('never runs what belongs to a dead owner, nor what was cancelled', async () => {
    const scheduler = create(1)
    const [dead, live] = [createOwner('dead'), createOwner('live')]
    let ran = 0
    scheduler.after(dead, 5, 'never', () => ran++)
    const cancel = scheduler.after(live, 6, 'cancelled', () => ran++)
    scheduler.after(live, 7, 'runs', () => ran++)
    dead.alive = false
    cancel()
    expect(live.pending).toBe(1)
    while (await scheduler.step()) continue
    expect(ran).toBe(1)
    expect(live.pending).toBe(0)
  })
})
