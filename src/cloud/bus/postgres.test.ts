import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import {
  mortal,
  openBusNodes,
  withoutListen,
  type BusNode,
  type BusNodes,
} from '../../../test/postgres/bus-nodes.ts'
import { openTestDatabase, type TestDatabase } from '../../../test/postgres/database.ts'
import { describeOwnPostgres } from '../../../test/postgres/own.ts'
import { startPostgres } from '../../../test/postgres/server.ts'
import { busContract } from '../../testing/bus-contract.ts'
import { waitUntil } from '../../testing/failures.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await openTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

async function openNodes(): Promise<BusNodes> {
  const nodes = await openBusNodes(database.url)
  await nodes.admin.query('TRUNCATE tidemark.spaces')
  return nodes
}

busContract('postgres', async () => {
  const nodes = await openNodes()
  return {
    async join() {
      const node = await nodes.join()
      await node.untilHears()
      return node
    },
    loss: {
      commitUntold: (heads) => nodes.raise(heads),
      passTime: () => nodes.passTime(200),
      async cut() {
        await nodes.cut()
      },
    },
    [Symbol.asyncDispose]: () => nodes[Symbol.asyncDispose](),
  }
})

function listen(node: BusNode, watched: readonly string[] = []) {
  const heard: (readonly [string, number, string | null])[] = []
  node.subscribe({ hear: (...hint) => heard.push(hint), watched: () => watched })
  return heard
}

describe('nodes on one PostgreSQL', () => {
  test('many commits are few messages, and the last head of each space is heard', async () => {
    await using nodes = await openNodes()
    const [a, b] = [await nodes.join(), await nodes.join()]
    await Promise.all([a.untilHears(), b.untilHears()])
    const heard = listen(b)
    const said = a.counted('busMessages', { direction: 'sent' })
    const from = performance.now()
    for (let head = 1; head <= 100_000; head++) {
      a.publish(`space-${head % 16}`, head, 'x')
      if (head % 20 === 0) await new Promise(setImmediate)
    }
    const last = () => Math.max(0, ...heard.map(([, head]) => head))
    await waitUntil(() => last() === 100_000)
    expect(new Set(heard.filter(([, head]) => head > 100_000 - 16).map(([space]) => space)).size).toBe(16)
    // One in 5 ms at most (a timer may be a millisecond early), however long it took.
    const messages = a.counted('busMessages', { direction: 'sent' }) - said
    expect(messages).toBeLessThan((performance.now() - from) / 4 + 3)
    expect(messages).toBeLessThan(5_000)
    expect(b.counted('busMessages', { direction: 'received' })).toBeGreaterThan(0)
  })

  test('what others say on the channel does nothing, or costs a look at most', async () => {
    await using nodes = await openNodes()
    const [a, b] = [await nodes.join(), await nodes.join()]
    await Promise.all([a.untilHears(), b.untilHears()])
    const heard = listen(b, ['s1'])
    for (const payload of ['', 'x', '{"node":1}', '["n",[["s1",-1,null]]]', '['.repeat(7_999)])
      await nodes.notify(payload)
    await nodes.raise(new Map([['s1', 3]]))
    const before = b.counted('busSweeps')
    for (let times = 0; times < 200; times++) await nodes.notify('["n",null]')
    await nodes.notify(`["n",[["s1",${Number.MAX_SAFE_INTEGER},"x"]]]`)
    const madeUp = ['s1', Number.MAX_SAFE_INTEGER, 'x']
    await waitUntil(() => [3, madeUp[1]].every((one) => heard.some(([, head]) => head === one)))
    expect(heard.filter(([, head]) => head !== 3)).toEqual([madeUp])
    expect(b.counted('busSweeps') - before).toBeLessThan(100)
    // The head that was made up hides none that is real.
    a.publish('s1', 4, 'y')
    await waitUntil(() => heard.some(([, head]) => head === 4))
    await nodes.raise(new Map([['s1', 5]]))
    await waitUntil(() => {
      nodes.passTime(200)
      return heard.some(([, head]) => head === 5)
    })
  })

  test('I8: a connection that was ended is made again, once, and is told of in the log and the numbers', async () => {
    await using nodes = await openNodes()
    const node = await nodes.join()
    await node.untilHears()
    const heard = listen(node, ['s1'])
    await nodes.raise(new Map([['s1', 7]]))
    expect(await nodes.cut()).toBe(1)
    await waitUntil(() => heard.length > 0)
    expect(heard).toEqual([['s1', 7, null]])
    await waitUntil(() => node.logged.length === 2)
    expect(node.logged.map((line) => /are not heard|heard again/.exec(line)?.[0])).toEqual([
      'are not heard',
      'heard again',
    ])
    expect(node.counted('busReconnects')).toBe(1)
  })

  test('I8: what was said into a connection that broke is said again', async () => {
    await using nodes = await openNodes()
    const [a, b] = [await nodes.join({ name: 'a' }), await nodes.join()]
    await b.untilHears()
    const heard = listen(b, ['s1'])
    for (let head = 1; head <= 5; head++) {
      await a.untilHears()
      await nodes.raise(new Map([['s1', head]]))
      const cut = nodes.cut('a')
      a.publish('s1', head, 'x')
      // No time passes: the other node is not cut, and does not sweep by itself.
      await waitUntil(() => heard.some(([, last]) => last === head))
      expect(await cut).toBe(1)
    }
    expect(b.counted('busReconnects')).toBe(0)
  })

  test('I8: what a node committed that died before it told is found, and the others go on', async () => {
    await using nodes = await openNodes()
    const life = mortal()
    const [dies, b, c] = [await nodes.join(life), await nodes.join(), await nodes.join()]
    await Promise.all([dies, b, c].map((node) => node.untilHears()))
    const [inB, inC] = [listen(b, ['s1']), listen(c, ['s1'])]
    await nodes.raise(new Map([['s1', 1]]))
    dies.publish('s1', 1, 'x')
    life.die()
    b.publish('s2', 1, 'y')
    c.publish('s3', 1, 'y')
    await waitUntil(() => inB.length === 2 && inC.length === 2)
    expect([...inB, ...inC].filter(([space]) => space === 's1')).toEqual([])
    await waitUntil(() => {
      nodes.passTime(200)
      return [inB, inC].every((heard) => heard.some(([space]) => space === 's1'))
    })
  })

  test('I8: a node that hears nothing goes by the sweep, and says so once', async () => {
    await using nodes = await openNodes()
    const told = await nodes.join()
    const deaf = await nodes.join({ database: withoutListen })
    await told.untilHears()
    const heard = listen(deaf, ['s1'])
    for (let head = 1; head <= 4; head++) {
      await nodes.raise(new Map([['s1', head]]))
      told.publish('s1', head, 'x')
      await waitUntil(() => {
        if (heard.every(([, last]) => last < head)) nodes.passTime(200)
        return heard.some(([, last]) => last === head)
      })
    }
    expect(heard.every(([, , writer]) => writer === null)).toBe(true)
    await waitUntil(() => {
      nodes.passTime(200)
      return deaf.counted('busReconnects') > 1
    })
    expect(deaf.logged).toHaveLength(1)
    // It speaks all the same.
    const inOther = listen(told)
    await waitUntil(() => {
      nodes.passTime(200)
      deaf.publish('s2', 1, 'x')
      return inOther.some(([space]) => space === 's2')
    })
  })

  test('a node that waits for no space asks the database nothing', async () => {
    await using nodes = await openNodes()
    const node = await nodes.join()
    await node.untilHears()
    listen(node)
    for (let times = 0; times < 5; times++) nodes.passTime()
    expect(node.counted('busSweeps')).toBe(0)
  })
})

