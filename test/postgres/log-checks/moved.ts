import { expect } from 'vitest'

import type { Log } from '../../../src/cloud/log/log.ts'
import { codeOf, del, hydrateAll, put, Reader } from '../../../src/testing/log-contract/harness.ts'
import type { LogNodes } from '../log-nodes.ts'
import { Gate } from '../watched-database.ts'

/** What a space on PostgreSQL must hold to; rejects where it does not. */
export type Check = (nodes: LogNodes, space: string) => Promise<void>

/** Two nodes: the slow one stands before its commit, with all that it read and decided, until `go`. */
interface Meeting {
  readonly slow: Log
  readonly quick: Log
  /** Begins something on the slow node; fulfilled when it stands at the gate. */
  hold<T>(work: () => Promise<T>): Promise<{ go(): Promise<T> }>
}

function meet(nodes: LogNodes): Meeting {
  const gates: Gate[] = []
  const slow = nodes.node({ watch: { before: (sent) => gates.at(-1)?.before(sent) } })
  return {
    slow,
    quick: nodes.node(),
    async hold(work) {
      const gate = new Gate('tidemark commit')
      gates.push(gate)
      const done = work()
      done.catch(() => {})
      await Promise.race([gate.reached, done.then(() => Promise.reject(new Error('it did not commit')))])
      return {
        go: () => {
          gate.open()
          return done
        },
      }
    },
  }
}

const currentGeneration = async (log: Log, space: string): Promise<string> =>
  (await log.status(space)).generation.id

