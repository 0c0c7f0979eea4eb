import { describe, expect, test } from 'vitest'

import type { Bus } from '../cloud/bus.ts'
import { randomInt, seededRandom } from '../kernel/random.ts'
import { waitUntil } from './failures.ts'

/** One bus under test, without members at first. */
export interface BusHarness extends AsyncDisposable {
  join(): Promise<Bus>
  /** Where hints can be lost; null where that cannot be. */
  readonly loss: BusLoss | null
}

export interface BusLoss {
  /** A commit of which no member tells: its node died before. What a sweep reads has that head from here on. */
  commitUntold(heads: ReadonlyMap<string, number>): Promise<void>
  /** Lets some of the time pass that members wait before they sweep; called until something happened. */
  passTime(): void
  /** Breaks what connects the members; they mend it themselves. */
  cut(): Promise<void>
}

type Heard = readonly [space: string, head: number, writer: string | null]

/** Listens to all, and waits for `watched`. */
function listen(bus: Bus, watched: readonly string[] = []) {
  const heard: Heard[] = []
  const stop = bus.subscribe({
    hear: (...hint) => heard.push(hint),
    watched: () => watched,
  })
  return {
    heard,
    stop,
    /** The latest head of a space of which it was told by a hint that is not of `own` alone. */
    headFor: (space: string, own: string) =>
      Math.max(0, ...heard.map(([of, head, writer]) => (of === space && writer !== own ? head : 0))),
  }
}

/** What every bus must do (`cloud/bus.ts`). */
export function busContract(name: string, open: () => Promise<BusHarness>): void {
  const run = (what: string, body: (harness: BusHarness) => Promise<void>): void => {
    test(what, async () => {
      await using harness = await open()
      await body(harness)
    })
  }
  const runLossy = (what: string, body: (join: BusHarness['join'], loss: BusLoss) => Promise<void>): void => {
    test(what, async (context) => {
      await using harness = await open()
      if (harness.loss === null) context.skip('nothing is ever lost on this bus')
      else await body(harness.join, harness.loss)
    })
  }

  describe(`bus contract: ${name}`, () => {
    run('a node hears its own commit before publish returns, and once', async ({ join }) => {
      await using a = await join()
      await using b = await join()
      const [own, also, other] = [listen(a), listen(a), listen(b)]
      a.publish('s1', 7, 'x')
      expect([own.heard, also.heard]).toEqual([[['s1', 7, 'x']], [['s1', 7, 'x']]])
      // What another says after it has come: an echo would have come before.
      await waitUntil(() => other.heard.length > 0)
      b.publish('s2', 1, null)
      await waitUntil(() => own.heard.length > 1)
      expect(own.heard).toEqual([
        ['s1', 7, 'x'],
        ['s2', 1, null],
      ])
    })

    run('I8: every other node hears of each head, with its writer', async ({ join }) => {
      await using a = await join()
      await using b = await join()
      await using c = await join()
      const [inB, inC] = [listen(b), listen(c)]
      a.publish('s1', 7, 'x')
      await waitUntil(() => inB.heard.length > 0 && inC.heard.length > 0)
      expect([inB.heard, inC.heard]).toEqual([[['s1', 7, 'x']], [['s1', 7, 'x']]])
    })

    run('I8: whoever did not write it hears of each head, however commits meet', async ({ join }) => {
      const random = seededRandom(1)
      await using a = await join()
      await using b = await join()
      await using c = await join()
      const members = [a, b, c]
      const spaces = ['s1', 's2', 's3']
      const writers = ['x', 'y', 'z']
      const ears = members.map((member) => listen(member))
      const heads = new Map<string, number>()
      /** For each space and each of the writers: the latest head that somebody else wrote. */
      const others = new Map<string, number>()
      for (let turn = 0; turn < 300; turn++) {
        const space = spaces[randomInt(random, 3)] ?? ''
        const head = (heads.get(space) ?? 0) + 1 + randomInt(random, 3)
        heads.set(space, head)
        const writer = writers[randomInt(random, 4)] ?? null
        members[randomInt(random, 3)]?.publish(space, head, writer)
        for (const own of writers) if (own !== writer) others.set(`${space} ${own}`, head)
        if (turn % 50 === 0) await new Promise(setImmediate)
      }
      const missing = () =>
        ears.flatMap((ear, member) =>
          [...others].filter(([key, head]) => {
            const [space = '', own = ''] = key.split(' ')
            return ear.headFor(space, own) < head && `${member} ${key}`
          }),
        )
      await waitUntil(() => missing().length === 0)
      // No hint is ahead of its space.
      for (const { heard } of ears)
        for (const [space, head] of heard) expect(head).toBeLessThanOrEqual(heads.get(space) ?? 0)
    })

    run('who unsubscribes hears nothing more; the others do', async ({ join }) => {
      await using a = await join()
      await using b = await join()
      const [gone, stays] = [listen(b), listen(b)]
      gone.stop()
      a.publish('s1', 1, null)
      await waitUntil(() => stays.heard.length > 0)
      expect(gone.heard).toEqual([])
    })

    run(
      'a node that is disposed of is not heard and hears nothing; what it said last arrives',
      async (bus) => {
        const a = await bus.join()
        await using b = await bus.join()
        await using c = await bus.join()
        const [inA, inB] = [listen(a), listen(b)]
        a.publish('s1', 1, 'x')
        await a[Symbol.asyncDispose]()
        await waitUntil(() => inB.heard.length > 0)
        const before = inA.heard.length
        a.publish('s1', 2, 'x')
        c.publish('s1', 3, 'y')
        await waitUntil(() => inB.headFor('s1', 'x') === 3)
        expect(inB.heard.map(([, head]) => head)).not.toContain(2)
        expect(inA.heard).toHaveLength(before)
        await a[Symbol.asyncDispose]()
      },
    )

    for (const count of [300, 5_000])
      run(`I8: nothing is lost of ${count} spaces in one go`, async ({ join, loss }) => {
        await using a = await join()
        await using b = await join()
        const spaces = Array.from({ length: count }, (_, n) => `space-of-a-long-name-${n}`.padEnd(64, '-'))
        const heads = new Map(spaces.map((space, n) => [space, n + 1]))
        const { heard } = listen(b, spaces)
        await loss?.commitUntold(heads)
        for (const [space, head] of heads) a.publish(space, head, 'w'.repeat(64))
        await waitUntil(() => new Set(heard.map(([space]) => space)).size === count)
        for (const [space, head] of heard) expect(heads.get(space)).toBe(head)
      })

    runLossy('I8: a commit that nobody told of is found by the sweep of who waits', async (join, loss) => {
      await using a = await join()
      await using b = await join()
      const [waits, idle] = [listen(a, ['s1', 's3']), listen(b, [])]
      await loss.commitUntold(
        new Map([
          ['s1', 4],
          ['s2', 5],
        ]),
      )
      await waitUntil(() => {
        loss.passTime()
        return waits.heard.length > 0
      })
      for (const hint of waits.heard) expect(hint).toEqual(['s1', 4, null])
      expect(idle.heard).toEqual([])
    })

    runLossy('I8: what was told while the connections were broken is made up for', async (join, loss) => {
      await using a = await join()
      await using b = await join()
      const waits = listen(b, ['s1'])
      for (let head = 1; head <= 3; head++) {
        await loss.commitUntold(new Map([['s1', head]]))
        await loss.cut()
        a.publish('s1', head, 'x')
        await waitUntil(() => waits.headFor('s1', 'y') === head)
      }
    })
  })
}
