import { describe, expect } from 'vitest'

import { MAX_PULL_BYTES } from '../../protocol/limits.ts'
import { codeOf, del, hydrateAll, put, Reader, SPACE, START, type OpenLog } from './harness.ts'
import { withLog } from './with-log.ts'

const DAY_MS = 86_400_000

/** The whole space, and what must stay for those who have not read it. */
export function hydrateContract(open: OpenLog): void {
  const run = withLog(open)

  describe('hydrate', () => {
    run('gives every live record in the order of UTF-8 bytes, over any page size', async ({ log }) => {
      const a = new Reader(log, 'a')
      const keys = ['a', 'b', 'aa', 'Z', 'é', '\uffee', '😀', '10', '9', '\ue000']
      for (const table of ['t', 'T', '😀', '\uffee']) {
        await a.push(keys.map((key) => put(key, 0, { key }, { table })))
      }
      await a.push([put('gone', 0, {})])
      await a.push([del('gone', 41)])
      const bytes = (text: string) => Buffer.from(text)
      const order = await hydrateAll(log)
      const sorted = [...order].sort(
        (x, y) => bytes(x.table).compare(bytes(y.table)) || bytes(x.key).compare(bytes(y.key)),
      )
      expect(order).toHaveLength(40)
      expect(order).toEqual(sorted)
      for (const limit of [1, 3, 40]) expect(await hydrateAll(log, { limit })).toEqual(order)
      const two = await hydrateAll(log, { tables: ['😀', 't', 'never'], limit: 7 })
      expect(two).toEqual(order.filter(({ table }) => table === '😀' || table === 't'))
      expect(await hydrateAll(log, { tables: [] })).toEqual([])
    })

    run('the start has the head, and counts the rows of the tables asked for', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.write(put('1', 0, {}), put('2', 0, {}), put('3', 0, {}, { table: 'u' }))
      await a.write(del('2', 2))
      const { cursor } = { cursor: await a.start() }
      expect(await log.startHydrate(SPACE, 'b')).toEqual({
        epoch: cursor.epoch,
        generation: { id: cursor.generation, start: 0, before: [] },
        head: 4,
        floor: 0,
        schema: 0,
        count: 2,
      })
      expect((await log.startHydrate(SPACE, 'b', ['u', 'never'])).count).toBe(1)
    })

    run('pages end early where rows are large', async ({ log }) => {
      const a = new Reader(log, 'a')
      const big = 'x'.repeat(MAX_PULL_BYTES / 2)
      for (const key of ['1', '2', '3', '4', '5']) await a.write(put(key, 0, { big }))
      const page = await log.hydratePage(SPACE, null, 1_000)
      expect(page.lines.length).toBeGreaterThanOrEqual(1)
      expect(page.lines.length).toBeLessThan(5)
      expect(await hydrateAll(log)).toHaveLength(5)
    })

    run('I4: what is written meanwhile is in a page or in the pull that follows', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(...Array.from({ length: 20 }, (_, at) => put(`k${at + 10}`, 0, { x: 0 })))
      await b.start()
      const rows = new Map<string, unknown>()
      let after: { readonly table: string; readonly key: string } | null = null
      for (let step = 0; step < 40; step++) {
        const page: Awaited<ReturnType<typeof log.hydratePage>> = await log.hydratePage(SPACE, after, 3)
        if (page.last === null) break
        for (const line of page.lines) {
          const record = JSON.parse(line) as { key: string; fields: unknown }
          rows.set(record.key, record.fields)
        }
        after = page.last
        if (step === 2) {
          await a.push([put('k00', 0, { x: 1 }), put('k11', 2, { x: 1 }), del('k12', 3), del('k28', 19)])
        }
      }
      for (const record of await b.pullAll()) {
        if (record.deleted === true) rows.delete(record.key)
        else rows.set(record.key, record.fields)
      }
      const expected = (await hydrateAll(log)).map((record) => [record.key, record.fields] as const)
      expect([...rows].sort()).toEqual(expected)
    })

    run('goes on after a place with the head of its start', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.write(put('1', 0, {}), put('2', 0, {}), put('3', 0, {}))
      const { head } = await log.startHydrate(SPACE, 'b')
      await a.write(put('4', 0, {}))
      const place = { head, table: 't', key: '["2"]' }
      expect(await log.startHydrate(SPACE, 'b', undefined, place)).toMatchObject({ head: 3 })
      const page = await log.hydratePage(SPACE, place, 10)
      expect(page.lines.map((line) => (JSON.parse(line) as { key: string }).key)).toEqual(['["3"]', '["4"]'])
      expect(page.last).toEqual({ table: 't', key: '["4"]' })
      expect(await log.hydratePage(SPACE, page.last, 10)).toEqual({ head: 4, lines: [], last: null })
    })
  })

  describe('collect', () => {
    const keepAll = { liveSince: START - DAY_MS, retainSince: START - 30 * DAY_MS }

    run('I11: tombstones stay until every live replica has acknowledged them', async ({ log, time }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      const c = new Reader(log, 'c')
      await a.write(put('1', 0, {}), put('2', 0, {}))
      for (const reader of [a, b, c]) await reader.start()
      await a.write(del('1', 1))
      await a.pull()
      await b.pull()
      expect(await log.collect(SPACE, keepAll)).toBe(0)
      expect(await log.status(SPACE)).toMatchObject({ floor: 0, tombstones: 1, records: 1, head: 3 })
      await c.pull()
      // A cursor is what was read before: only the next request tells that its page arrived.
      expect(await log.collect(SPACE, keepAll)).toBe(0)
      for (const reader of [a, b, c]) await reader.pull()
      expect(await log.collect(SPACE, keepAll)).toBe(1)
      expect(await log.status(SPACE)).toMatchObject({ floor: 3, tombstones: 0, records: 1, head: 3 })
      for (const reader of [a, b, c]) expect(await reader.pull()).toMatchObject({ floor: 3, records: [] })

      time.advance(2 * DAY_MS)
      await a.write(del('2', 2))
      await a.pull()
      await a.pull()
      const recent = { ...keepAll, liveSince: time.now() - DAY_MS }
      expect(await log.collect(SPACE, recent)).toBe(1)
      expect(await codeOf(b.pull())).toBe('cursor_expired')
      expect((await log.status(SPACE)).floor).toBe(4)
    })

    run('I4: a pull of some tables acknowledges nothing of the others', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(put('1', 0, {}))
      await a.start()
      await b.start()
      await a.write(del('1', 1))
      for (const _ of [1, 2]) await a.pull()
      for (const _ of [1, 2])
        expect(await b.pull({ tables: ['other'] })).toMatchObject({ records: [], next: 2 })
      expect(await log.collect(SPACE, keepAll)).toBe(0)
      for (const _ of [1, 2]) await b.pull()
      expect(await log.collect(SPACE, keepAll)).toBe(1)
    })

    run('I7: a row offered again says that it may undo a forgotten deletion', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.start()
      await a.write(put('1', 0, {}), put('2', 0, {}))
      await a.write(del('1', 1))
      await a.pull()
      await a.pull()
      expect(await log.collect(SPACE, keepAll)).toBe(1)
      const b = new Reader(log, 'b')
      const offer = (key: string) => put(key, 0, { x: 1 }, { was: 7 })
      const { results } = await b.push([offer('1'), offer('2'), put('3', 0, {})])
      expect(results).toMatchObject([
        { status: 'ok', version: 4, forgotten: true },
        { status: 'conflict' },
        { status: 'ok', version: 5 },
      ])
      expect(results[2]).not.toHaveProperty('forgotten')
      const request = b.lastRequest
      if (request === null) throw new Error('no request')
      expect((await b.send(request)).results).toEqual(results)
    })

    run('a push acknowledges what its cursor says', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(put('1', 0, {}))
      await a.start()
      await b.start()
      await b.pull()
      await a.write(del('1', 1))
      await a.pull()
      await b.pull()
      for (const reader of [a, b]) await reader.push([])
      expect(await log.collect(SPACE, keepAll)).toBe(1)
    })

    run(
      'I11: a replica that went back holds what it has not seen, whatever becomes of the log',
      async (harness) => {
        const { log } = harness
        const a = new Reader(log, 'a')
        const b = new Reader(log, 'b')
        await a.write(put('1', 0, {}))
        await a.start()
        const older = await b.start()
        await a.write(del('1', 1))
        for (const reader of [a, b]) await reader.pull()
        for (const reader of [a, b]) await reader.push([])
        b.cursor = older
        await b.pull({ limit: 1 })
        const copy = await (await harness.save())()
        expect(await copy.collect(SPACE, keepAll)).toBe(0)
        expect(await log.collect(SPACE, keepAll)).toBe(0)
      },
    )

    run('tombstones older than the retention window go, whoever has not seen them', async ({ log, time }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(put('1', 0, {}), put('2', 0, {}))
      await b.start()
      // An old time of the edit itself makes no tombstone old: the cloud has just learned of it.
      await a.write(del('1', 1, { hlc: 1 }))
      time.advance(DAY_MS)
      await a.write(del('2', 2, { hlc: 1 }))
      const liveSince = START - DAY_MS
      expect(await log.collect(SPACE, { liveSince, retainSince: START })).toBe(0)
      expect(await log.collect(SPACE, { liveSince, retainSince: START + 1 })).toBe(1)
      expect((await log.status(SPACE)).floor).toBe(3)
      expect(await codeOf(b.pull())).toBe('cursor_expired')
      await b.start()
      expect(await b.pull()).toMatchObject({ records: [] })
    })

    run('I11: a hydrate holds the floor from its start', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.start()
      await a.write(put('1', 0, {}), put('2', 0, {}))
      const b = new Reader(log, 'b')
      await b.start()
      await a.write(del('1', 1))
      await a.pull()
      await a.pull()
      expect(await log.collect(SPACE, keepAll)).toBe(0)
      expect((await b.pull()).records).toMatchObject([{ deleted: true }])
    })

    run('I11: a hydrate of one table does not give up an older cursor', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.start()
      await b.start()
      await b.pull()
      await a.write(put('1', 0, {}))
      await a.write(del('1', 1))
      await log.startHydrate(SPACE, 'b', ['new table'])
      await a.pull()
      await a.pull()
      expect(await log.collect(SPACE, keepAll)).toBe(0)
      expect((await b.pull()).records).toMatchObject([{ deleted: true }])
    })

    run('a place below the floor has expired, one at it has not', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.write(put('1', 0, {}), put('2', 0, {}))
      await a.write(del('1', 1))
      await a.start()
      expect(await log.collect(SPACE, keepAll)).toBe(1)
      const place = { head: 2, table: 't', key: '["1"]' }
      expect(await codeOf(log.startHydrate(SPACE, 'b', undefined, place))).toBe('cursor_expired')
      expect((await log.startHydrate(SPACE, 'b', undefined, { ...place, head: 3 })).head).toBe(3)
    })

    run('a replica that expired does not hold the floor for ever', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await b.start()
      await a.write(put('1', 0, {}), put('2', 0, {}))
      await a.write(del('1', 1))
      await a.start()
      expect(await log.collect(SPACE, { ...keepAll, retainSince: START + 1 })).toBe(1)
      await a.write(del('2', 2))
      await a.pull()
      await a.pull()
      expect(await log.collect(SPACE, keepAll)).toBe(1)
    })

    run('a replica that is forgotten holds nothing, and its numbers are forgotten too', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await b.start()
      await b.write(put('b', 0, {}))
      await a.write(put('1', 0, {}))
      await a.write(del('1', 2))
      await a.start()
      expect(await log.collect(SPACE, keepAll)).toBe(0)
      expect((await log.status(SPACE)).replicas).toBe(2)
      await log.forgetReplica(SPACE, 'b')
      await log.forgetReplica(SPACE, 'never')
      expect((await log.status(SPACE)).replicas).toBe(1)
      expect(await log.collect(SPACE, keepAll)).toBe(1)
      expect(await codeOf(b.push([]))).toBe('replica_forked')
    })

    run(
      'a row that was dropped can come back, and an edit of it is told that nothing is there',
      async ({ log }) => {
        const a = new Reader(log, 'a')
        await a.write(put('1', 0, {}))
        await a.write(del('1', 1))
        await a.start()
        await log.collect(SPACE, keepAll)
        expect((await a.push([put('1', 1, { x: 1 })])).results).toEqual([
          { status: 'conflict', current: null },
        ])
        expect(await a.write(put('1', 0, { x: 1 }))).toEqual([3])
        expect(await hydrateAll(log)).toHaveLength(1)
      },
    )

    run('acknowledgements and the floor outlive a restart', async (harness) => {
      const { log } = harness
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(put('1', 0, {}), put('2', 0, {}))
      await b.start()
      await a.write(del('1', 1))
      await a.start()
      const again = await harness.restart()
      expect(await again.collect(SPACE, keepAll)).toBe(0)
      expect(await again.collect(SPACE, { ...keepAll, retainSince: START + 1 })).toBe(1)
      expect((await (await harness.restart()).status(SPACE)).floor).toBe(3)
    })
  })
}
