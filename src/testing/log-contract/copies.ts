import { describe, expect } from 'vitest'

import type { CopiedRecord, SpaceCopy } from '../../cloud/log/copy.ts'
import type { Log } from '../../cloud/log/log.ts'
import { seededRandom } from '../../kernel/random.ts'
import type { PushRequest } from '../../protocol/push.ts'
import { contentOf, COPY, copyOf, fill, readCopy, withoutLast } from './copies-harness.ts'
import { codeOf, del, failureOf, hydrateAll, put, Reader, SPACE, START, type OpenLog } from './harness.ts'
import { randomPush } from './random-pushes.ts'
import { withLog } from './with-log.ts'

const move = async (log: Log): Promise<void> => {
  await using copy = await log.copySpace(SPACE)
  await log.importSpace(COPY, copy)
}

/** Random runs of the one test. */
const SEEDS = 3

/** What an export and an import of a space rest on. */
export function copiesContract(open: OpenLog): void {
  const run = withLog(open)

  describe('copies of spaces', () => {
    run('I10: everything that a space holds arrives', async (harness) => {
      const { log } = harness
      await fill(harness)
      const source = await contentOf(log)
      // What the test is about is there.
      const { records, space, replicas } = source
      expect(records.map(({ record }) => record.version)).toEqual(
        records.map(({ record }) => record.version).toSorted((one, two) => one - two),
      )
      expect(space).toMatchObject({ floor: 9, schema: 1, records: records.length, replicas: replicas.length })
      expect(space.generations.at(-1)?.start).toBeLessThan(space.head)
      const some = (is: (record: CopiedRecord) => boolean): boolean => records.some(is)
      expect(some(({ record }) => record.since !== undefined && record.fieldVersions !== undefined)).toBe(
        true,
      )
      expect(some(({ record }) => record.sealed === 'key-1')).toBe(true)
      expect(some(({ record }) => record.by === 'batch')).toBe(true)
      expect(some(({ was, buriedAt }) => was === 77 && buriedAt === null)).toBe(true)
      expect(some(({ was, buriedAt }) => was === 78 && buriedAt === START + 2_000)).toBe(true)
      expect(some(({ claims }) => claims['j']?.[0] === null && claims['i']?.[0] === 'two')).toBe(true)
      expect(replicas.map(({ id }) => id)).toEqual(['a', 'b'])
      expect(replicas[0]).toMatchObject({ mutation: 4, hashes: [expect.any(String)], seen: START + 2_000 })
      expect(replicas[0]?.answer).toContain('[2,')

      await move(log)
      const there = await contentOf(log, COPY)
      expect(withoutLast(there)).toEqual(source)
      expect(there.space.generations).toHaveLength(space.generations.length + 1)
      expect(there.space.generations.at(-1)?.start).toBe(space.head)
      expect(await contentOf(log)).toEqual(source)
      expect(await hydrateAll(log, { space: COPY })).toEqual(await hydrateAll(log))
      const { generation: _one, ...mine } = await log.status(SPACE)
      const { generation: _two, ...theirs } = await log.status(COPY)
      expect(theirs).toEqual(mine)
      expect(await log.readSchema(COPY)).toEqual(await log.readSchema(SPACE))

      const kept = await contentOf(await harness.restart(), COPY)
      expect({ ...kept, space: { ...kept.space, generations: there.space.generations } }).toEqual(there)
      expect(kept.space.generations.slice(0, -1)).toEqual(there.space.generations)
    })

    for (let seed = 1; seed <= SEEDS; seed++) {
      const name = `what is decided afterwards is what would have been decided before (seed ${seed})`
      run(name, async ({ log, time }) => {
        const random = seededRandom(seed)
        const readers = new Map(['a', 'b', 'c'].map((id) => [id, new Reader(log, id)]))
        const copies = new Map(['a', 'b', 'c'].map((id) => [id, new Reader(log, id, COPY)]))
        const seen = new Set<string>()
        const step = async (): Promise<PushRequest> => {
          time.advance(10)
          const { replica, changes, options } = randomPush(random, (await log.status(SPACE)).head)
          const reader = readers.get(replica)
          const { results } = (await reader?.push(changes, options)) ?? { results: [] }
          for (const { status } of results) seen.add(status)
          if (reader === undefined || reader.lastRequest === null) throw new Error('no such replica')
          return reader.lastRequest
        }
        for (let steps = 0; steps < 40; steps++) await step()
        await log.collect(SPACE, { liveSince: 0, retainSince: START + 200 })
        await move(log)
        seen.clear()
        for (let steps = 0; steps < 30; steps++) {
          const request = await step()
          // A repeat, for what it answered before.
          const was = await readers.get(request.replica)?.send(request)
          const is = await copies.get(request.replica)?.send(request)
          expect(is?.results).toEqual(was?.results)
        }
        expect([...seen]).toEqual(expect.arrayContaining(['ok', 'conflict', 'taken']))
        expect(withoutLast(await contentOf(log, COPY))).toEqual(await contentOf(log))
      })
    }

    run('claims hold on', async ({ log }) => {
      await new Reader(log, 'a').write(put('1', 0, {}, { claims: { i: 'v' } }))
      await log.importSpace(COPY, copyOf(await contentOf(log)))
      const b = new Reader(log, 'b', COPY)
      const { results } = await b.push([put('2', 0, {}, { claims: { i: 'v' } })])
      expect(results).toMatchObject([{ status: 'taken', index: 'i', by: '["1"]' }])
      await b.write(del('1', 1))
      await b.write(put('2', 0, {}, { claims: { i: 'v' } }))
    })

    run('I3, I13: a replica goes on with its numbers', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.start()
      await a.push([put('1', 0, { x: 1 }), put('2', 5, { x: 1 })])
      const before = a.lastRequest
      await a.push([put('1', 1, { x: 2 }), put('2', 5, { x: 1 })])
      const last = a.lastRequest
      if (last === null || before === null) throw new Error('no request')
      const answer = await log
        .push(SPACE, { request: last, hash: 'another' })
        .catch((error: unknown) => error)
      expect(answer).toMatchObject({ code: 'replica_forked' })
      const first = await a.send(last)
      await log.importSpace(COPY, copyOf(await contentOf(log)))
      const there = new Reader(log, 'a', COPY)
      expect((await there.send(last)).results).toEqual(first.results)
      expect(await codeOf(there.send(before))).toBe('replica_forked')
      there.mutation = a.mutation
      expect(await there.write(put('3', 0, {}))).toEqual([3])
      expect(await codeOf(a.log.push(COPY, { request: last, hash: 'x' }))).toBe('replica_forked')
    })

    run('I11: who is in step goes on, who went further learns that this is gone', async ({ log }) => {
      const a = new Reader(log, 'a')
      const b = new Reader(log, 'b')
      const c = new Reader(log, 'c')
      for (const reader of [a, b, c]) await reader.start()
      await a.write(put('1', 0, {}))
      await b.pull()
      const content = await contentOf(log)
      const atExport = { a: a.cursor, b: b.cursor }
      // Its answer is lost: it sends the same to the new cloud.
      const lost = { space: 'name', replica: 'c', mutation: 1, cursor: c.cursor, changes: [put('9', 0, {})] }
      await c.send(lost)
      await a.write(put('2', 0, {}))
      await b.pullAll()
      await log.importSpace(COPY, copyOf(content))

      const pull = (replica: string, cursor: Reader['cursor']) => {
        if (cursor === null) throw new Error('no cursor')
        return log.pull(COPY, { space: 'n', replica, cursor })
      }
      expect(await pull('b', atExport.b)).toMatchObject({ records: [], head: 1 })
      const { code, details } = await failureOf(pull('b', b.cursor))
      expect(code).toBe('lost_history')
      expect(details).toMatchObject({
        epoch: content.space.epoch,
        generations: [...content.space.generations, { start: 1 }],
      })
      // One that has only pushed, by what it holds: read nothing newer, hold something newer.
      expect(await codeOf(pull('a', a.cursor))).toBe('lost_history')
      expect(
        await codeOf(
          log.push(COPY, {
            request: { ...lost, replica: 'a', mutation: 2, cursor: a.cursor },
            hash: 'h',
          }),
        ),
      ).toBe('lost_history')

      const there = new Reader(log, 'c', COPY)
      expect((await there.send(lost)).results).toEqual([{ status: 'ok', version: 2 }])
      expect((await there.send(lost)).results).toEqual([{ status: 'ok', version: 2 }])
      expect((await log.status(COPY)).head).toBe(2)
    })

    run('I11: one copy that is imported twice becomes two histories', async ({ log }) => {
      await new Reader(log, 'a').write(put('1', 0, {}))
      const content = await contentOf(log)
      await log.importSpace('one', copyOf(content))
      await log.importSpace('two', copyOf(content))
      const reader = new Reader(log, 'b', 'one')
      const cursor = await reader.start()
      expect(await codeOf(log.pull('two', { space: 'n', replica: 'b', cursor }))).toBe('lost_history')
    })

    run('an empty space gives way, with who had read nothing from it; another does not', async ({ log }) => {
      await new Reader(log, 'a').write(put('1', 0, {}))
      const content = await contentOf(log)
      await log.ensureSpace('empty')
      const early = new Reader(log, 'early', 'empty')
      const cursor = await early.start()
      const told: number[] = []
      log.onCommit((space, head) => void (space === 'empty' && told.push(head)))
      await log.importSpace('empty', copyOf(content))
      await Promise.resolve()
      expect(told).toEqual([1])
      expect((await contentOf(log, 'empty')).replicas).toEqual(content.replicas)
      expect(await codeOf(log.pull('empty', { space: 'n', replica: 'early', cursor }))).toBe('lost_history')

      expect(await codeOf(log.importSpace('empty', copyOf(content)))).toBe('space_not_empty')
      expect(await codeOf(log.importSpace(SPACE, copyOf(content)))).toBe('space_not_empty')
      expect(await contentOf(log)).toEqual(content)
      // A space whose rows are all forgotten has given versions that somebody may hold.
      await log.ensureSpace('used')
      const user = new Reader(log, 'u', 'used')
      await user.write(put('1', 0, {}))
      await user.write(del('1', 1))
      await log.collect('used', { liveSince: START + 9, retainSince: START + 9 })
      expect(await codeOf(log.importSpace('used', copyOf(content)))).toBe('space_not_empty')
      expect(await codeOf(log.copySpace('nowhere'))).toBe('space_not_found')
    })

    run('nothing of a copy that fails is there', async (harness) => {
      const { log } = harness
      await fill(harness)
      const content = await contentOf(log)
      await log.ensureSpace('empty')
      const empty = await contentOf(log, 'empty')
      const [first, second] = content.records
      if (first === undefined || second === undefined) throw new Error('no records')
      const failing = (records: readonly CopiedRecord[], error: Error | null): SpaceCopy => ({
        space: content.space,
        async *pages() {
          yield { records, replicas: [] }
          if (error !== null) throw error
        },
      })
      const claiming = content.records.filter(({ claims }) => claims['i']?.[0] === 'two')
      const copies = {
        'the copy fails': failing(content.records, new RangeError('the copy')),
        'one key twice': failing([first, { ...first, record: { ...first.record, version: 7 } }], null),
        'one version twice': failing(
          [first, { ...second, record: { ...second.record, version: first.record.version } }],
          null,
        ),
        'one unique value twice': failing(
          claiming.flatMap((one) => [
            one,
            { ...one, record: { ...one.record, version: 1, key: '["other"]' } },
          ]),
          null,
        ),
      }
      for (const [what, copy] of Object.entries(copies)) {
        for (const target of ['empty', 'new']) {
          await expect(log.importSpace(target, copy), what).rejects.toThrow()
        }
        expect(await contentOf(log, 'empty'), what).toEqual(empty)
        expect(await codeOf(log.status('new')), what).toBe('space_not_found')
      }
      const again = await harness.restart()
      expect(await codeOf(again.status('new'))).toBe('space_not_found')
      await again.importSpace('new', copyOf(content))
      expect(withoutLast(await contentOf(again, 'new'))).toEqual(content)
    })

    run('a copy is of one moment', async (harness) => {
      const { log } = harness
      await fill(harness)
      const before = await contentOf(log)
      await using copy = await log.copySpace(SPACE)
      const a = new Reader(log, 'a')
      a.mutation = 4
      await a.write(put('9', 0, {}), put('3', 3, { x: 2 }, { table: 'u "\n' }))
      await log.collect(SPACE, { liveSince: START + 9_000, retainSince: START + 9_000 })
      await log.putSchema(SPACE, [
        { name: 'new', key: ['id'], columns: [{ name: 'id', type: '' }], unique: [], foreignKeys: [] },
      ])
      expect(await readCopy(copy)).toEqual(before)
      expect((await contentOf(log)).space.head).toBe(before.space.head + 2)
    })

    run('who comes meanwhile waits at most', async (harness) => {
      const { log } = harness
      await fill(harness)
      const content = await contentOf(log)
      await log.ensureSpace('empty')
      let begun = (): void => {}
      const isBegun = new Promise<void>((resolve) => (begun = resolve))
      let go = (): void => {}
      const gate = new Promise<void>((resolve) => (go = resolve))
      const importing = log.importSpace('empty', {
        space: content.space,
        async *pages() {
          yield { records: content.records, replicas: [] }
          begun()
          await gate
          yield { records: [], replicas: content.replicas }
        },
      })
      await isBegun
      const b = new Reader(log, 'b')
      b.mutation = 1
      const others = [
        b.write(put('new', 0, {})),
        hydrateAll(log),
        contentOf(log),
        log.ensureSpace('another').then(() => log.status('another')),
        log.collect(SPACE, { liveSince: 0, retainSince: 0 }),
        b.start(),
      ]
      // Who writes into the very space: before the import, which is refused then, or after it.
      const early = new Reader(log, 'early', 'empty').push([put('1', 0, {})])
      go()
      const imported = await importing.then(
        () => true,
        (error: { readonly code?: string }) => (expect(error.code).toBe('space_not_empty'), false),
      )
      await Promise.all(others)
      const { results } = await early
      expect(results[0]?.status).toBe(imported ? 'conflict' : 'ok')
      const { head, records } = await log.status('empty')
      expect(head).toBe(imported ? content.space.head : 1)
      expect(records).toBe(imported ? (await log.status(SPACE)).records - 1 : 1)
    })

    run('I1: who writes into it just then comes before or after', async ({ log }) => {
      await new Reader(log, 'a').write(put('1', 0, {}), put('2', 0, {}))
      const content = await contentOf(log)
      for (let delay = 0; delay < 24; delay++) {
        const target = `race-${delay}`
        await log.ensureSpace(target)
        const importing = log.importSpace(target, copyOf(content)).then(
          () => true,
          (error: { readonly code?: string }) => (expect(error.code).toBe('space_not_empty'), false),
        )
        for (let turns = 0; turns < delay; turns++) await Promise.resolve()
        const versions = await new Reader(log, 'b', target).write(put('3', 0, {}))
        const imported = await importing
        expect(versions).toEqual([imported ? 3 : 1])
        expect(await hydrateAll(log, { space: target })).toHaveLength(imported ? 3 : 1)
      }
    })
  })
}
