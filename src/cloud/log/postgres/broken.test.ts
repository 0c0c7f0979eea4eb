import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, test } from 'vitest'

import { someWaitForLock } from '../../../../test/postgres/barrier.ts'
import { breakConnections, openLogNodes, type LogNodes } from '../../../../test/postgres/log-nodes.ts'
import { describeOwnPostgres } from '../../../../test/postgres/own.ts'
import { startPostgres } from '../../../../test/postgres/server.ts'
import { startSwallowingProxy } from '../../../../test/postgres/swallowing-proxy.ts'
import { Gate, type Watch } from '../../../../test/postgres/watched-database.ts'
import { codeOf, del, put, Reader, row } from '../../../testing/log-contract/harness.ts'
import type { Log } from '../log.ts'

let database: LogNodes
let nodes: LogNodes
let space: string
beforeAll(async () => void (database = await openLogNodes()))
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(async () => {
  nodes = await openLogNodes(database)
  space = await nodes.space()
})
afterEach(() => nodes[Symbol.asyncDispose]())

/** A node that loses every round without the lock to another one, which changes the same row. */
function losing(gate: Gate, limits = {}): Log {
  const other = new Reader(nodes.node(), 'quick', space)
  let base = 0
  const watch: Watch = {
    async before(sent) {
      if (sent.name !== 'tidemark commit') return
      if (sent.inTransaction) return gate.before(sent)
      ;[base = 0] = await other.write(put('x', base, { n: base }))
    },
  }
  return nodes.node({ watch, limits })
}

const status = (): Promise<object> => nodes.node().status(space)

