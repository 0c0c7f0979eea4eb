import type pg from 'pg'
import { expect } from 'vitest'

import type { WireRecord } from '../../../src/protocol/records.ts'
import { codeOf, del, put, Reader } from '../../../src/testing/log-contract/harness.ts'
import { someWaitForLock } from '../barrier.ts'
import type { LogNodes } from '../log-nodes.ts'
import { Gate, type Watch } from '../watched-database.ts'
import type { Check } from './moved.ts'

const keys = (records: readonly WireRecord[]): readonly string[] => records.map(({ key }) => key)

/** Fulfilled when `work` is done, or when so many connections wait for a lock. */
async function doneOrWaiting(
  admin: pg.Client,
  work: Promise<unknown>,
  count: number,
): Promise<'done' | 'waits'> {
  const done = work.then(
    () => 'done' as const,
    () => 'done' as const,
  )
  return Promise.race([done, someWaitForLock(admin, count).then(() => 'waits' as const)])
}

/** Holds a commit that makes the table, in its middle: somebody else is making it. */
async function holdTable(nodes: LogNodes, space: string, name: string): Promise<() => Promise<void>> {
  const other = await nodes.connect()
  await other.query('BEGIN')
  await other.query(
    `INSERT INTO tidemark.tables (space, no, name) SELECT no, 1000, $2 FROM tidemark.spaces WHERE id = $1`,
    [space, name],
  )
  return async () => void (await other.query('ROLLBACK'))
}

/** Holds all who come to read of replicas; `write` writes a row in the same transaction, and lets them go. */
async function holdReplicas(nodes: LogNodes, space: string): Promise<{ write(key: string): Promise<void> }> {
  const { client, log } = await nodes.within()
  await client.query('BEGIN')
  await client.query('LOCK TABLE tidemark.replicas IN ACCESS EXCLUSIVE MODE')
  return {
    async write(key) {
      await new Reader(log, 'within', space).write(put(key, 0, {}))
      await client.query('COMMIT')
    },
  }
}

