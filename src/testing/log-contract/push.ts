import { describe, expect } from 'vitest'

import { codeOf, del, failureOf, put, readOne, Reader, SPACE, versionOf, type OpenLog } from './harness.ts'
import { withLog } from './with-log.ts'

/** Mutations: numbers, repeats, what is atomic. */
export function pushContract(open: OpenLog): void {
  const run = withLog(open)

  describe('push', () => {
    run('gives versions in order and answers each change', async ({ log }) => {
      const a = new Reader(log, 'a')
      const answer = await a.push([put('1', 0, { x: 1 }), put('2', 7, { x: 1 }), put('3', 0, { x: 1 })])
      expect(answer).toMatchObject({
        head: 2,
        results: [
          { status: 'ok', version: 1 },
          { status: 'conflict', current: null },
          { status: 'ok', version: 2 },
        ],
      })
      expect(answer).not.toHaveProperty('staged')
      expect(await readOne(log, '1')).toEqual({
        table: 't',
        key: '["1"]',
        version: 1,
        hlc: expect.any(Number),
        by: 'a',
        fields: { x: 1 },
      })
    })

    run('I3: a repeat has one effect and the same answer, at any later time', async ({ log, time }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(put('1', 0, { x: 1 }), put('2', 0, { x: 1 }))
      const first = await a.push([
        put('1', 1, { x: 2 }),
        put('2', 0, { x: 2 }),
        put('3', 0, { x: { $int: '1' } }),
        del('4', 0),
        put('5', 0, { x: 1 }),
      ])
      expect(first.results.map((result) => result.status)).toEqual(['ok', 'conflict', 'rejected', 'ok', 'ok'])
      const request = a.lastRequest
      if (request === null) throw new Error('no request')
      expect((await a.send(request)).results).toEqual(first.results)
      const again = await Promise.all([a.send(request), a.send(request)])
      for (const answer of again) expect(answer).toEqual(first)

      await b.write(put('1', 3, { x: 3 }), del('5', 5))
      time.advance(86_400_000)
      const late = await a.send(request)
      expect(late.results).toEqual(first.results)
      expect((await readOne(log, '1'))?.fields).toEqual({ x: 3 })
      expect((await readOne(log, '5'))?.deleted).toBe(true)
      expect(late.head).toBe(7)
    })

    run('I3: a repeat after a restart is still the same', async (harness) => {
      const a = new Reader(harness.log, 'a')
      const first = await a.push([put('1', 0, { x: 1 }), put('2', 5, { x: 1 })])
      const request = a.lastRequest
      if (request === null) throw new Error('no request')
      a.log = await harness.restart()
      expect((await a.send(request)).results).toEqual(first.results)
      expect((await harness.log.status(SPACE)).head).toBe(1)
    })

    run('I3: a repeated conflict shows the row as it is by then', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(put('1', 0, { x: 1 }))
      const first = await b.push([put('1', 0, { x: 2 })])
      expect(first.results).toMatchObject([{ status: 'conflict', current: { version: 1, fields: { x: 1 } } }])
      const request = b.lastRequest
      if (request === null) throw new Error('no request')
      await a.write(put('1', 1, { x: 5 }))
      expect((await b.send(request)).results).toMatchObject([
        { status: 'conflict', current: { version: 2, fields: { x: 5 } } },
      ])
    })

    run('I3: a repeated answer keeps `current` and the values that force overwrote', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      await a.write(put('1', 0, { x: 1, y: 1 }))
      await b.write(put('1', 1, { x: 2 }))
      const forced = await a.push([put('1', 1, { x: 3, y: 3 }, { hlc: 9e15 })], { force: true })
      expect(forced.results).toMatchObject([
        { status: 'ok', current: { fields: { x: 3, y: 3 } }, lost: { x: 2 } },
      ])
      const request = a.lastRequest
      if (request === null) throw new Error('no request')
      expect((await a.send(request)).results).toEqual(forced.results)
    })

    run('I13: other bytes under the same number, or a number out of turn, are a fork', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.write(put('1', 0, { x: 1 }))
      await a.write(put('2', 0, { x: 1 }))
      for (const mutation of [1, 2, 4]) {
        expect(await codeOf(a.push([put('9', 0, { x: 1 })], { mutation }))).toBe('replica_forked')
      }
      expect(await codeOf(new Reader(log, 'new').push([put('9', 0, {})], { mutation: 2 }))).toBe(
        'replica_forked',
      )
      expect(await readOne(log, '9')).toBeNull()
      expect((await a.write(put('3', 0, { x: 1 })))[0]).toBe(3)
    })

    run('I5: concurrent pushes are each applied whole', async ({ log }) => {
      const replicas = Array.from({ length: 8 }, (_, at) => new Reader(log, `r${at}`))
      const answers = await Promise.all(
        replicas.map((replica, at) =>
          replica.push(Array.from({ length: 5 }, (_, key) => put(`${at}-${key}`, 0, { by: at }))),
        ),
      )
      for (const { results } of answers) {
        const versions = results.map(versionOf)
        expect(versions.map((version) => version - (versions[0] ?? 0))).toEqual([0, 1, 2, 3, 4])
      }
      expect((await log.status(SPACE)).head).toBe(40)
    })

    run('I3: the same push sent twice at the same time is applied once', async ({ log }) => {
      const a = new Reader(log, 'a')
      const request = {
        space: 'n',
        replica: 'a',
        mutation: 1,
        cursor: null,
        changes: [put('1', 0, { x: 1 })],
      }
      const [one, two] = await Promise.all([a.send(request), a.send(request)])
      expect(one).toEqual(two)
      expect((await log.status(SPACE)).head).toBe(1)
    })

    run('I9: a change that is wrong stops no other', async ({ log }) => {
      const { results } = await new Reader(log, 'a').push([
        put('1', 0, { x: 'a\0b' }),
        put('2', 0, { x: 1 }),
        { table: 't', key: '["\ud800"]', op: 'put', base: 0, hlc: 1, fields: {} },
        put('2', 0, { x: 2 }),
      ])
      expect(results).toMatchObject([
        { status: 'rejected' },
        { status: 'ok', version: 1 },
        { status: 'rejected' },
        { status: 'rejected' },
      ])
    })

    run('I10: names and values come back as they went in', async ({ log }) => {
      const fields = JSON.parse(
        '{"__proto__":1,"constructor":{"$object":{"$x":[]}},"":null,"ä€😀":"\u2028 \\" \\\\ \\n","r":{"$real":"-0"},' +
          '"i":{"$int":"9223372036854775807"},"b":{"$bytes":"AAE="},"t":{"$text":"AAE="},"n":[1,2.5,{"k":true}]}',
      ) as Record<string, never>
      const a = new Reader(log, 'a')
      const odd = { table: 'odd "name" 😀', key: '["\\"\\\\",1.5,{"$int":"9223372036854775807"}]' }
      await a.write({ ...odd, op: 'put', base: 0, hlc: 1, fields })
      await a.write({
        ...odd,
        op: 'put',
        base: 1,
        hlc: 1,
        fields: JSON.parse('{"__proto__":2}') as typeof fields,
      })
      const expected = JSON.stringify({ ...fields, ...(JSON.parse('{"__proto__":2}') as object) })
      const { records } = await log.read(SPACE, { space: 'n', records: [odd] })
      expect(JSON.stringify(records[0]?.fields)).toBe(expected)
      expect(records[0]).toMatchObject(odd)
      const page = await log.hydratePage(SPACE, null, 10)
      expect(JSON.parse(page.lines[0] ?? '')).toEqual(records[0])
      const b = new Reader(log, 'b')
      b.cursor = { ...(await b.start()), version: 0, high: 0 }
      expect((await b.pull()).records).toEqual(records)
    })

    run('I11: a push from another history is refused and does nothing', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.start()
      await a.write(put('1', 0, { x: 1 }))
      const { cursor } = a
      if (cursor === null) throw new Error('no cursor')
      for (const wrong of [
        { ...cursor, epoch: 'other' },
        { ...cursor, generation: 'other' },
        { ...cursor, high: 2 },
        { ...cursor, version: 2 },
      ]) {
        const { code, details } = await failureOf(a.push([put('2', 0, { x: 1 })], { cursor: wrong }))
        expect(code).toBe('lost_history')
        expect(details).toEqual({ epoch: cursor.epoch, generations: [{ id: cursor.generation, start: 0 }] })
      }
      expect(await readOne(log, '2')).toBeNull()
    })

    run('refuses a space that was never made', async ({ log }) => {
      expect(await codeOf(new Reader(log, 'a', 'nowhere').push([]))).toBe('space_not_found')
      expect(await codeOf(log.status('nowhere'))).toBe('space_not_found')
      expect(await codeOf(log.hydratePage('nowhere', null, 1))).toBe('space_not_found')
    })

    run('takes a mutation without changes', async ({ log }) => {
      const a = new Reader(log, 'a')
      expect(await a.push([])).toMatchObject({ head: 0, results: [] })
      expect(await a.write(put('1', 0, { x: 1 }))).toEqual([1])
    })
  })
}
