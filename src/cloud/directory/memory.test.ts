import type { Clock } from '../../kernel/clock.ts'
import { seededRandom } from '../../kernel/random.ts'
import { directoryContract } from '../../testing/directory-contract.ts'
import { MemoryDirectory } from './memory.ts'

directoryContract('memory', async () => {
  let now = 1_700_000_000_000
  const clock: Clock = { now: () => now, after: () => () => {} }
  const directory = new MemoryDirectory({ clock, random: seededRandom(1) })
  return {
    directory,
    time: { now: () => now, advance: (ms) => void (now += ms) },
    other: async () => null,
    dump: async () => null,
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
})
