import { describe, expect } from 'vitest'

import type { Log } from '../../cloud/log/log.ts'
import type { Generation } from '../../protocol/records.ts'
import { codeOf, failureOf, put, Reader, SPACE, type OpenLog } from './harness.ts'
import { withLog } from './with-log.ts'

/** Restarts, backups and copies of the storage. */
export function historyContract(open: OpenLog): void {
  const run = withLog(open)
  const generationsOf = async (log: Log): Promise<readonly Generation[]> => {
    const cursor = { epoch: 'none', generation: 'none', version: 0, high: 0 }
    const { details } = await failureOf(log.pull(SPACE, { space: 'n', replica: 'x', cursor }))
    return details['generations'] as readonly Generation[]
  }

  describe('history', () => {
    run('a restart begins a generation at the head, and keeps everything', async (harness) => {
      const a = new Reader(harness.log, 'a')
      const b = new Reader(harness.log, 'b')
      await b.start()
      await a.write(put('1', 0, { x: 1 }, { claims: { i: 'v' } }), put('2', 0, { x: 1 }))
      await b.pull()
      const before = await harness.log.status(SPACE)
      const log = await harness.restart()
      const after = await log.status(SPACE)
      expect(after).toEqual({ ...before, generation: { id: after.generation.id, start: 2 } })
      expect(after.generation.id).not.toBe(before.generation.id)
      expect(await generationsOf(log)).toEqual([before.generation, after.generation])
      a.log = log
      b.log = log
      expect(await b.pull()).toMatchObject({ records: [], generation: after.generation })
      expect((await a.push([put('3', 0, {}, { claims: { i: 'v' } })])).results).toMatchObject([
        { status: 'taken', index: 'i', by: '["1"]', current: null },
      ])
      expect(await a.write(put('3', 0, {}))).toEqual([3])
    })

    run('I11: who does not know the generation is told those before it, once', async (harness) => {
      const a = new Reader(harness.log, 'a')
      const b = new Reader(harness.log, 'b')
      await a.start()
      await b.start()
      await a.write(put('1', 0, {}))
      const first = await harness.restart()
      // A generation that neither of them meets.
      await first.status(SPACE)
      const log = await harness.restart()
      const [one, two, three] = await generationsOf(log)
      a.log = log
      b.log = log
      const whole = { ...three, before: [one, two] }
      expect((await b.pull()).generation).toEqual(whole)
      expect((await b.pull()).generation).toEqual(three)
      expect((await a.push([put('2', 0, {})])).generation).toEqual(whole)
      expect((await log.startHydrate(SPACE, 'c')).generation).toEqual(whole)
    })

    run('a cursor of an older generation holds up to where that ended', async (harness) => {
      const a = new Reader(harness.log, 'a')
      const old = await a.start()
      await a.write(put('1', 0, {}), put('2', 0, {}))
      const log = await harness.restart()
      a.log = log
      a.cursor = null
      await a.write(put('3', 0, {}))
      const pull = (high: number) =>
        log.pull(SPACE, { space: 'n', replica: 'b', cursor: { ...old, version: 0, high } })
      expect((await pull(2)).records).toHaveLength(3)
      expect(await codeOf(pull(3))).toBe('lost_history')
      // Read from a state that is gone, though nothing newer than what is left is held.
      const read = (version: number) =>
        log.pull(SPACE, { space: 'n', replica: 'b', cursor: { ...old, version: 0, high: 0, read: version } })
      expect((await read(2)).records).toHaveLength(3)
      expect(await codeOf(read(3))).toBe('lost_history')
    })

    run(
      'I11: a restored storage refuses what lies past it, even when versions are used again',
      async (harness) => {
        const a = new Reader(harness.log, 'a')
        const b = new Reader(harness.log, 'b')
        await a.start()
        await b.start()
        await a.write(put('1', 0, {}))
        await b.pull()
        const restore = await harness.save()
        await a.write(put('2', 0, {}), put('3', 0, {}))
        await b.pull()

        const restored = await restore()
        b.log = restored
        const { code, details } = await failureOf(b.pull())
        expect(code).toBe('lost_history')
        expect(details['epoch']).toBe(b.cursor?.epoch)
        expect((details['generations'] as readonly Generation[]).map(({ start }) => start)).toEqual([0, 1])

        // A replica that pushed and never pulled again learns of it by what it holds.
        a.log = restored
        expect(await codeOf(a.push([put('4', 0, {})]))).toBe('lost_history')

        const c = new Reader(restored, 'c')
        expect(await c.write(put('5', 0, {}), put('6', 0, {}), put('7', 0, {}))).toEqual([2, 3, 4])
        expect(await codeOf(b.pull())).toBe('lost_history')
        const fresh = new Reader(restored, 'd')
        fresh.cursor = { ...(await fresh.start()), version: 1 }
        expect((await fresh.pull()).records).toHaveLength(3)
      },
    )

    run(
      'I13: a replica whose number went back is a fork, one whose number is known repeats',
      async (harness) => {
        const a = new Reader(harness.log, 'a')
        await a.write(put('1', 0, {}))
        const applied = a.lastRequest
        const restore = await harness.save()
        await a.write(put('2', 0, {}))
        const lost = a.lastRequest
        await a.write(put('3', 0, {}))
        if (applied === null || lost === null) throw new Error('no request')
        a.log = await restore()
        expect(await codeOf(a.push([put('4', 0, {})]))).toBe('replica_forked')
        expect((await a.send(applied)).results).toEqual([{ status: 'ok', version: 1 }])
        expect((await a.send(lost)).results).toEqual([{ status: 'ok', version: 2 }])
      },
    )

    run('I11: a copy that is started twice forks into two histories', async (harness) => {
      const a = new Reader(harness.log, 'a')
      await a.write(put('1', 0, {}))
      const copy = await harness.save()
      const [one, two] = [await copy(), await copy()]
      const inOne = new Reader(one, 'b')
      const inTwo = new Reader(two, 'b')
      await inOne.start()
      await inTwo.start()
      await new Reader(one, 'c').write(put('2', 0, { in: 1 }))
      await new Reader(two, 'c').write(put('2', 0, { in: 2 }))
      await inOne.pull()
      await inTwo.pull()
      inOne.log = two
      inTwo.log = one
      expect(await codeOf(inOne.pull())).toBe('lost_history')
      expect(await codeOf(inTwo.pull())).toBe('lost_history')
      expect((await generationsOf(one))[0]).toEqual((await generationsOf(two))[0])
    })

    run('every start has an id of its own', async (harness) => {
      for (let start = 0; start < 3; start++) {
        await harness.restart()
        await harness.log.status(SPACE)
      }
      const generations = await generationsOf(harness.log)
      expect(new Set(generations.map(({ id }) => id)).size).toBe(4)
    })
  })
}
