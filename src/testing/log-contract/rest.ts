import { describe, expect } from 'vitest'

import type { BatchRow, Log } from '../../cloud/log/log.ts'
import type { SchemaTable } from '../../protocol/schema.ts'
import { codeOf, del, hydrateAll, put, readOne, Reader, row, SPACE, START, type OpenLog } from './harness.ts'
import { withLog } from './with-log.ts'

/** The schema of a space, its status, and origin 000's batch. */
export function restContract(open: OpenLog): void {
  const run = withLog(open)

  describe('schema', () => {
    const table = (name: string, ...columns: readonly string[]): SchemaTable => ({
      name,
      columns: columns.map((column) => ({ name: column, type: 'TEXT' })),
      key: ['id'],
      unique: [],
      foreignKeys: [],
    })

    run('is joined from what replicas tell, and counts its changes', async (harness) => {
      const { log } = harness
      expect(await log.readSchema(SPACE)).toEqual({ schema: 0, tables: [] })
      expect(await log.putSchema(SPACE, [table('b', 'id', 'x')])).toEqual({
        schema: 1,
        tables: [table('b', 'id', 'x')],
      })
      const joined = [table('a', 'id'), table('b', 'id', 'y', 'x')]
      expect(await log.putSchema(SPACE, [table('b', 'id', 'y'), table('a', 'id')])).toEqual({
        schema: 2,
        tables: joined,
      })
      expect(await log.putSchema(SPACE, joined)).toEqual({ schema: 2, tables: joined })
      expect(await log.putSchema(SPACE, [])).toEqual({ schema: 2, tables: joined })
      const again = await harness.restart()
      expect(await again.readSchema(SPACE)).toEqual({ schema: 2, tables: joined })
      expect((await again.startHydrate(SPACE, 'a')).schema).toBe(2)
      expect((await again.status(SPACE)).schema).toBe(2)
    })

    run('of one space is not that of another', async ({ log }) => {
      await log.ensureSpace('space-2')
      await log.putSchema(SPACE, [table('a', 'id')])
      expect(await log.readSchema('space-2')).toEqual({ schema: 0, tables: [] })
      expect(await codeOf(log.readSchema('nowhere'))).toBe('space_not_found')
    })
  })

  describe('status', () => {
    run('counts records, tombstones and replicas', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(put('1', 0, {}), put('2', 0, {}), put('3', 0, {}, { table: 'u' }))
      await a.write(del('1', 1), put('2', 2, { x: 1 }), del('9', 0))
      await b.start()
      expect(await log.status(SPACE)).toMatchObject({
        head: 6,
        floor: 0,
        records: 2,
        tombstones: 2,
        replicas: 2,
      })
      await a.write(put('1', 4, {}))
      expect(await log.status(SPACE)).toMatchObject({ records: 3, tombstones: 1 })
      await a.start()
      await b.start()
      await log.collect(SPACE, { liveSince: START - 1, retainSince: START - 1 })
      expect(await log.status(SPACE)).toMatchObject({ records: 3 })
    })
  })

  describe('batch', () => {
    run('inserts rows that every replica reads', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.start()
      expect(
        await batchCount(log, [row('1', { x: 1 }, START), row('2', { x: 1 }, null), row('3', {}, null, 'u')]),
      ).toBe(3)
      const records = await a.pullAll()
      expect(records.map(({ key, version, fields }) => [key, version, fields])).toEqual([
        ['["1"]', 1, { id: '1', x: 1 }],
        ['["2"]', 2, { id: '2', x: 1 }],
        ['["3"]', 3, { id: '3' }],
      ])
      expect(await batchCount(log, [])).toBe(0)
    })

    run('takes a newer row only, where both have a time', async ({ log }) => {
      const at = (ms: number, x: number) => row('1', { x, updated_at: new Date(ms).toISOString() }, ms)
      expect(await batchCount(log, [at(START, 1)])).toBe(1)
      expect(await batchCount(log, [at(START - 1, 2)])).toBe(0)
      expect(await batchCount(log, [at(START, 3)])).toBe(0)
      expect((await readOne(log, '1'))?.fields).toMatchObject({ x: 1 })
      expect(await batchCount(log, [at(START + 1, 4)])).toBe(1)
      expect((await readOne(log, '1'))?.fields).toMatchObject({ x: 4 })
      expect(await batchCount(log, [row('1', { x: 5 }, null)])).toBe(1)
      expect((await readOne(log, '1'))?.fields).toMatchObject({ x: 5 })
    })

    run('I3: the same batch again changes nothing and answers the same', async ({ log }) => {
      const rows = [row('1', { x: 1 }, START), row('2', { x: 1 }, null)]
      expect(await batchCount(log, rows)).toBe(2)
      const heads: number[] = []
      log.onCommit((_, head) => heads.push(head))
      expect(await batchCount(log, rows)).toBe(2)
      expect((await log.status(SPACE)).head).toBe(2)
      expect(heads).toEqual([])
    })

    run('keeps columns that are not sent, and touches only those that differ', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.write(put('1', 0, { id: '1', x: 1, y: 1, z: 1 }))
      expect(await batchCount(log, [row('1', { x: 1, y: 2 }, null)])).toBe(1)
      expect(await readOne(log, '1')).toMatchObject({ version: 2, fields: { id: '1', x: 1, y: 2, z: 1 } })
      const { results } = await a.push([put('1', 1, { x: 5 })])
      expect(results).toMatchObject([{ status: 'ok', version: 3, current: { fields: { x: 5, y: 2 } } }])
    })

    run(
      'a row deleted since its time stays deleted, one changed after the delete comes back',
      async ({ log, time }) => {
        const a = new Reader(log, 'a')
        await log.batch(SPACE, [row('1', { x: 1 }, START - 10)])
        await a.write(del('1', 1, { hlc: START * 1_000 }))
        expect(await batchCount(log, [row('1', { x: 1 }, START - 10)])).toBe(0)
        expect((await readOne(log, '1'))?.deleted).toBe(true)
        time.advance(10)
        expect(await batchCount(log, [row('1', { x: 2 }, START + 5)])).toBe(1)
        expect(await readOne(log, '1')).toMatchObject({ fields: { x: 2 } })
        await a.write(del('1', 3))
        expect(await batchCount(log, [row('1', { x: 3 }, null)])).toBe(1)
        expect(await hydrateAll(log)).toHaveLength(1)
      },
    )

    run('two rows of one key in a batch: each meets the one before', async ({ log }) => {
      const at = (ms: number, x: number) => row('1', { x, updated_at: ms }, ms)
      expect(await batchCount(log, [at(START + 2, 2), at(START + 1, 1), at(START + 3, 3)])).toBe(2)
      expect((await readOne(log, '1'))?.fields).toMatchObject({ x: 3 })
      expect((await log.status(SPACE)).records).toBe(1)
    })

    run('rows of several tables are one commit, and each is told how it stands', async ({ log }) => {
      const heads: number[] = []
      log.onCommit((_, head) => heads.push(head))
      const at = (table: string, ms: number) => row('1', { updated_at: ms }, ms, table)
      expect(await log.batch(SPACE, [at('u', START), at('t', START), at('u', START - 1)])).toEqual([
        true,
        true,
        false,
      ])
      await Promise.resolve()
      expect(heads).toEqual([2])
    })

    run('I9: a row that cannot be kept is left out alone', async ({ log }) => {
      const bad = [row('1', { x: 'a\0b' }, null), { ...row('2', {}, null), key: '["\ud800"]' }]
      expect(await batchCount(log, [...bad, row('3', {}, null)])).toBe(1)
      expect(await hydrateAll(log)).toHaveLength(1)
    })

    run('lets go of unique values whose columns it may have changed', async ({ log }) => {
      const a = new Reader(log, 'a')
      await log.putSchema(SPACE, [
        {
          name: 't',
          columns: [{ name: 'id', type: '' }],
          key: ['id'],
          unique: [{ claim: 'mail', terms: [{ column: 'mail' }] }],
          foreignKeys: [],
        },
      ])
      const claims = { mail: 'm', other: 'o' }
      await a.write(put('1', 0, { id: '1', mail: 'm', x: 1 }, { claims }))
      await log.batch(SPACE, [row('1', { x: 2 }, null)])
      const asked = (key: string, index: string, value: string) =>
        a.push([put(key, 0, {}, { claims: { [index]: value } })])
      expect((await asked('2', 'mail', 'm')).results).toMatchObject([{ status: 'taken', by: '["1"]' }])
      expect((await asked('3', 'other', 'o')).results).toMatchObject([{ status: 'ok' }])
      await log.batch(SPACE, [row('1', { mail: 'n' }, null)])
      expect((await asked('4', 'mail', 'm')).results).toMatchObject([{ status: 'ok' }])
    })
  })
}

const batchCount = async (log: Log, rows: readonly BatchRow[]): Promise<number> =>
  (await log.batch(SPACE, rows)).filter(Boolean).length
