import { expect, test } from 'vitest'

import { Life } from './life.ts'
import { portrait, sorted } from './portrait.ts'
import { openMemory, openSqlite } from './sides.ts'

/**
 * The same random life for two stores, this one and the one in memory, which the simulation proves against a model:
 * after each step everything that the port shows must be the same. Times apart, which the stores stamp themselves.
 */
async function live(seed: number, steps: number): Promise<void> {
  await using memory = openMemory()
  await using sqlite = await openSqlite()
  const life = new Life(seed)
  const names: string[] = []
  for (let at = 0; at < steps; at++) {
    const { inFlight, hydrating } = await memory.store.state()
    const { name, step } = life.next(inFlight !== null, hydrating !== null)
    names.push(name)
    const [expected, actual] = [await step(memory), await step(sqlite)]
    const story = `seed ${seed}, step ${at}:\n${names.slice(-8).join('\n')}`
    expect(sorted(actual), story).toEqual(sorted(expected))
    expect(await portrait(sqlite), story).toEqual(await portrait(memory))
  }
}

const [from, count] = (process.env['TIDEMARK_LIVES'] ?? '1,6').split(',').map(Number) as [number, number]

test('I1, I2: a random life is the same in memory and in a file', async () => {
  for (let seed = from; seed < from + count; seed++) await live(seed, 120)
})