describe('a connection that breaks', () => {
  test('between the view and the commit: the push goes on with another', async () => {
    const gate = new Gate('tidemark commit')
    const push = new Reader(nodes.node({ watch: gate }), 'a', space).push([put('x', 0, {})])
    await gate.reached
    await breakConnections(nodes.admin)
    gate.open()
    expect((await push).results).toEqual([{ status: 'ok', version: 1 }])
    expect(await status()).toMatchObject({ head: 1, records: 1, replicas: 1 })
  })

  test('under the lock: it holds nothing, and the push goes on with another', async () => {
    const gate = new Gate('tidemark commit')
    const push = new Reader(losing(gate), 'slow', space).push([put('y', 0, {}), put('x', 0, {})])
    await gate.reached
    const waiting = new Reader(nodes.node(), 'b', space).push([put('z', 0, {})])
    await someWaitForLock(nodes.admin)
    const { rows } = await nodes.admin.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`,
    )
    await nodes.admin.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid])
    expect((await waiting).results).toEqual([{ status: 'ok', version: 4 }])
    gate.open()
    expect((await push).results).toMatchObject([{ status: 'ok', version: 5 }, { status: 'conflict' }])
  })

  test('a node that stops under the lock is thrown out by the database', async () => {
    const gate = new Gate('tidemark commit')
    const push = new Reader(losing(gate, { idleInTransactionMs: 50 }), 'slow', space).push([
      put('y', 0, {}),
      put('x', 0, {}),
    ])
    await gate.reached
    const quick = await new Reader(nodes.node(), 'b', space).push([put('z', 0, {})])
    expect(quick.results).toEqual([{ status: 'ok', version: 4 }])
    gate.open()
    expect((await push).results).toMatchObject([{ status: 'ok', version: 5 }, { status: 'conflict' }])
  })

  for (const [where, text] of [
    ['the commit was done', 'tidemark commit'],
    ['the view was read', 'tidemark view'],
  ] as const) {
    test(`I3: ${where}, and nobody heard of it`, async () => {
      await using proxy = await startSwallowingProxy(nodes.url)
      const log = nodes.node({ url: proxy.url })
      const a = new Reader(log, 'a', space)
      await a.write(put('w', 0, {}))
      const swallowed = proxy.swallow(text)
      const answer = await a.push([put('x', 0, {}), put('x', 0, {})])
      await swallowed
      expect(answer.results).toMatchObject([{ status: 'ok', version: 2 }, { status: 'rejected' }])
      expect(await status()).toMatchObject({ head: 2, records: 2, replicas: 1 })
      const batched = proxy.swallow(text)
      expect(await log.batch(space, [row('k', { n: 1 }, 1)])).toEqual([true])
      await batched
      expect(await status()).toMatchObject({ head: 3, records: 3 })
    })
  }

  test('I3: after the commit of a transaction under the lock, and nobody heard the answer', async () => {
    await using proxy = await startSwallowingProxy(nodes.url)
    const swallowed: Promise<void>[] = []
    const other = new Reader(nodes.node(), 'quick', space)
    let base = 0
    const watch: Watch = {
      async before({ name, inTransaction }) {
        if (name !== 'tidemark commit') return
        if (!inTransaction) [base = 0] = await other.write(put('x', base, { n: base }))
        else if (swallowed.length === 0) swallowed.push(proxy.swallow('COMMIT'))
      },
    }
    const slow = new Reader(nodes.node({ watch, url: proxy.url }), 'slow', space)
    const { results } = await slow.push([put('y', 0, {}), put('x', 0, {})])
    expect(swallowed).toHaveLength(1)
    await swallowed[0]
    expect(results).toMatchObject([{ status: 'ok', version: 4 }, { status: 'conflict' }])
    expect(await status()).toMatchObject({ head: 4, records: 2 })
  })
})

describe('a database that does not answer in time', () => {
  /** Nobody gets past it. */
  async function lockRecords(): Promise<{ release(): Promise<void> }> {
    const other = await nodes.connect()
    await other.query('BEGIN')
    await other.query('LOCK TABLE tidemark.records IN ACCESS EXCLUSIVE MODE')
    return { release: async () => void (await other.query('ROLLBACK')) }
  }

  test('a statement that takes too long is not tried again, and did nothing', async () => {
    const sent: string[] = []
    const watch: Watch = { before: ({ name }) => void sent.push(name) }
    const a = new Reader(nodes.node({ watch, limits: { statementMs: 50 } }), 'a', space)
    const lock = await lockRecords()
    expect(await codeOf(a.push([put('x', 0, {})]))).toBe('unavailable')
    expect(sent).toEqual(['tidemark view'])
    await lock.release()
    expect((await a.push([put('x', 0, {})])).results).toEqual([{ status: 'ok', version: 1 }])
  })

  test('a lock that is held is waited for some times', async () => {
    const sent: string[] = []
    const watch: Watch = { before: ({ name }) => void sent.push(name) }
    const a = new Reader(nodes.node({ watch, limits: { lockMs: 30 } }), 'a', space)
    const lock = await lockRecords()
    expect(await codeOf(a.push([put('x', 0, {})]))).toBe('unavailable')
    expect(sent).toEqual(['tidemark view', 'tidemark view', 'tidemark view'])
    await lock.release()
    expect((await a.push([put('x', 0, {})])).results).toEqual([{ status: 'ok', version: 1 }])
  })

  test('two that wait for each other: one of them begins again', async () => {
    const a = new Reader(nodes.node(), 'a', space)
    await a.write(put('x', 0, {}))
    const other = await nodes.connect()
    await other.query('BEGIN')
    await other.query(`SELECT FROM tidemark.replicas WHERE id = 'a' FOR UPDATE`)
    const push = a.push([put('y', 0, {})])
    await someWaitForLock(nodes.admin)
    await other.query('SELECT FROM tidemark.spaces WHERE id = $1 FOR UPDATE', [space]).catch(() => {})
    await other.query('ROLLBACK')
    expect((await push).results).toEqual([{ status: 'ok', version: 2 }])
  })

  test('a pool without a free connection says so, and is used again when there is one', async () => {
    const limits = { connections: 1, connectMs: 60 }
    const log = nodes.node({ limits })
    const lock = await lockRecords()
    const first = new Reader(log, 'a', space).push([put('x', 0, {})])
    await someWaitForLock(nodes.admin)
    expect(await codeOf(log.readSchema(space))).toBe('unavailable')
    await lock.release()
    expect((await first).results).toEqual([{ status: 'ok', version: 1 }])
    expect(await log.readSchema(space)).toMatchObject({ schema: 0 })
  })

  test('one connection is enough for everything', async () => {
    const log = nodes.node({ limits: { connections: 1, connectMs: 2_000 } })
    const a = new Reader(log, 'a', space)
    const part = (index: number) => ({ part: { index, of: 2, attempt: 'a' }, mutation: 1 })
    await Promise.all([
      a.push([put('p', 0, {})], part(0)).then(() => a.push([put('q', 0, {})], part(1))),
      log.batch(space, [row('k', { n: 1 }, 1)]),
      log.putSchema(space, []),
      log.collect(space, { liveSince: 0, retainSince: 0 }),
      log.status(space),
      new Reader(log, 'b', space).pullAll(),
      log.forgetReplica(space, 'nobody'),
    ])
    const slow = new Reader(losing(new Gate('nothing'), { connections: 1, connectMs: 2_000 }), 'slow', space)
    expect((await slow.push([put('z', 0, {}), put('x', 0, {})])).results[0]?.status).toBe('ok')
  })
})

describe('many at once', () => {
  test('I9: one that no database takes is refused alone', async () => {
    const log = nodes.node()
    const pushes = ['a', 'b\0', 'c'].map((id) =>
      new Reader(log, id, space).push([put(id.slice(0, 1), 0, {})]),
    )
    const [a, b, c] = await Promise.allSettled(pushes)
    expect(b).toMatchObject({ status: 'rejected', reason: { code: 'internal' } })
    for (const one of [a, c])
      expect(one).toMatchObject({ status: 'fulfilled', value: { results: [{ status: 'ok' }] } })
    expect(await status()).toMatchObject({ head: 2, records: 2, replicas: 2 })
  })

  test('200 replicas, in few commits', async () => {
    let commits = 0
    const log = nodes.node({
      watch: { before: ({ name }) => void (commits += Number(name === 'tidemark commit')) },
    })
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, at) => new Reader(log, `r${at}`, space).push([put(`${at}`, 0, {})])),
    )
    const versions = answers.map(({ results: [result] }) => (result?.status === 'ok' ? result.version : 0))
    expect(versions.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, at) => at + 1))
    expect(commits).toBeLessThan(10)
  })

  test('I3, I13: one replica twice, with the same bytes and with others', async () => {
    for (const logs of [[nodes.node()], [nodes.node(), nodes.node()]]) {
      const id = `r${logs.length}`
      const push = (at: number, key: string) =>
        new Reader(logs[at % logs.length] as Log, id, space).push([put(key, 0, {})])
      const same = await Promise.all([0, 1, 0, 1].map((at) => push(at, id)))
      expect(new Set(same.map(({ results }) => JSON.stringify(results))).size).toBe(1)
      const second = (at: number, key: string) => {
        const reader = new Reader(logs[at % logs.length] as Log, id, space)
        reader.mutation = 1
        return reader.push([put(key, 0, {})]).then(
          () => 'ok',
          (error: { readonly code: string }) => error.code,
        )
      }
      const different = await Promise.all([0, 1, 2].map((at) => second(at, `${id}-${at}`)))
      expect(different.toSorted()).toEqual(['ok', 'replica_forked', 'replica_forked'])
    }
    expect(await status()).toMatchObject({ head: 4, records: 4, replicas: 2 })
  })
})

describeOwnPostgres('I11: an older copy of the files is put back between a view and its commit', () => {
  test('what was decided before is not written into the history that was lost', async () => {
    await using server = await startPostgres({ flags: ['fsync=off'] })
    await using own = await openLogNodes(server, { fresh: true })
    const mine = await own.space()
    const gate = new Gate('tidemark commit')
    const slow = new Reader(own.node({ watch: gate }), 'slow', mine)
    const quick = new Reader(own.node(), 'quick', mine)
    await quick.write(put('x', 0, { n: 1 }))
    const copy = await server.copyFiles()
    await quick.write(put('y', 0, {}), put('x', 1, { n: 2 }))
    const before = await quick.log.status(mine)
    const push = slow.push([put('x', 3, { n: 3 }), del('y', 2), put('z', 0, {})])
    await gate.reached
    await server.kill()
    await server.restoreFiles(copy)
    await server.start()
    gate.open()
    const { generation, results, head } = await push
    expect(generation.id).not.toBe(before.generation.id)
    expect(generation).toMatchObject({ start: 1 })
    // Decided anew in the history that there is.
    expect(results.map(({ status: said }) => said)).toEqual(['ok', 'ok', 'ok'])
    expect(head).toBe(4)
    expect(await quick.log.status(mine)).toMatchObject({ head: 4, records: 2, tombstones: 1 })
    expect(await codeOf(quick.push([put('x', 4, {})], { mutation: 3 }))).toBe('replica_forked')
  })
})
