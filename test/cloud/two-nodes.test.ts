import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { joinPostgresBus } from '../../src/cloud/bus/postgres.ts'
import { MemoryDirectory } from '../../src/cloud/directory/memory.ts'
import type { Log } from '../../src/cloud/log/log.ts'
import { openPostgresLog } from '../../src/cloud/log/postgres.ts'
import { migrate } from '../../src/cloud/postgres/migrate.ts'
import { MIGRATIONS } from '../../src/cloud/postgres/migrations.ts'
import { openDatabase } from '../../src/cloud/postgres/pool.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { AsyncDisposableStack } from '../../src/kernel/disposable-stack.ts'
import { seededRandom, systemRandom } from '../../src/kernel/random.ts'
import type { PullAnswer } from '../../src/protocol/pull.ts'
import type { PushAnswer } from '../../src/protocol/push.ts'
import { waitUntil } from '../../src/testing/failures.ts'
import { createPatientClock } from '../postgres/bus-nodes.ts'
import { openTestDatabase, type TestDatabase } from '../postgres/database.ts'
import { pushBody, put } from './requests.ts'
import { openTestCloud, valueOf, type TestCloud } from './test-cloud.ts'

interface Node extends TestCloud {
  /** Reads of the log by pulls that have ended. */
  reads(): number
}

let database: TestDatabase
beforeAll(async () => {
  database = await openTestDatabase()
  await using first = openDatabase(database)
  await migrate(first, MIGRATIONS, systemClock)
})
afterAll(() => database[Symbol.asyncDispose]())

/** Nodes of one cloud on one PostgreSQL; each with connections, log and bus of its own. */
async function openNodes(count: number) {
  const { clock, passTime } = createPatientClock()
  await using opening = new AsyncDisposableStack()
  const directory = new MemoryDirectory({ clock: systemClock, random: seededRandom(1) })
  const open = async (): Promise<Node> => {
    const pool = opening.use(openDatabase({ url: database.url, limits: { connections: 3 } }))
    const bus = opening.use(joinPostgresBus({ database: pool, clock, random: systemRandom }))
    let reads = 0
    const counted = (log: Log): Log =>
      new Proxy(log, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target)
          if (typeof value !== 'function') return value
          if (name !== 'pull') return value.bind(target)
          return async (...asked: unknown[]): Promise<unknown> => {
            const answer: unknown = await Reflect.apply(value, target, asked)
            reads++
            return answer
          }
        },
      })
    const storage = { log: openPostgresLog({ database: pool, clock: systemClock }), directory }
    return { ...opening.use(await openTestCloud({ storage, log: counted, bus })), reads: () => reads }
  }
  const nodes: Node[] = []
  for (let n = 0; n < count; n++) nodes.push(await open())
  const owned = opening.move()
  return { nodes, passTime, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function push(node: Node, space: string, replica: string, mutation: number): Promise<PushAnswer> {
  const body = JSON.stringify(pushBody(mutation, [put(`${replica}-${mutation}`)], { replica, space }))
  return valueOf<PushAnswer>(await node.handler.handle({ route: 'push', token: node.token, body }))
}

async function poll(node: Node, space: string, replica: string, from: PushAnswer): Promise<PullAnswer> {
  const { epoch, generation, head } = from
  const cursor = { epoch, generation: generation.id, version: head, high: head }
  const body = JSON.stringify({ space, replica, cursor, wait: 50 })
  return valueOf<PullAnswer>(await node.handler.handle({ route: 'pull', token: node.token, body }))
}

describe('two nodes on one PostgreSQL', () => {
  test('I8: a push through one answers the pulls that wait on the other, and only those of other replicas', async () => {
    await using cloud = await openNodes(2)
    const [a, b] = cloud.nodes as [Node, Node]
    const space = 'woken'
    const start = await push(a, space, 'writer', 1)
    let isAnswered = false
    const own = poll(b, space, 'writer', start).then(() => (isAnswered = true))
    const others = Array.from({ length: 20 }, (_, n) => poll(b, space, `replica-${n}`, start))
    await waitUntil(() => b.reads() === 21)
    const next = await push(a, space, 'writer', 2)
    for (const answer of await Promise.all(others)) {
      expect([answer.head, answer.records.length]).toEqual([next.head, 1])
    }
    expect([isAnswered, b.reads()]).toEqual([false, 41])
    await push(a, space, 'another', 1)
    await own
  })

  test('I8: who pushes and polls through different nodes sees every version, in order', async () => {
    await using cloud = await openNodes(2)
    const [a, b] = cloud.nodes as [Node, Node]
    const space = 'chased'
    const start = await push(a, space, 'writer-0', 1)
    const rounds = 25
    const last = start.head + 2 * rounds
    const read = async (node: Node, replica: string): Promise<readonly number[]> => {
      const versions: number[] = []
      for (let at = start; at.head < last;) {
        const answer = await poll(node, space, replica, at)
        versions.push(...answer.records.map(({ version }) => version))
        at = { ...at, generation: answer.generation, head: answer.next }
      }
      return versions
    }
    const readers = [read(a, 'reader-a'), read(b, 'reader-b')]
    await Promise.all(
      cloud.nodes.map(async (node, n) => {
        for (let mutation = 1; mutation <= rounds; mutation++) {
          const body = pushBody(mutation, [put(100 * (n + 1) + mutation)], { replica: `pusher-${n}`, space })
          await node.handler.handle({ route: 'push', token: node.token, body: JSON.stringify(body) })
        }
      }),
    )
    const all = Array.from({ length: 2 * rounds }, (_, n) => start.head + 1 + n)
    for (const versions of await Promise.all(readers)) expect(versions).toEqual(all)
  })

  test('I8: a commit whose node died before it told is found by the sweep of the others', async () => {
    await using cloud = await openNodes(1)
    const [b] = cloud.nodes as [Node]
    const space = 'orphaned'
    const start = await push(b, space, 'writer', 1)
    let found = 0
    const waiting = poll(b, space, 'reader', start).then(({ records }) => (found = records.length))
    await waitUntil(() => b.reads() === 1)
    // A node without a bus is one that dies after each commit.
    await using pool = openDatabase(database)
    await using log = openPostgresLog({ database: pool, clock: systemClock })
    const [known] = await b.directory.listSpaces()
    const request = pushBody(2, [put(2)], { replica: 'writer', space })
    await log.push(known?.id ?? '', { request, hash: 'hash' })
    expect(found).toBe(0)
    await waitUntil(() => {
      cloud.passTime(200)
      return found > 0
    })
    expect(await waiting).toBe(1)
  })
})
