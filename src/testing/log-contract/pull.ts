import { describe, expect } from 'vitest'

import { MAX_PULL_BYTES } from '../../protocol/limits.ts'
import { codeOf, del, failureOf, put, Reader, SPACE, type OpenLog } from './harness.ts'
import { withLog } from './with-log.ts'

/** Reading what changed. */
export function pullContract(open: OpenLog): void {
  const run = withLog(open)

  describe('pull', () => {
    run('brings the latest state of every record above the cursor, in version order', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await b.start()
      await a.write(put('1', 0, { x: 1 }), put('2', 0, { x: 1 }), put('3', 0, { x: 1 }))
      await a.write(put('1', 1, { x: 2 }), del('2', 2))
      const answer = await b.pull()
      expect(answer).toMatchObject({ head: 5, next: 5, floor: 0, schema: 0, has_more: false })
      expect(answer.records.map(({ key, version, deleted }) => [key, version, deleted])).toEqual([
        ['["3"]', 3, undefined],
        ['["1"]', 4, undefined],
        ['["2"]', 5, true],
      ])
      expect(answer.records[2]).not.toHaveProperty('fields')
      expect((await b.pull()).records).toEqual([])
    })

    run('leaves out what the replica wrote itself, as long as nobody wrote it since', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.start()
      await a.write(put('1', 0, { x: 1 }), put('2', 0, { x: 1 }), put('3', 0, { x: 1 }))
      await a.write(del('3', 3))
      expect(await a.pull()).toMatchObject({ records: [], next: 4, has_more: false })
      await b.write(put('1', 1, { x: 2 }))
      expect((await a.pull()).records).toMatchObject([{ key: '["1"]', by: 'b' }])
    })

    run('I4, I13: brings own rows above what the replica holds: a copy of it wrote them', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.start()
      await a.write(put('1', 0, { x: 1 }))
      const copied = a.cursor
      await a.write(put('2', 0, { x: 1 }))
      a.cursor = copied
      expect((await a.pull()).records.map(({ key }) => key)).toEqual(['["2"]'])
      expect((await a.pull()).records).toEqual([])
    })

    run('pages by records; the last page reaches the head', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await b.start()
      await a.write(...Array.from({ length: 7 }, (_, at) => put(`${at}`, 0, { at })))
      await b.write(put('own', 0, {}))
      const pages = [await b.pull({ limit: 3 }), await b.pull({ limit: 3 }), await b.pull({ limit: 3 })]
      expect(pages.map(({ records, next, has_more }) => [records.length, next, has_more])).toEqual([
        [3, 3, true],
        [3, 6, true],
        [1, 8, false],
      ])
    })

    run('a page that ends exactly with the last record says that there is no more', async ({ log }) => {
      const b = new Reader(log, 'b')
      await b.start()
      await new Reader(log, 'a').write(put('1', 0, {}), put('2', 0, {}), put('3', 0, {}))
      await b.write(put('own', 0, {}))
      expect(await b.pull({ limit: 3 })).toMatchObject({ next: 4, has_more: false })
    })

    run('pages by bytes, but always brings a record', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await b.start()
      const half = 'x'.repeat(MAX_PULL_BYTES / 2 + 1)
      for (const key of ['1', '2', '3', '4', '5']) await a.write(put(key, 0, { half }))
      await a.write(put('big', 0, { half, more: half, much: half }), put('small', 0, {}))
      const pages: (readonly [number, boolean])[] = []
      for (let more = true; more;) {
        const answer = await b.pull()
        pages.push([answer.records.length, answer.has_more])
        more = answer.has_more
        expect(pages.length).toBeLessThan(8)
      }
      expect(pages.reduce((sum, [count]) => sum + count, 0)).toBe(7)
      expect(pages.length).toBeGreaterThanOrEqual(3)
      expect(pages.every(([count]) => count >= 1 && count <= 3)).toBe(true)
    })

    run('reads only the tables asked for, and reaches the head all the same', async ({ log }) => {
      const b = new Reader(log, 'b')
      await b.start()
      await new Reader(log, 'a').write(
        put('1', 0, {}, { table: 'one' }),
        put('2', 0, {}, { table: 'two' }),
        put('3', 0, {}, { table: 'three' }),
        put('4', 0, {}, { table: 'two' }),
      )
      const first = await b.pull({ tables: ['one', 'three', 'never'], limit: 1 })
      expect(first).toMatchObject({ records: [{ table: 'one' }], next: 1, has_more: true })
      const second = await b.pull({ tables: ['one', 'three', 'never'], limit: 1 })
      expect(second).toMatchObject({ records: [{ table: 'three' }], next: 4, has_more: false })
      b.cursor = b.cursor && { ...b.cursor, version: 0 }
      expect(await b.pull({ tables: [] })).toMatchObject({ records: [], next: 4, has_more: false })
    })

    run('I11: a cursor that is not of this history is refused with what the cloud knows', async ({ log }) => {
      const a = new Reader(log, 'a')
      const cursor = await a.start()
      await a.write(put('1', 0, {}))
      const pull = (wrong: typeof cursor) => log.pull(SPACE, { space: 'n', replica: 'a', cursor: wrong })
      for (const wrong of [
        { ...cursor, epoch: 'other' },
        { ...cursor, generation: 'other' },
        { ...cursor, version: 2, high: 2 },
        { ...cursor, high: 2 },
      ]) {
        const { code, details } = await failureOf(pull(wrong))
        expect(code).toBe('lost_history')
        expect(details).toEqual({ epoch: cursor.epoch, generations: [{ id: cursor.generation, start: 0 }] })
      }
      expect((await pull({ ...cursor, high: 1 })).next).toBe(1)
    })

    run('is of one space only', async ({ log }) => {
      await log.ensureSpace('space-2')
      await log.ensureSpace('space-2')
      const a = new Reader(log, 'a')
      const other = new Reader(log, 'b', 'space-2')
      await other.start()
      await a.write(put('1', 0, { x: 1 }, { claims: { i: 'v' } }), put('2', 0, { x: 1 }))
      expect(await other.pull()).toMatchObject({ records: [], head: 0 })
      expect((await log.hydratePage('space-2', null, 10)).lines).toEqual([])
      expect((await log.status('space-2')).records).toBe(0)
      const same = new Reader(log, 'a', 'space-2')
      expect(await same.write(put('1', 0, { x: 2 }, { claims: { i: 'v' } }))).toEqual([1])
      const one = await log.status(SPACE)
      const two = await log.status('space-2')
      expect(one.epoch).not.toBe(two.epoch)
      expect([one.records, two.records]).toEqual([2, 1])
      const { cursor } = other
      const crossed = log.pull(SPACE, { space: 'n', replica: 'b', cursor: cursor ?? (await other.start()) })
      expect(await codeOf(crossed)).toBe('lost_history')
    })

    run('tells of each commit that raised a head, until it is asked to stop', async ({ log }) => {
      const heads: (readonly [string, number, string | null])[] = []
      const stop = log.onCommit((space, head, writer) => heads.push([space, head, writer]))
      const a = new Reader(log, 'a')
      await a.write(put('1', 0, {}), put('2', 0, {}))
      expect(heads.at(-1)).toEqual([SPACE, 2, 'a'])
      stop()
      const { length } = heads
      await a.write(put('3', 0, {}))
      expect(heads).toHaveLength(length)
    })

    run('names the writer of a commit only where there is but one', async ({ log }) => {
      const [a, b] = [new Reader(log, 'a'), new Reader(log, 'b')]
      await a.start()
      await b.start()
      const told: (readonly [number, string | null])[] = []
      log.onCommit((_, head, writer) => told.push([head, writer]))
      await Promise.all([a.write(put('1', 0, {})), b.write(put('2', 0, {}))])
      await log.batch(SPACE, [{ table: 't', key: '["3"]', fields: {}, updatedAt: null }])
      // Whoever listens for others' writes is told of each of the three, together or apart.
      for (const own of ['a', 'b', 'c']) {
        const heard = told.filter(([, writer]) => writer !== own).map(([head]) => head)
        expect(Math.max(...heard)).toBe(3)
        if (own !== 'c') expect(told.some(([head, writer]) => head <= 2 && writer !== own)).toBe(true)
      }
    })

    run('a listener has a head that can be read', async ({ log }) => {
      const b = new Reader(log, 'b')
      await b.start()
      const seen = new Promise<number>((resolve) => {
        log.onCommit(() => resolve(b.pull().then(({ records }) => records.length)))
      })
      await new Reader(log, 'a').write(put('1', 0, {}))
      expect(await seen).toBe(1)
    })

    run('read answers rows, tombstones and nothing, in the order asked', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.write(put('1', 0, { x: 1 }), put('2', 0, {}))
      await a.write(del('2', 2))
      const ask = ['2', '9', '1'].map((key) => ({ table: 't', key: `["${key}"]` }))
      const { records } = await log.read(SPACE, {
        space: 'n',
        records: [...ask, { table: 'u', key: '["1"]' }],
      })
      expect(records).toMatchObject([{ deleted: true, version: 3 }, null, { fields: { x: 1 } }, null])
    })
  })
}