/** What is decided on a view is done where that still holds, and decided anew where not. */
export const MOVED_CHECKS: { readonly [name: string]: Check } = {
  async 'a row that others changed'(nodes, space) {
    const { slow, quick, hold } = meet(nodes)
    const a = new Reader(slow, 'a', space)
    const b = new Reader(quick, 'b', space)
    await a.write(put('x', 0, { n: 1 }))
    const late = await hold(() => a.push([put('x', 1, { n: 2 }), put('y', 0, { n: 2 })]))
    await b.write(put('x', 1, { n: 3 }))
    const { results } = await late.go()
    expect(results).toMatchObject([
      { status: 'conflict', current: { version: 2, fields: { n: 3 } } },
      { status: 'ok', version: 3 },
    ])
  },

  async 'a row that was not there'(nodes, space) {
    const { slow, quick, hold } = meet(nodes)
    const a = new Reader(slow, 'a', space)
    const b = new Reader(quick, 'b', space)
    const late = await hold(() => a.push([put('x', 0, { n: 1 })]))
    await b.write(put('x', 0, { n: 2 }))
    expect((await late.go()).results).toMatchObject([{ status: 'conflict', current: { fields: { n: 2 } } }])
  },

  async 'a unique value that others took'(nodes, space) {
    const { slow, quick, hold } = meet(nodes)
    const a = new Reader(slow, 'a', space)
    const b = new Reader(quick, 'b', space)
    const late = await hold(() => a.push([put('x', 0, {}, { claims: { i: 'u' } })]))
    await b.write(put('y', 0, {}, { claims: { i: 'u' } }))
    expect((await late.go()).results).toMatchObject([{ status: 'taken', index: 'i', by: '["y"]' }])
  },

  async 'a unique value that others let go'(nodes, space) {
    const { slow, quick, hold } = meet(nodes)
    const a = new Reader(slow, 'a', space)
    const b = new Reader(quick, 'b', space)
    await b.write(put('y', 0, {}, { claims: { i: 'u' } }))
    const late = await hold(() => a.push([put('x', 0, {}, { claims: { i: 'u' } })]))
    await b.write(del('y', 1))
    expect((await late.go()).results).toMatchObject([{ status: 'ok', version: 3 }])
  },

  async 'the floor'(nodes, space) {
    const { slow, quick, hold } = meet(nodes)
    const a = new Reader(slow, 'a', space)
    const b = new Reader(quick, 'b', space)
    await b.write(put('y', 0, {}))
    await b.write(del('y', 1))
    const late = await hold(() => a.push([put('x', 1, {}, { was: 1 })]))
    expect(await quick.collect(space, { liveSince: Number.MAX_SAFE_INTEGER, retainSince: 0 })).toBe(1)
    expect((await late.go()).results).toMatchObject([{ status: 'ok', forgotten: true }])
  },

  async 'a tombstone that was dropped below the floor'(nodes, space) {
    const { slow, quick, hold } = meet(nodes)
    const a = new Reader(slow, 'a', space)
    const b = new Reader(quick, 'b', space)
    await b.write(put('x', 0, {}), put('y', 0, {}))
    await b.write(del('x', 1), del('y', 2))
    // As of a node whose clock is behind: the later of the two is collected first.
    await nodes.admin.query(
      `UPDATE tidemark.records r SET buried_at = 1000 FROM tidemark.spaces s
       WHERE s.id = $1 AND r.space = s.no AND r.version = 4`,
      [space],
    )
    const collect = (retainSince: number) => quick.collect(space, { liveSince: 0, retainSince })
    expect(await collect(2_000)).toBe(1)
    const late = await hold(() => a.push([put('x', 3, { n: 1 })]))
    expect(await collect(Number.MAX_SAFE_INTEGER)).toBe(1)
    expect((await late.go()).results).toMatchObject([{ status: 'conflict', current: null }])
    expect(await quick.status(space)).toMatchObject({ records: 0, tombstones: 0, head: 4, floor: 4 })
  },

  async 'I3: the same mutation, by another node'(nodes, space) {
    const { slow, quick, hold } = meet(nodes)
    const a = new Reader(slow, 'a', space)
    const late = await hold(() => a.push([put('x', 0, { n: 1 })]))
    await new Reader(quick, 'b', space).write(put('y', 0, {}))
    const again = new Reader(quick, 'a', space)
    const first = await again.push([put('x', 0, { n: 1 })])
    expect((await late.go()).results).toEqual(first.results)
    expect(await quick.status(space)).toMatchObject({ head: 2, records: 2 })
  },

  async 'I13: another mutation of the same number, by another node'(nodes, space) {
    const { slow, quick, hold } = meet(nodes)
    const a = new Reader(slow, 'a', space)
    const late = await hold(() => a.push([put('x', 0, { n: 1 })]))
    await new Reader(quick, 'a', space).write(put('y', 0, {}))
    expect(await codeOf(late.go())).toBe('replica_forked')
    expect(await quick.status(space)).toMatchObject({ head: 1, records: 1 })
  },

  async 'I11: a generation that was begun'(nodes, space) {
    const { slow, quick, hold } = meet(nodes)
    const a = new Reader(slow, 'a', space)
    const late = await hold(() => a.push([put('x', 0, {})]))
    await nodes.admin.query(`SELECT tidemark.begin_generation_1($1, 'by hand', true)`, [space])
    expect((await late.go()).generation.id).toBe('by hand')
    expect(await currentGeneration(quick, space)).toBe('by hand')
  },

  async 'I11: a database that was started since'(nodes, space) {
    const { slow, hold } = meet(nodes)
    const a = new Reader(slow, 'a', space)
    const before = await currentGeneration(slow, space)
    const late = await hold(() => a.push([put('x', 0, {})]))
    await nodes.admin.query(
      `UPDATE tidemark.spaces SET boot = 'an earlier life', wrote = pg_current_xact_id() WHERE id = $1`,
      [space],
    )
    const { generation } = await late.go()
    expect(generation.id).not.toBe(before)
    expect(generation.id).toBe(await currentGeneration(slow, space))
  },

  async 'I11: a space that was put back from a dump'(nodes, space) {
    const { slow, hold } = meet(nodes)
    const a = new Reader(slow, 'a', space)
    const before = await currentGeneration(slow, space)
    const late = await hold(() => a.push([put('x', 0, {})]))
    // The same values, written by another transaction than they tell of.
    await nodes.admin.query(`UPDATE tidemark.spaces SET head = head WHERE id = $1`, [space])
    const { generation } = await late.go()
    expect(generation.id).not.toBe(before)
    expect(generation.id).toBe(await currentGeneration(slow, space))
  },

  async 'nothing but the head: ages, claims and the kept answer count from where it is by then'(
    nodes,
    space,
  ) {
    const { slow, quick, hold } = meet(nodes)
    const a = new Reader(slow, 'a', space)
    const b = new Reader(quick, 'b', space)
    await a.write(put('x', 0, { p: 1, q: 1, r: 1 }, { claims: { i: 'u' } }))
    const late = await hold(() => a.push([put('x', 1, { q: 2 }, { claims: { j: 'v' } }), put('z', 0, {})]))
    await b.write(put('y', 0, {}))
    const { results, head } = await late.go()
    expect(head).toBe(4)
    expect(results).toEqual([
      { status: 'ok', version: 3 },
      { status: 'ok', version: 4 },
    ])
    const [row] = await hydrateAll(quick, { space })
    expect(row).toMatchObject({
      version: 3,
      since: [1, expect.any(Number)],
      fieldVersions: { q: [3, expect.any(Number)] },
    })
    const { rows } = await nodes.admin.query<{ claims: string }>(
      `SELECT r.claims FROM tidemark.records r JOIN tidemark.spaces s ON s.no = r.space
       WHERE s.id = $1 AND r.version = 3`,
      [space],
    )
    expect(JSON.parse(rows[0]?.claims ?? 'null')).toEqual({ i: ['u', 1], j: ['v', 3] })
    const again = new Reader(quick, 'a', space)
    const request = a.lastRequest
    expect(request && (await again.send(request)).results).toEqual(results)
  },
}
