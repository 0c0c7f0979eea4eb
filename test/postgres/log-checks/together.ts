import { expect } from 'vitest'

import type { Log } from '../../../src/cloud/log/log.ts'
import { codeOf, del, hydrateAll, put, Reader } from '../../../src/testing/log-contract/harness.ts'
import { someWaitForLock } from '../barrier.ts'
import type { LogNodes, NodeOptions } from '../log-nodes.ts'
import { Gate, type Sent } from '../watched-database.ts'
import type { Check } from './moved.ts'

const many = (nodes: LogNodes, count: number): Promise<readonly string[]> =>
  Promise.all(Array.from({ length: count }, () => nodes.space()))

/** A node, and the statements of a name that it sent. */
function counted(nodes: LogNodes, name: string, options: NodeOptions = {}): { log: Log; sent: Sent[] } {
  const sent: Sent[] = []
  const before = (one: Sent): void => void (one.name === name && sent.push(one))
  return { log: nodes.node({ ...options, watch: { before } }), sent }
}

/** What a node asks once of each space: it is not in the way later, and they are ready at one moment. */
const know = (log: Log, spaces: readonly string[]): Promise<unknown> =>
  Promise.all(spaces.map((space) => log.status(space)))

/** What spaces that are ready at one moment share, and what they do not. */
export const TOGETHER_CHECKS: { readonly [name: string]: Check } = {
  async 'spaces that differ share their statements, and each has its own'(nodes, first) {
    const spaces = [first, ...(await many(nodes, 15))]
    const { log, sent } = counted(nodes, 'tidemark commit')
    const writers = spaces.map((space, at) => new Reader(log, `w${at % 3}`, space))
    // Heads, tables, writers, claims and numbers of mutations that are not the same in any two neighbours.
    const changesOf = (at: number, round: number) =>
      Array.from({ length: 1 + ((at + round) % 3) }, (_, n) =>
        put(`${at}-${n}`, 0, { at, n }, { table: `t${at % 4}-${n}`, claims: { i: `${at % 2}` } }),
      )
    for (const [at, writer] of writers.entries())
      for (let round = 0; round < at % 4; round++) await writer.push([put(`own-${round}`, 0, { round })])
    await know(log, spaces)
    sent.length = 0
    const answers = await Promise.all(writers.map((writer, at) => writer.push(changesOf(at, 0))))
    expect(sent.length).toBeLessThan(5)
    for (const [at, { head, results }] of answers.entries()) {
      const changes = changesOf(at, 0)
      expect(head).toBe((at % 4) + changes.length)
      expect(results).toEqual(changes.map((_, n) => ({ status: 'ok', version: (at % 4) + n + 1 })))
      const rows = await hydrateAll(log, { space: spaces[at] ?? '' })
      expect(rows.filter(({ table }) => table !== 't')).toMatchObject(
        changes.map(({ table, key, fields }) => ({ table, key, fields, by: `w${at % 3}` })),
      )
      expect(await log.status(spaces[at] ?? '')).toMatchObject({ head, records: head, replicas: 1 })
    }
    const other = nodes.node()
    for (const [at, { lastRequest, id, space }] of writers.entries()) {
      if (lastRequest === null) throw new Error('nothing was pushed')
      // Known by its number, and answered with the versions that it was given (I3).
      const { results } = await new Reader(other, id, space).send(lastRequest)
      expect(results).toEqual(answers[at]?.results)
    }
    // Again, with what is there by now: rows that are changed, values that are let go, others that are taken.
    sent.length = 0
    const again = await Promise.all(
      writers.map((writer, at) =>
        writer.push([
          del(`${at}-0`, (at % 4) + 1, { table: `t${at % 4}-0` }),
          put('new', 0, {}, { table: `t${at % 4}-0`, claims: { i: `${at % 2}` } }),
        ]),
      ),
    )
    expect(sent.length).toBeLessThan(5)
    for (const [at, { head, results }] of again.entries()) {
      const before = answers[at]?.head ?? 0
      expect([head, results]).toEqual([
        before + 2,
        [
          { status: 'ok', version: before + 1 },
          { status: 'ok', version: before + 2 },
        ],
      ])
      expect(await log.status(spaces[at] ?? '')).toMatchObject({ records: before, tombstones: 1 })
    }
  },

  async 'a space that somebody holds keeps no other waiting'(nodes, held) {
    const [free = ''] = await many(nodes, 1)
    const { log, sent } = counted(nodes, 'tidemark view')
    await know(log, [held, free])
    const other = await nodes.connect()
    await other.query('BEGIN')
    await other.query('SELECT FROM tidemark.spaces WHERE id = $1 FOR UPDATE', [held])
    const late = new Reader(log, 'a', held).push([put('x', 0, {})])
    const quick = new Reader(log, 'b', free).push([put('x', 0, {})])
    late.catch(() => {})
    quick.catch(() => {})
    await someWaitForLock(nodes.admin)
    const first = await Promise.race([quick.then(() => 'quick'), waited(nodes)])
    await other.query('COMMIT')
    expect((await late).results).toEqual([{ status: 'ok', version: 1 }])
    expect((await quick).results).toEqual([{ status: 'ok', version: 1 }])
    expect(first).toBe('quick')
    // What was decided for the one that was held still holds.
    expect(sent).toHaveLength(1)
  },

  async 'a space that has moved takes no other with it'(nodes, still) {
    const [moved = '', forked = ''] = await many(nodes, 2)
    const gate = new Gate('tidemark commit')
    const heads: string[] = []
    const after = ({ name }: Sent, rows: readonly object[]): void =>
      void (name === 'tidemark commit' && heads.push(JSON.stringify(rows)))
    const log = nodes.node({ watch: { before: (sent) => gate.before(sent), after } })
    const quick = nodes.node()
    const spaces = [still, moved, forked]
    await know(log, spaces)
    const pushes = spaces.map((space) => new Reader(log, 'slow', space).push([put('x', 0, { n: 1 })]))
    for (const push of pushes) push.catch(() => {})
    await gate.reached
    await new Reader(quick, 'quick', moved).write(put('x', 0, { n: 2 }))
    // Another mutation of the same number (I13), and nothing else that the first has read.
    await new Reader(quick, 'slow', forked).write(put('y', 0, { n: 2 }))
    gate.open()
    const [first, second, third] = pushes
    expect((await first)?.results).toEqual([{ status: 'ok', version: 1 }])
    expect((await second)?.results).toMatchObject([
      { status: 'conflict', current: { version: 1, fields: { n: 2 } } },
    ])
    expect(await codeOf(third as Promise<unknown>)).toBe('replica_forked')
    for (const [space, n] of [
      [still, 1],
      [moved, 2],
      [forked, 2],
    ] as const)
      expect(await hydrateAll(quick, { space })).toMatchObject([{ version: 1, fields: { n } }])
    expect(heads[0]).toBe('[{"heads":"[0,null,null]"}]')
  },

  async 'I7: what is too large to share waits for the lock, and finds what was written meanwhile'(
    nodes,
    space,
  ) {
    const { client, log } = await nodes.within()
    await client.query('BEGIN')
    await new Reader(log, 'within', space).write(put('x', 0, { n: 1 }))
    const rows = Array.from({ length: 200 }, (_, at) => put(`${at}`, 0, {}))
    const push = new Reader(nodes.node(), 'slow', space).push([...rows, put('x', 0, { n: 2 })])
    push.catch(() => {})
    await someWaitForLock(nodes.admin)
    await client.query('COMMIT')
    const { results, head } = await push
    expect(results.at(-1)).toMatchObject({ status: 'conflict', current: { version: 1, fields: { n: 1 } } })
    expect([results[0], head]).toEqual([{ status: 'ok', version: 2 }, 201])
  },

  async 'I9: a space whose commit the database refuses is refused alone'(nodes, bad) {
    const good = await many(nodes, 2)
    const constraint = `no_${bad.replaceAll('-', '_')}`
    await nodes.admin.query(
      `ALTER TABLE tidemark.records ADD CONSTRAINT ${constraint} CHECK (key <> '["${bad}"]') NOT VALID`,
    )
    const log = nodes.node()
    await know(log, [bad, ...good])
    const pushes = [good[0] ?? '', bad, good[1] ?? ''].map((space) =>
      codeOf(new Reader(log, 'a', space).push([put(space, 0, {})])),
    )
    const said = await Promise.allSettled(pushes)
    await nodes.admin.query(`ALTER TABLE tidemark.records DROP CONSTRAINT ${constraint}`)
    expect(said.map((one) => (one.status === 'fulfilled' ? one.value : 'done'))).toEqual([
      'done',
      'internal',
      'done',
    ])
    for (const space of good) expect(await log.status(space)).toMatchObject({ head: 1, records: 1 })
    expect(await log.status(bad)).toMatchObject({ head: 0, records: 0, replicas: 0 })
  },

  async 'a space that is not there is missing alone'(nodes, space) {
    const log = nodes.node()
    const nowhere = new Reader(log, 'a', 'nowhere')
    const [missing, pushed] = await Promise.all([
      codeOf(nowhere.push([put('x', 0, {})])),
      new Reader(log, 'a', space).push([put('x', 0, {})]),
    ])
    expect([missing, pushed.head]).toEqual(['space_not_found', 1])
  },

  async 'polls that wake at one moment share a statement, and each is answered its own'(nodes, first) {
    const spaces = [first, ...(await many(nodes, 5))]
    const writer = nodes.node()
    const { log, sent } = counted(nodes, 'tidemark pull')
    const readers: Reader[] = []
    for (const [at, space] of spaces.entries()) {
      const w = new Reader(writer, `w${at}`, space)
      for (let row = 0; row <= at; row++) {
        await w.write(put(`${at}-${row}`, 0, { at, row }))
        // Cursors at different places, of the writer too.
        const reader = new Reader(log, row % 3 === 0 ? w.id : `r${row}`, space)
        await reader.start()
        readers.push(reader)
      }
      await new Reader(writer, 'late', space).write(put('late', 0, { at }), put('last', 0, { at }))
    }
    sent.length = 0
    const ask = (reader: Reader, at: number, wait: number) => {
      if (reader.cursor === null) throw new Error('it has not begun')
      const { id: replica, cursor, space } = reader
      return log.pull(space, { space: 'name', replica, cursor, limit: 1 + (at % 3), wait })
    }
    const shared = await Promise.all(readers.map((reader, at) => ask(reader, at, 1)))
    expect(sent.length).toBeLessThan(readers.length / 3)
    for (const [at, reader] of readers.entries()) {
      const alone = await ask(reader, at, 0)
      expect(alone.records.length).toBeGreaterThan(0)
      expect(shared[at]).toEqual(alone)
    }
    const cursor = readers[0]?.cursor ?? null
    const missing = { space: 'name', replica: 'r', cursor: cursor as NonNullable<typeof cursor>, wait: 1 }
    const [gone, there] = await Promise.all([
      codeOf(log.pull('nowhere', missing)),
      ask(readers[0] as Reader, 0, 1),
    ])
    expect([gone, there.records.length]).toEqual(['space_not_found', 1])
  },
}

/** Fulfilled once whoever is to wait for a lock has done so for a while: seen waiting again and again. */
async function waited(nodes: LogNodes): Promise<'waited'> {
  for (let looks = 0; looks < 100; looks++) await someWaitForLock(nodes.admin)
  return 'waited'
}
