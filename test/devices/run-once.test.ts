import { expect, it } from 'vitest'

import type { IdentityGuard } from '../../src/engine/identity.ts'
import type { EngineOptions } from '../../src/engine/options.ts'
import { TidemarkError } from '../../src/kernel/errors.ts'
import { createWorld, type Device, type World } from './two-devices.ts'

const ids = (device: Device) =>
  device.database
    .rows('notes')
    .map(({ id }) => id)
    .sort()

const insert = (device: Device, id: string) =>
  device.database.write((app) => app.insert('notes', { id, title: id, body: '' }))

/** What the device asked of the cloud while this was done. */
async function requestsOf(world: World, name: string, work: () => Promise<unknown>) {
  const before = world.requests(name).length
  await work()
  return world.requests(name).slice(before)
}

/** Device `b` stopped, in step with `a`, and a row on each side that the other lacks. */
async function stopped(options: Partial<EngineOptions> = {}) {
  const world = createWorld()
  const a = await world.device('a')
  const b = await world.device('b', options)
  await a.sync()
  await b.sync()
  await b.engine.stop()
  insert(a, 'of-a')
  insert(b, 'of-b')
  await a.sync()
  return { world, a, b }
}

/** The same, but the cloud's answer to a push of `b` was lost, and `b` has another row since. */
async function stoppedInFlight(options: Partial<EngineOptions> = {}) {
  const { world, a, b } = await stopped()
  await b.engine.start()
  world.loseNextPushAnswer('b')
  await b.sync().catch(() => {})
  await b.engine.stop()
  expect((await b.store.state()).inFlight).not.toBeNull()
  insert(a, 'of-a-later')
  insert(b, 'of-b-later')
  await a.sync()
  return { world, a, b: await world.again('b', options, false) }
}

it('one run is one cycle: one pull, and a push of what is here', async () => {
  const { world, a, b } = await stopped()
  await using _world = world
  const once = await world.again('b', {}, false)
  const requests = await requestsOf(world, 'b', async () => {
    expect(await once.engine.runOnce()).toMatchObject({ pushed: 1, pulled: 1, applied: 1 })
  })
  expect(requests).toEqual(['pull', 'push'])
  expect(once.engine.phase).toBe('idle')
  expect(ids(b)).toEqual(['of-a', 'of-b'])
  await a.sync()
  expect(ids(a)).toEqual(['of-a', 'of-b'])
})

it('I8: one run that finds a mutation in flight sends it, and then does the whole cycle', async () => {
  const { world, a, b } = await stoppedInFlight()
  await using _world = world
  const requests = await requestsOf(world, 'b', () => b.engine.runOnce())
  expect(requests).toEqual(['push', 'pull', 'push'])
  expect(ids(b)).toEqual(['of-a', 'of-a-later', 'of-b', 'of-b-later'])
  await a.sync()
  expect(ids(a)).toEqual(ids(b))
})

it('one run of a replica that only sends sends everything, beside what was in flight', async () => {
  const { world, b } = await stoppedInFlight({ way: 'up' })
  await using _world = world
  expect(await requestsOf(world, 'b', () => b.engine.runOnce())).toEqual(['push', 'push'])
  expect((await b.store.counts()).pending).toEqual({})
})

it('one run of a replica that only reads settles what was in flight, and reads once', async () => {
  const { world, b } = await stoppedInFlight({ way: 'down' })
  await using _world = world
  expect(await requestsOf(world, 'b', () => b.engine.runOnce())).toEqual(['push', 'pull'])
  expect((await b.store.counts()).pending).toEqual({ notes: 1 })
})

it('a sync that is asked for in a back-off is a whole cycle, though a mutation is in flight', async () => {
  const { world, a, b } = await stopped()
  await using _world = world
  await b.engine.start()
  world.loseNextPushAnswer('b')
  await expect(b.engine.syncNow()).rejects.toMatchObject({ code: 'network' })
  expect(b.engine.phase).toBe('waiting')
  insert(a, 'of-a-later')
  insert(b, 'of-b-later')
  await a.sync()
  await b.engine.syncNow()
  expect(ids(b)).toEqual(['of-a', 'of-a-later', 'of-b', 'of-b-later'])
  expect((await b.store.counts()).pending).toEqual({})
})

