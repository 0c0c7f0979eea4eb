import { describe, expect, test } from 'vitest'

import { openTestCloud, valueOf, type TestCloud } from '../../../test/cloud/test-cloud.ts'
import { pushBody, put } from '../../../test/cloud/requests.ts'
import { seededRandom } from '../../kernel/random.ts'
import type { PullAnswer } from '../../protocol/pull.ts'
import type { PushAnswer } from '../../protocol/push.ts'
import { createManualClock, type ManualClock } from '../../testing/manual-clock.ts'
import type { Bus, Subscriber } from '../bus.ts'
import { MemoryBus } from '../bus/memory.ts'
import { MemoryDirectory } from '../directory/memory.ts'
import type { CommitListener, Log } from '../log/log.ts'
import { MemoryLog } from '../log/memory.ts'
import { createWakeUps } from './wake-ups.ts'

interface Node extends TestCloud {
  /** Reads of the log that the node's pulls made. */
  reads(): number
}

interface Nodes extends AsyncDisposable {
  readonly clock: ManualClock
  readonly bus: MemoryBus
  readonly a: Node
  readonly b: Node
}

/** Two nodes of one cloud: one storage, of which each is told its own commits only. */
async function openNodes(): Promise<Nodes> {
  const clock = createManualClock(1_000_000)
  const random = seededRandom(1)
  const storage = { log: new MemoryLog({ clock, random }), directory: new MemoryDirectory({ clock, random }) }
  const bus = new MemoryBus()

  async function open(): Promise<Node> {
    const listeners = new Set<CommitListener>()
    let reads = 0
    const own: Partial<Log> = {
      onCommit(listener) {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
      async push(space, input) {
        const answer = await storage.log.push(space, input)
        for (const listener of listeners) listener(space, answer.head, input.request.replica)
        return answer
      },
      pull(space, request) {
        reads++
        return storage.log.pull(space, request)
      },
    }
    const log = (shared: Log): Log =>
      new Proxy(shared, {
        get(target, name) {
          const value: unknown = Reflect.get(own, name) ?? Reflect.get(target, name, target)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    const cloud = await openTestCloud({ clock, storage, log, bus: bus.join() })
    return { ...cloud, reads: () => reads }
  }

  const [a, b] = [await open(), await open()]
  return {
    clock,
    bus,
    a,
    b,
    async [Symbol.asyncDispose]() {
      await a[Symbol.asyncDispose]()
      await b[Symbol.asyncDispose]()
    },
  }
}

async function push(node: Node, mutation: number, id: number, replica = 'replica-a'): Promise<PushAnswer> {
  const body = JSON.stringify(pushBody(mutation, [put(id)], { replica }))
  return valueOf<PushAnswer>(await node.handler.handle({ route: 'push', token: node.token, body }))
}

/** A pull of replica-b that waits, from the head that `answer` shows. */
async function poll(node: Node, answer: PushAnswer): Promise<readonly string[]> {
  const { epoch, generation, head } = answer
  const cursor = { epoch, generation: generation.id, version: head, high: head }
  const body = JSON.stringify({ space: 'main', replica: 'replica-b', cursor, wait: 50 })
  const found = await node.handler.handle({ route: 'pull', token: node.token, body })
  return valueOf<PullAnswer>(found).records.map(({ key }) => key)
}

/** Lets everything that is ready run. */
const settle = () => new Promise(setImmediate)

async function isWaiting(promise: Promise<unknown>): Promise<boolean> {
  const still = {}
  return (await Promise.race([promise, settle().then(() => still)])) === still
}

/** The id by which the log knows the space of these tests. */
async function spaceOf(node: Node): Promise<string> {
  const [space] = await node.directory.listSpaces()
  return space?.id ?? ''
}

describe('a pull that waits on one node', () => {
  test('I8: is answered by a commit through another', async () => {
    await using nodes = await openNodes()
    const waiting = poll(nodes.b, await push(nodes.a, 1, 1))
    expect(await isWaiting(waiting)).toBe(true)
    await push(nodes.a, 2, 2)
    expect(await waiting).toEqual(['[2]'])
  })

  test('is answered by a commit through its own, with one read', async () => {
    await using nodes = await openNodes()
    const waiting = poll(nodes.b, await push(nodes.a, 1, 1))
    expect(await isWaiting(waiting)).toBe(true)
    await push(nodes.b, 2, 2)
    expect(await waiting).toEqual(['[2]'])
    expect(nodes.b.reads()).toBe(2)
  })

  test('sleeps on through the pushes of its own replica, whichever node they go through', async () => {
    await using nodes = await openNodes()
    const waiting = poll(nodes.b, await push(nodes.a, 1, 1))
    expect(await isWaiting(waiting)).toBe(true)
    for (const mutation of [1, 2, 3]) {
      await push(mutation === 2 ? nodes.b : nodes.a, mutation, 100 + mutation, 'replica-b')
      expect(await isWaiting(waiting)).toBe(true)
    }
    expect(nodes.b.reads()).toBe(1)
    await push(nodes.a, 2, 2)
    expect(await waiting).toContain('[2]')
  })

  test('is not woken by hints of what it has read, nor by those of other spaces', async () => {
    await using nodes = await openNodes()
    const start = await push(nodes.a, 1, 1)
    const waiting = poll(nodes.b, start)
    expect(await isWaiting(waiting)).toBe(true)
    const told = nodes.bus.join()
    for (let again = 0; again < 5; again++) {
      told.publish(await spaceOf(nodes.a), start.head, null)
      told.publish('elsewhere', start.head + 1, null)
      expect(await isWaiting(waiting)).toBe(true)
    }
    expect(nodes.b.reads()).toBe(1)
  })

  test('I11: looks when a hint tells of a head before its own, as of a database that was put back', async () => {
    await using nodes = await openNodes()
    await push(nodes.a, 1, 1)
    const start = await push(nodes.a, 2, 2)
    const waiting = poll(nodes.b, start)
    expect(await isWaiting(waiting)).toBe(true)
    nodes.bus.join().publish(await spaceOf(nodes.a), start.head - 1, null)
    expect(await isWaiting(waiting)).toBe(true)
    expect(nodes.b.reads()).toBe(2)
  })

  test('I8: is answered by what a node commits that is stopping', async () => {
    await using nodes = await openNodes()
    const waiting = poll(nodes.b, await push(nodes.a, 1, 1))
    expect(await isWaiting(waiting)).toBe(true)
    nodes.a.handler.stop()
    await push(nodes.a, 2, 2)
    expect(await waiting).toEqual(['[2]'])
  })

  test('tells a sweep of its space for as long as it waits', () => {
    const asked: Subscriber[] = []
    const bus: Pick<Bus, 'subscribe'> = {
      subscribe(subscriber) {
        asked.push(subscriber)
        return () => asked.pop()
      },
    }
    const wakeUps = createWakeUps(bus, createManualClock())
    const watched = () => asked.flatMap((subscriber) => [...subscriber.watched()])
    const [one, two] = [1, 2].map((n) => wakeUps.watch('s1', `replica-${n}`, undefined))
    const other = wakeUps.watch('s2', 'replica-1', undefined)
    expect(watched()).toEqual(['s1', 's2'])
    one?.close()
    other.close()
    expect(watched()).toEqual(['s1'])
    two?.close()
    expect(watched()).toEqual([])
    wakeUps.stop()
    expect(asked).toEqual([])
  })
})
