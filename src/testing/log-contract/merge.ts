import { describe, expect } from 'vitest'

import { del, put, readOne, Reader, T0, type OpenLog } from './harness.ts'
import { withLog } from './with-log.ts'

/** What becomes of changes that meet others: by field, by unique value, by offer, by force. */
export function mergeContract(open: OpenLog): void {
  const run = withLog(open)

  describe('merge', () => {
    run('I7: disjoint edits need no second round, and the second is shown the first', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(put('1', 0, { x: 1, y: 1, z: 1 }))
      await a.write(put('1', 1, { x: 2 }))
      const { results } = await b.push([put('1', 1, { y: 2 })])
      const row = await readOne(log, '1')
      expect(results).toEqual([{ status: 'ok', version: 3, current: row }])
      expect(row).toMatchObject({ by: 'b', version: 3, fields: { x: 2, y: 2, z: 1 } })
      const ages = (record: typeof row) => [record?.since, record?.fieldVersions] as const
      expect(ages(row)[0]?.[0]).toBe(1)
      expect(Object.entries(ages(row)[1] ?? {}).map(([field, [version]]) => [field, version])).toEqual([
        ['x', 2],
        ['y', 3],
      ])
      expect((await b.push([put('1', 1, { x: 9 })])).results).toEqual([{ status: 'conflict', current: row }])
      expect((await b.push([put('1', 3, { x: 9, y: 9, z: 9 })])).results).toEqual([
        { status: 'ok', version: 4 },
      ])
      const whole = await readOne(log, '1')
      expect(whole).not.toHaveProperty('since')
      expect(whole).not.toHaveProperty('fieldVersions')
    })

    run('a delete meets an edit, and an insert a tombstone', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(put('1', 0, { x: 1 }), put('2', 0, { x: 1 }))
      await a.write(put('1', 1, { x: 2 }), del('2', 2))
      const row = await readOne(log, '1')
      const gone = await readOne(log, '2')
      expect(gone).toEqual({
        table: 't',
        key: '["2"]',
        version: 4,
        hlc: expect.any(Number),
        by: 'a',
        deleted: true,
      })
      expect((await b.push([del('1', 1), put('2', 0, { x: 5 }), del('3', 7)])).results).toEqual([
        { status: 'conflict', current: row },
        { status: 'conflict', current: gone },
        { status: 'ok', version: 5 },
      ])
      expect((await b.push([del('2', 1), put('3', 0, {})])).results).toMatchObject([
        { status: 'ok', version: 4 },
        { status: 'conflict', current: { deleted: true } },
      ])
      expect(await b.write(put('2', 4, { x: 6 }))).toEqual([6])
    })

    run('a row offered again: the highest version of the lost history stands', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      const offer = (reader: Reader, was: number, x: number) =>
        reader.push([put('1', 1, { x }, { was, hlc: 1 })])
      await a.write(put('1', 0, { x: 0 }), put('2', 0, { x: 0 }))
      await a.write(put('2', 2, { x: 1 }))
      expect((await offer(a, 20, 20)).results).toMatchObject([{ status: 'ok', version: 4 }])
      expect((await offer(b, 10, 10)).results).toMatchObject([
        { status: 'conflict', current: { fields: { x: 20 } } },
      ])
      expect((await offer(b, 20, 20)).results).toMatchObject([
        { status: 'conflict', current: { version: 4 } },
      ])
      expect((await offer(b, 30, 30)).results).toMatchObject([{ status: 'ok', version: 5 }])
      expect((await b.push([put('2', 2, { x: 9 }, { was: 50, hlc: 1 })])).results).toMatchObject([
        { status: 'conflict', current: { version: 3 } },
      ])
      const third = await a.push([
        put('3', 1, { x: 3 }, { was: 40, hlc: 1 }),
        del('4', 1, { was: 41, hlc: 1 }),
      ])
      expect(third.results.map(({ status }) => status)).toEqual(['ok', 'ok'])
      expect((await readOne(log, '4'))?.deleted).toBe(true)
      // A deleted row offered again beats a lower live one, and the other way about.
      expect((await b.push([put('4', 1, { x: 4 }, { was: 30, hlc: 1 })])).results).toMatchObject([
        { status: 'conflict' },
      ])
      expect((await b.push([put('4', 1, { x: 4 }, { was: 42, hlc: 1 })])).results).toMatchObject([
        { status: 'ok' },
      ])
      expect((await a.push([del('3', 1, { was: 60, hlc: 1 })])).results).toMatchObject([{ status: 'ok' }])
    })

    run(
      'I7: an ordinary edit ends an offer, and an offer with an edit gives way to none',
      async ({ log }) => {
        const a = new Reader(log, 'a')
        const b = new Reader(log, 'b')
        await a.write(put('1', 0, { x: 0 }, { was: 10, hlc: 1 }), put('2', 0, { x: 0 }, { was: 10, hlc: 5 }))
        await a.write(put('1', 1, { x: 1 }))
        const { results } = await b.push([
          put('1', 0, { x: 9 }, { was: 20 }),
          put('2', 0, { x: 9 }, { was: 20 }),
        ])
        expect(results.map(({ status }) => status)).toEqual(['conflict', 'conflict'])
      },
    )

    run('force: the newer time of each field wins, and what it overwrote is told', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(put('1', 0, { x: 1, y: 1 }))
      await a.write(put('1', 1, { x: 2, y: 2 }, { hlc: T0 + 500 }))
      const older = await b.push([put('1', 1, { x: 3 }, { hlc: T0 + 100 })], { force: true })
      const row = await readOne(log, '1')
      expect(older.results).toEqual([{ status: 'ok', version: 2, current: row }])
      expect(row).toMatchObject({ by: 'a', fields: { x: 2, y: 2 } })
      const newer = await b.push([put('1', 1, { x: 3 }, { hlc: T0 + 900 })], { force: true })
      expect(newer.results).toMatchObject([
        { status: 'ok', version: 3, current: { fields: { x: 3, y: 2 } }, lost: { x: 2 } },
      ])
      const gone = await b.push([del('1', 1)], { force: true })
      expect(gone.results).toMatchObject([{ status: 'ok', version: 3, current: { fields: { x: 3 } } }])
      expect((await readOne(log, '1'))?.deleted).toBeUndefined()
    })

    run('a clock that runs ahead is held back', async ({ log, time }) => {
      const a = new Reader(log, 'a')
      await a.write(put('1', 0, { x: 1 }, { hlc: (time.now() + 3_600_000) * 1_000 }))
      expect((await readOne(log, '1'))?.hlc).toBe((time.now() + 60_000) * 1_000)
      await a.write(put('1', 1, { x: 2 }, { hlc: 5 }))
      expect((await readOne(log, '1'))?.hlc).toBe((time.now() + 60_000) * 1_000 + 1)
    })
  })

  describe('unique values', () => {
    const claim = (value: string | null, index = 'i') => ({ claims: { [index]: value } })

    run('the first holder wins, across pushes and inside one', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.write(put('1', 0, {}, claim('v')))
      const { results } = await new Reader(log, 'b').push([
        put('2', 0, {}, claim('v')),
        put('3', 0, {}, claim('w')),
        put('4', 0, {}, claim('w')),
        put('5', 0, {}, { ...claim('v'), table: 'other' }),
        put('6', 0, {}, claim('v', 'j')),
      ])
      expect(results).toMatchObject([
        { status: 'taken', index: 'i', by: '["1"]', current: null },
        { status: 'ok' },
        { status: 'taken', index: 'i', by: '["3"]', current: null },
        { status: 'ok' },
        { status: 'ok' },
      ])
    })

    run('a value is free again after it was let go of, moved or deleted', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.write(put('1', 0, {}, claim('u')), put('2', 0, {}, claim('v')), put('3', 0, {}, claim('w')))
      await a.write(put('1', 1, {}, claim(null)), put('2', 2, {}, claim('x')), del('3', 3))
      const free = [put('4', 0, {}, claim('u')), put('5', 0, {}, claim('v')), put('6', 0, {}, claim('w'))]
      expect(await a.write(...free)).toEqual([7, 8, 9])
      expect((await a.push([put('7', 0, {}, claim('x'))])).results).toMatchObject([
        { status: 'taken', by: '["2"]' },
      ])
    })

    run('values are swapped and handed on inside one mutation', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.write(put('1', 0, {}, claim('u')), put('2', 0, {}, claim('v')), put('3', 0, {}, claim('w')))
      await a.write(put('1', 1, {}, claim('v')), put('2', 2, {}, claim('w')), put('3', 3, {}, claim('u')))
      const holders = await a.push(['u', 'v', 'w'].map((value, at) => put(`n${at}`, 0, {}, claim(value))))
      expect(holders.results).toMatchObject([{ by: '["3"]' }, { by: '["1"]' }, { by: '["2"]' }])
      await a.write(del('1', 4), put('9', 0, {}, claim('v')))
      expect((await a.push([put('n', 0, {}, claim('v'))])).results).toMatchObject([{ by: '["9"]' }])
    })

    run('a swap of which one half fails leaves the values where they were', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.write(put('1', 0, { x: 1 }, claim('u')), put('2', 0, { x: 1 }, claim('v')))
      await a.write(put('2', 2, { x: 2 }))
      const half = await a.push([put('1', 1, { x: 9 }, claim('v')), put('2', 2, { x: 9 }, claim('u'))])
      expect(half.results).toMatchObject([
        { status: 'taken', index: 'i', by: '["2"]', current: { fields: { x: 1 } } },
        { status: 'conflict' },
      ])
      const asked = await a.push([put('3', 0, {}, claim('u')), put('4', 0, {}, claim('v'))])
      expect(asked.results).toMatchObject([{ by: '["1"]' }, { by: '["2"]' }])
    })

    run('a change made from a claim that others touched since is a conflict', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(put('1', 0, { x: 1, y: 1 }, claim('1,1')))
      await a.write(put('1', 1, { x: 2 }, claim('2,1')))
      expect((await b.push([put('1', 1, { y: 2 }, claim('1,2'))])).results).toMatchObject([
        { status: 'conflict' },
      ])
      expect((await b.push([put('1', 2, { y: 2 }, claim('2,2'))])).results).toMatchObject([{ status: 'ok' }])
      expect((await a.push([put('2', 0, {}, claim('2,1'))])).results).toMatchObject([{ status: 'ok' }])
    })

    run('claims of odd names and values are kept apart', async ({ log }) => {
      const a = new Reader(log, 'a')
      const odd = ['', 'constructor', '__proto__', '[1]', '["ä€😀"]', "'; --", '\\', '"']
      const claims = (value: string) =>
        Object.fromEntries(odd.map((index) => [index, value])) as Record<string, string>
      await a.write(put('0', 0, {}, { claims: claims('v') }))
      for (const [at, value] of odd.entries()) await a.write(put(`v${at}`, 0, {}, claim(value)))
      for (const [at, index] of odd.entries()) {
        const { results } = await a.push([
          put(`i${at}`, 0, {}, { claims: Object.fromEntries([[index, 'v']]) }),
        ])
        expect(results).toMatchObject([{ status: 'taken', index, by: '["0"]' }])
      }
    })
  })
}