it('one run rejects with the first failure, and the engine goes on trying', async () => {
  const { world, b } = await stopped()
  await using _world = world
  world.cut('b')
  const once = await world.again('b', {}, false)
  await expect(once.engine.runOnce()).rejects.toMatchObject({ code: 'network' })
  expect(once.engine.phase).toBe('waiting')
  world.mend('b')
  await once.engine.syncNow()
  expect(ids(b)).toEqual(['of-a', 'of-b'])
})

it('one run waits through failures for as long as its caller does', async () => {
  const { world, b } = await stopped()
  await using _world = world
  world.loseNextPushAnswer('b')
  const waits: string[] = []
  const onWait = ({ code }: TidemarkError) => {
    waits.push(code)
    setImmediate(() => once.engine.wake(true))
  }
  const once = await world.again('b', {}, false)
  expect(await once.engine.runOnce({ patience: { ms: 60_000, onWait } })).toMatchObject({ pulled: 1 })
  expect(waits).toEqual(['network'])
  expect(ids(b)).toEqual(['of-a', 'of-b'])
})

it('one run of an engine that runs is another whole cycle of it, and none where it is paused', async () => {
  const { world, b } = await stopped()
  await using _world = world
  await b.engine.start()
  expect(await b.engine.runOnce()).toMatchObject({ pushed: 1 })
  b.engine.pause()
  await expect(b.engine.runOnce()).rejects.toMatchObject({ code: 'sync_disabled' })
})

it('one run that cannot start rejects, starts nothing and can be tried again', async () => {
  const { world, b } = await stopped()
  await using _world = world
  let broken = true
  const once = await world.again(
    'b',
    {
      store: {
        ...b.store,
        state: () => (broken ? Promise.reject(new TidemarkError('database_locked')) : b.store.state()),
      },
    },
    false,
  )
  await expect(once.engine.runOnce()).rejects.toMatchObject({ code: 'database_locked' })
  expect(once.engine.phase).toBe('stopped')
  broken = false
  expect(await once.engine.runOnce()).toMatchObject({ pushed: 1, pulled: 1 })
})

it('I13: two who start one engine at once look at its identity once', async () => {
  const { world } = await stopped()
  await using _world = world
  let asked = 0
  const guard: IdentityGuard = {
    verdict: async () => (asked++ === 0 ? 'copied' : 'same'),
    record: async () => {},
    takeBack: async () => {},
    forget: async () => {},
  }
  const once = await world.again('b', { guard }, false)
  const both = await Promise.all([once.engine.runOnce(), once.engine.start(), once.engine.runOnce()])
  expect(asked).toBe(1)
  expect(both).toMatchObject([{ pushed: 1 }, undefined, { pushed: 1 }])
})

it('an engine that is stopped, or a run that is cancelled, while it starts does not start', async () => {
  const { world, b } = await stopped()
  await using _world = world
  const begun = world.requests('b').length
  const starting = b.engine.start()
  const running = b.engine.runOnce()
  await b.engine.stop()
  await expect(starting).rejects.toMatchObject({ code: 'aborted' })
  await expect(running).rejects.toMatchObject({ code: 'aborted' })
  expect(b.engine.phase).toBe('stopped')

  const controller = new AbortController()
  const cancelled = b.engine.runOnce({ signal: controller.signal })
  controller.abort()
  await expect(cancelled).rejects.toMatchObject({ code: 'aborted' })
  await expect(b.engine.runOnce({ signal: controller.signal })).rejects.toMatchObject({ code: 'aborted' })
  expect(b.engine.phase).toBe('stopped')
  expect(world.requests('b').length).toBe(begun)
})
