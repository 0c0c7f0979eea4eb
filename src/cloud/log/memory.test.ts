import { describe, expect, test } from 'vitest'

import type { Clock } from '../../kernel/clock.ts'
import { randomInt, seededRandom } from '../../kernel/random.ts'
import { logContract } from '../../testing/log-contract.ts'
import { del, put, Reader, SPACE, START, type LogHarness } from '../../testing/log-contract/harness.ts'
import { runModel } from '../../testing/log-contract/model.ts'
import type { MemoryRules } from './memory-rules.ts'
import { MemoryLog, type MemoryLogOptions, type MemorySnapshot } from './memory.ts'

let seed = 0

/** Yields for a few turns, so that transactions interleave in ways that differ from run to run. */
function interleaving(at: number): () => Promise<void> {
  const random = seededRandom(at)
  return async () => {
    for (let turns = randomInt(random, 6); turns > 0; turns--) await Promise.resolve()
  }
}

const openMemory =
  (more: () => Partial<MemoryLogOptions>) =>
  async (now: number): Promise<LogHarness> => {
    let time = now
    const clock: Clock = { now: () => time, after: () => () => {} }
    const options = more()
    const open = (snapshot?: MemorySnapshot): MemoryLog =>
      new MemoryLog({ clock, random: seededRandom(++seed), ...options }, snapshot)
    let log = open()
    return {
      get log() {
        return log
      },
      time: { now: () => time, advance: (ms) => void (time += ms) },
      restart: async () => (log = open(log.snapshot())),
      save: async () => {
        const snapshot = log.snapshot()
        return async () => open(snapshot)
      },
      [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
    }
  }

logContract(
  'memory',
  openMemory(() => ({})),
  { seeds: 20 },
)
logContract(
  'memory, interleaved',
  openMemory(() => ({ yield: interleaving(seed) })),
  { seeds: 60 },
)

/** Each of the steps, broken in the way it is most easily broken. A new one for each log. */
const broken: { readonly [what: string]: () => Partial<MemoryRules> } = {
  'no lock is held': () => ({ lock: async () => () => {} }),
  'I4: versions come from a sequence before the commit': () => {
    let sequence = 0
    return {
      lock: async () => () => {},
      headForWriting: (_, changes) => (sequence += changes) - changes,
    }
  },
  'I4: a pull reads its records and its head at two moments': () => ({
    readSnapshot: async (records, head, pause) => {
      const page = records()
      await pause()
      return [page, head()]
    },
  }),
  'I3: mutation numbers are not looked at': () => ({
    judgeTurn: (_last, _staged, _request, hash) => ({ kind: 'apply', hashes: [hash] }),
  }),
}

describe('a memory log with a broken step', () => {
  for (const [what, rules] of Object.entries(broken)) {
    test(`is noticed: ${what}`, async () => {
      const open = openMemory(() => ({ yield: interleaving(seed), rules: rules() }))
      const runs = await Promise.allSettled(Array.from({ length: 40 }, (_, at) => runModel(open, at + 1)))
      expect(runs.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0)
    })
  }

  test('is noticed, I11: a hydrate does not hold the floor', async () => {
    const open = openMemory(() => ({
      rules: { acknowledgeHydrate: (_acked, _history, head) => head + 1_000 },
    }))
    await using harness = await open(START)
    const { log } = harness
    await log.ensureSpace(SPACE)
    const a = new Reader(log, 'a')
    const b = new Reader(log, 'b')
    await a.write(put('1', 0, {}))
    await b.start()
    await a.write(del('1', 1))
    expect(await log.collect(SPACE, { liveSince: START - 1, retainSince: 0 })).toBe(0)
    await log.forgetReplica(SPACE, 'a')
    expect(await log.collect(SPACE, { liveSince: START - 1, retainSince: 0 })).toBe(1)
  })
})

describe('a snapshot', () => {
  test('holds what is committed, and nothing that is under way', async () => {
    let reached = (): void => {}
    const atCommit = new Promise<void>((resolve) => (reached = resolve))
    const open = openMemory(() => ({
      async yield(point) {
        if (point !== 'commit') return
        reached()
        await new Promise<void>((resolve) => setTimeout(resolve, 1))
      },
    }))
    await using harness = await open(START)
    await harness.log.ensureSpace(SPACE)
    const a = new Reader(harness.log, 'a')
    const push = a.push([put('1', 0, {})])
    await atCommit
    const before = await harness.save()
    await push
    const after = await harness.save()
    expect((await (await before()).status(SPACE)).head).toBe(0)
    expect((await (await after()).status(SPACE)).head).toBe(1)
    await a.write(put('2', 0, {}))
    expect((await (await after()).status(SPACE)).head).toBe(1)
  })
})