/** What becomes of several who come at the same time. */
export const ORDER_CHECKS: { readonly [name: string]: Check } = {
  async 'I4: a reader between two commits skips nothing'(nodes, space) {
    await new Reader(nodes.node(), 'before', space).write(put('w', 0, {}))
    const reader = new Reader(nodes.node(), 'reader', space)
    await reader.start()
    const letGo = await holdTable(nodes, space, 'held')
    const first = new Reader(nodes.node(), 'first', space).push([put('x', 0, {}, { table: 'held' })])
    first.catch(() => {})
    await someWaitForLock(nodes.admin)
    const second = new Reader(nodes.node(), 'second', space).push([put('y', 0, {})])
    second.catch(() => {})
    const between = await doneOrWaiting(nodes.admin, second, 2)
    const seen = [...(await reader.pullAll())]
    await letGo()
    await Promise.all([first, second])
    seen.push(...(await reader.pullAll()))
    expect(keys(seen)).toEqual(['["x"]', '["y"]'])
    expect(seen.map(({ version }) => version)).toEqual([2, 3])
    expect(between).toBe('waits')
  },

  async 'I4: a pull is of one moment'(nodes, space) {
    const reader = new Reader(nodes.node(), 'reader', space)
    await reader.start()
    await new Reader(nodes.node(), 'w', space).write(put('x', 0, {}))
    const others = await holdReplicas(nodes, space)
    const page = reader.pull()
    page.catch(() => {})
    await someWaitForLock(nodes.admin)
    await others.write('y')
    const { head, next, records } = await page
    expect({ head, next, keys: keys(records) }).toEqual({ head: 1, next: 1, keys: ['["x"]'] })
    expect(keys(await reader.pullAll())).toEqual(['["y"]'])
  },

  async 'I4: a view is of one moment'(nodes, space) {
    const writer = new Reader(nodes.node(), 'w', space)
    await writer.write(put('x', 0, { a: 1, b: 1, c: 1 }))
    const others = await holdReplicas(nodes, space)
    const late = writer.push([put('x', 1, { a: 2 }), put('y', 0, {})])
    late.catch(() => {})
    await someWaitForLock(nodes.admin)
    await others.write('y')
    expect((await late).results).toMatchObject([{ status: 'ok', version: 3 }, { status: 'conflict' }])
  },

  async 'nobody who reads waits for a commit'(nodes, space) {
    const node = nodes.node()
    const reader = new Reader(node, 'reader', space)
    await reader.write(put('x', 0, {}))
    await reader.start()
    const other = await nodes.connect()
    await other.query('BEGIN')
    await other.query('SELECT FROM tidemark.spaces WHERE id = $1 FOR UPDATE', [space])
    await reader.pullAll()
    await node.status(space)
    await node.hydratePage(space, null, 10)
    await node.readSchema(space)
    await node.read(space, { space: 'name', records: [{ table: 't', key: '["x"]' }] })
    // A push looks without the lock as well, and decides; only its commit waits.
    const gate = new Gate('tidemark commit')
    const push = new Reader(nodes.node({ watch: gate }), 'w', space).push([put('y', 0, {})])
    await gate.reached
    await other.query('COMMIT')
    gate.open()
    expect((await push).results).toEqual([{ status: 'ok', version: 2 }])
  },

  async 'I11: of eight who meet another life of the database one begins its generation'(nodes, space) {
    await new Reader(nodes.node(), 'w', space).write(put('x', 0, {}))
    await nodes.admin.query(`UPDATE tidemark.spaces SET boot = 'an earlier life' WHERE id = $1`, [space])
    const other = await nodes.connect()
    await other.query('BEGIN')
    await other.query('SELECT FROM tidemark.spaces WHERE id = $1 FOR UPDATE', [space])
    const all = Promise.all(Array.from({ length: 8 }, () => nodes.node().status(space)))
    all.catch(() => {})
    await someWaitForLock(nodes.admin, 8)
    await other.query('COMMIT')
    const answers = await all
    expect(new Set(answers.map(({ generation }) => generation.id)).size).toBe(1)
    const { rows } = await nodes.admin.query<{ number: number; start: string }>(
      `SELECT g.number, g.start FROM tidemark.generations g JOIN tidemark.spaces s ON s.no = g.space
       WHERE s.id = $1 ORDER BY g.number`,
      [space],
    )
    expect(rows).toEqual([
      { number: 0, start: '0' },
      { number: 1, start: '1' },
    ])
  },

  async 'the floor does not pass a hydrate that begins'(nodes, space) {
    const writer = new Reader(nodes.node(), 'w', space)
    await writer.write(put('x', 0, {}))
    const gate = new Gate('tidemark see')
    const reader = new Reader(nodes.node({ watch: gate }), 'reader', space)
    const start = reader.start()
    await gate.reached
    const bury = writer.write(del('x', 1))
    bury.catch(() => {})
    const between = await doneOrWaiting(nodes.admin, bury, 1)
    const collector = nodes.node()
    const collect = async (): Promise<void> => {
      await collector.forgetReplica(space, 'w')
      await collector.collect(space, { liveSince: 0, retainSince: 0 })
    }
    if (between === 'done') await collect()
    gate.open()
    await start
    await bury
    await collect()
    expect(await reader.pullAll()).toMatchObject([{ key: '["x"]', deleted: true }])
  },

  async 'nothing is written while tombstones are collected'(nodes, space) {
    const writer = new Reader(nodes.node(), 'w', space)
    await writer.write(put('x', 0, {}))
    await writer.write(del('x', 1))
    const gate = new Gate('tidemark drop tombstones')
    const collected = nodes
      .node({ watch: gate })
      .collect(space, { liveSince: Number.MAX_SAFE_INTEGER, retainSince: 0 })
    await gate.reached
    const back = writer.push([put('x', 2, {})])
    back.catch(() => {})
    const between = await doneOrWaiting(nodes.admin, back, 1)
    gate.open()
    expect(await collected).toBe(1)
    // The tombstone is gone by then.
    expect((await back).results).toEqual([{ status: 'conflict', current: null }])
    expect(between).toBe('waits')
    expect(await nodes.node().status(space)).toMatchObject({ head: 2, floor: 2, records: 0, tombstones: 0 })
  },

  async 'I3, I5: the last part of a mutation, by two nodes at once'(nodes, space) {
    for (const [at, name] of ['tidemark one at a time', 'tidemark staged', 'tidemark view'].entries()) {
      const changes = [put(`${at}`, 0, {}), put(`${at}'`, 0, {})]
      const part = (index: number) => ({ part: { index, of: 2, attempt: 'a' }, mutation: 1 })
      const sender = (watch?: Watch): Reader =>
        new Reader(nodes.node({ ...(watch && { watch }) }), `r${at}`, space)
      await sender().push(changes.slice(0, 1), part(0))
      const commit = new Gate('tidemark commit')
      const first = sender(commit).push(changes.slice(1), part(1))
      await commit.reached
      // Inside its transaction, where it judges what is due.
      const judge = new Gate(name)
      const second = sender({
        before: (sent) => (sent.inTransaction ? judge.before(sent) : undefined),
      }).push(changes.slice(1), part(1))
      second.catch(() => {})
      await judge.reached
      commit.open()
      const { results } = await first
      judge.open()
      expect(results).toMatchObject([{ status: 'ok' }, { status: 'ok' }])
      expect((await second).results).toEqual(results)
    }
  },

  async 'acknowledgements and a commit take replicas in one order'(nodes, space) {
    const node = nodes.node()
    for (const id of ['a', 'b']) await new Reader(node, id, space).write(put(id, 0, {}))
    const other = await nodes.connect()
    const lock = async (id: string): Promise<void> =>
      void (await other.query(
        `SELECT FROM tidemark.replicas r JOIN tidemark.spaces s ON s.no = r.space
         WHERE s.id = $1 AND r.id = $2 FOR UPDATE OF r NOWAIT`,
        [space, id],
      ))
    await other.query('BEGIN')
    await lock('a')
    // In one turn, and so in one commit: b before a.
    const pushes = ['b', 'a'].map(async (id) => {
      const reader = new Reader(node, id, space)
      reader.mutation = 1
      return reader.write(put(`${id}2`, 0, {}))
    })
    await someWaitForLock(nodes.admin)
    await lock('b')
    await other.query('COMMIT')
    await Promise.all(pushes)
  },
}

