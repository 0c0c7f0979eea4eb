import { describe, expect, test } from 'vitest'

import { pushBody, put } from '../../../test/cloud/requests.ts'
import { openTestCloud, valueOf, type TestCloud } from '../../../test/cloud/test-cloud.ts'
import { silentLogger } from '../../kernel/logger.ts'
import { seededRandom } from '../../kernel/random.ts'
import type { Change } from '../../protocol/records.ts'
import { createManualClock, type ManualClock } from '../../testing/manual-clock.ts'
import { alone, type Exclusive } from '../exclusive.ts'
import type { Log } from '../log/log.ts'
import { RETENTION, startCollector } from './collector.ts'

const DAY_MS = 86_400_000

describe('the collector', () => {
  const tombstones = async (cloud: TestCloud, space: string): Promise<number> =>
    valueOf<{ tombstones: number }>(
      await cloud.handler.handle({ route: 'status', token: cloud.token, query: { space } }),
    ).tombstones

  const makeTombstone = async (cloud: TestCloud, space: string): Promise<void> => {
    const gone: Change = { table: 'city', key: '[1]', op: 'delete', base: 1, hlc: 2_000 }
    for (const [at, change] of [put(1), gone].entries()) {
      await cloud.handler.handle({
        route: 'push',
        token: cloud.token,
        body: JSON.stringify(pushBody(at + 1, [change], { space })),
      })
    }
  }

  /** Moves time on by so many hours and lets what is due run. */
  const elapse = async (clock: ManualClock, hours: number): Promise<void> => {
    for (let hour = 0; hour < hours; hour++) {
      clock.elapse(3_600_000)
      for (let turn = 0; turn < 60; turn++) await Promise.resolve()
    }
  }

  const start = (cloud: TestCloud, clock: ManualClock, log: Log = cloud.log, exclusive: Exclusive = alone) =>
    startCollector({
      log,
      directory: cloud.directory,
      exclusive,
      clock,
      random: seededRandom(1),
      logger: silentLogger,
      retention: RETENTION,
    })

  test('drops tombstones after their time, in every space, though one fails', async () => {
    const clock = createManualClock(100 * DAY_MS)
    await using cloud = await openTestCloud({ clock })
    for (const space of ['a', 'b', 'c']) await makeTombstone(cloud, space)
    const sick = (await cloud.directory.findSpace('ours', 'b')) ?? ''
    const log = new Proxy(cloud.log, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        if (name !== 'collect') return value.bind(target)
        return async (...[space, options]: Parameters<Log['collect']>) => {
          if (space === sick) throw new Error('no')
          return target.collect(space, options)
        }
      },
    })
    const stop = start(cloud, clock, log)
    await elapse(clock, 24)
    expect(await Promise.all(['a', 'b', 'c'].map((space) => tombstones(cloud, space)))).toEqual([1, 1, 1])
    await elapse(clock, 30 * 24)
    expect(await Promise.all(['a', 'b', 'c'].map((space) => tombstones(cloud, space)))).toEqual([0, 1, 0])
    await stop()
    expect(clock.pending).toEqual([])
  })

  test('waits with it while another node has the turn, and stops when the turn is lost', async () => {
    const clock = createManualClock(100 * DAY_MS)
    await using cloud = await openTestCloud({ clock })
    for (const space of ['a', 'b']) await makeTombstone(cloud, space)
    const turns: string[] = []
    let answer: 'refused' | 'broken' | 'lost' | 'ours' = 'refused'
    const exclusive: Exclusive = {
      async run(name, work) {
        turns.push(`${name} ${answer}`)
        if (answer === 'broken') throw new Error('no')
        if (answer === 'refused') return false
        await work(answer === 'lost' ? AbortSignal.abort() : new AbortController().signal)
        return true
      },
    }
    const stop = start(cloud, clock, cloud.log, exclusive)
    const left = async () => (await tombstones(cloud, 'a')) + (await tombstones(cloud, 'b'))
    await elapse(clock, 31 * 24)
    for (const next of ['broken', 'lost'] as const) {
      answer = next
      await elapse(clock, 3)
      expect(await left()).toBe(2)
    }
    answer = 'ours'
    await elapse(clock, 3)
    expect(await left()).toBe(0)
    expect(new Set(turns)).toEqual(
      new Set(['collect refused', 'collect broken', 'collect lost', 'collect ours']),
    )
    await stop()
    expect(clock.pending).toEqual([])
  })

  test('a stop waits for the space at hand and looks at no other', async () => {
    const clock = createManualClock(100 * DAY_MS)
    await using cloud = await openTestCloud({ clock })
    for (const space of ['a', 'b']) await makeTombstone(cloud, space)
    let go = (): void => {}
    const held = new Promise<void>((resolve) => (go = resolve))
    const seen: string[] = []
    const log = new Proxy(cloud.log, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        if (name !== 'collect') return value.bind(target)
        return async (space: string) => {
          seen.push(space)
          await held
          return 0
        }
      },
    })
    const stop = start(cloud, clock, log)
    await elapse(clock, 1)
    const stopping = stop()
    go()
    await stopping
    expect(seen.length).toBe(1)
    expect(clock.pending).toEqual([])
  })
})