describeOwnPostgres('nodes whose PostgreSQL goes away', () => {
  test('I8: stop, kill −9 and silence are survived; what was committed meanwhile is told', async () => {
    await using server = await startPostgres({ flags: ['fsync=off'] })
    await using nodes = await openBusNodes(server.url)
    const [a, b] = [await nodes.join(), await nodes.join()]
    await Promise.all([a.untilHears(), b.untilHears()])
    const heard = listen(b, ['s1'])
    const untilHeard = (head: number): Promise<void> =>
      waitUntil(() => {
        nodes.passTime(200)
        return heard.some(([, last]) => last === head)
      })

    await nodes.raise(new Map([['s1', 1]]))
    await server.stop()
    a.publish('s1', 1, 'x')
    nodes.passTime()
    await server.start()
    await untilHeard(1)

    await nodes.raise(new Map([['s1', 2]]))
    await server.kill()
    nodes.passTime()
    await server.start()
    await untilHeard(2)

    await Promise.all([a.untilHears(), b.untilHears()])
    await nodes.raise(new Map([['s1', 3]]))
    await server.pause()
    a.publish('s1', 3, 'x')
    nodes.passTime()
    server.resume()
    await untilHeard(3)
  })

  test('a node starts and stops while there is no database, and while it does not answer', async () => {
    await using server = await startPostgres({ flags: ['fsync=off'] })
    await using nodes = await openBusNodes(server.url)
    await server.stop()
    const early = await nodes.join()
    const heard = listen(early, ['s1'])
    early.publish('s1', 1, null)
    expect(heard).toEqual([['s1', 1, null]])
    await waitUntil(() => early.logged.length > 0)
    const gone = await nodes.join()
    await gone[Symbol.asyncDispose]()
    await server.start()
    await waitUntil(() => {
      nodes.passTime(200)
      return early.logged.length > 1
    })
    await early.untilHears()
    await server.pause()
    early.publish('s1', 2, null)
    let stopped = false
    const stopping = early[Symbol.asyncDispose]().then(() => (stopped = true))
    // Less than it takes to find out that the server is silent.
    let passed = 0
    await waitUntil(() => {
      if (passed < 3_000) nodes.passTime(100)
      passed += 100
      return stopped
    })
    await stopping
    server.resume()
  })
})