/** What one node does alone. */
export const PLAIN_CHECKS: { readonly [name: string]: Check } = {
  async 'a row is written again, and read as it is then'(nodes, space) {
    const writer = new Reader(nodes.node(), 'w', space)
    await writer.write(put('x', 0, { a: 1 }))
    await writer.write(put('x', 1, { a: 2 }))
    const answer = await writer.log.read(space, { space: 'name', records: [{ table: 't', key: '["x"]' }] })
    expect(answer.records).toMatchObject([{ version: 2, fields: { a: 2 } }])
  },

  async 'rows swap a unique value'(nodes, space) {
    const writer = new Reader(nodes.node(), 'w', space)
    const claim = (value: string) => ({ claims: { i: value } })
    await writer.write(put('x', 0, {}, claim('u')), put('y', 0, {}, claim('v')))
    await writer.write(put('x', 2, {}, claim('v')), put('y', 2, {}, claim('u')))
    const third = await writer.push([put('z', 0, {}, claim('u'))])
    expect(third.results).toMatchObject([{ status: 'taken', by: '["y"]' }])
  },

  async 'what a replica wrote comes back to it where it has not seen so far'(nodes, space) {
    const node = nodes.node()
    const copy = new Reader(node, 'a', space)
    await copy.start()
    await new Reader(node, 'a', space).write(put('x', 0, {}))
    expect(keys(await copy.pullAll())).toEqual(['["x"]'])
    const own = new Reader(node, 'b', space)
    await own.start()
    await own.write(put('y', 0, {}))
    expect(await own.pullAll()).toEqual([])
  },

  async 'what was acknowledged stands where a push says nothing of it'(nodes, space) {
    const writer = new Reader(nodes.node(), 'w', space)
    await writer.write(put('x', 0, {}))
    await writer.write(del('x', 1))
    await writer.start()
    await writer.push([], { cursor: null })
    expect(await writer.log.collect(space, { liveSince: 0, retainSince: 0 })).toBe(1)
  },

  async 'I3, I13: the last mutation is known by its bytes'(nodes, space) {
    const node = nodes.node()
    const writer = new Reader(node, 'a', space)
    await writer.write(put('w', 0, {}))
    const { results } = await writer.push([put('x', 0, {})])
    const request = writer.lastRequest
    if (request === null) throw new Error('nothing was pushed')
    expect((await writer.send(request)).results).toEqual(results)
    expect(await codeOf(writer.send({ ...request, changes: [] }))).toBe('replica_forked')
  },
}
