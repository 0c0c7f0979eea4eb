import { describe, expect } from 'vitest'

import {
  MAX_BODY_BYTES,
  MAX_PUSH_CHANGES,
  MAX_STAGED_BYTES,
  STAGED_CHANGE_BYTES,
} from '../../protocol/limits.ts'
import type { PushRequest } from '../../protocol/push.ts'
import { codeOf, put, Reader, SPACE, type OpenLog } from './harness.ts'
import { withLog } from './with-log.ts'

/** Mutations of several requests. */
export function partsContract(open: OpenLog): void {
  const run = withLog(open)
  const part = (
    index: number,
    of: number,
    key: string,
    mutation = 1,
    x = 1,
    attempt = 'attempt-1',
  ): PushRequest => ({
    space: 'name',
    replica: 'a',
    mutation,
    cursor: null,
    part: { index, of, attempt },
    changes: [put(key, 0, { x }), put(`${key}'`, 0, { x })],
  })
  const keys = async (log: Reader['log']): Promise<readonly string[]> => {
    const page = await log.hydratePage(SPACE, null, 100)
    return page.lines.map((line) => (JSON.parse(line) as { key: string }).key)
  }

  describe('parts', () => {
    run('I5: nothing is seen before the last part, then everything, answered in order', async ({ log }) => {
      const a = new Reader(log, 'a')
      expect(await a.send(part(0, 3, '1'))).toMatchObject({ staged: 1, results: [], head: 0 })
      expect(await a.send(part(1, 3, '2'))).toMatchObject({ staged: 2, results: [], head: 0 })
      expect(await keys(log)).toEqual([])
      const answer = await a.send(part(2, 3, '3'))
      expect(answer).not.toHaveProperty('staged')
      expect(answer.results).toEqual([1, 2, 3, 4, 5, 6].map((version) => ({ status: 'ok', version })))
      expect(await keys(log)).toHaveLength(6)
    })

    run('I3: every part can be repeated, before and after the last', async ({ log }) => {
      const a = new Reader(log, 'a')
      const staged = [await a.send(part(0, 3, '1')), await a.send(part(1, 3, '2'))]
      expect(await a.send(part(0, 3, '1'))).toEqual(staged[0])
      expect(await a.send(part(1, 3, '2'))).toEqual(staged[1])
      const answer = await a.send(part(2, 3, '3'))
      expect(await a.send(part(0, 3, '1'))).toMatchObject({ staged: 1, results: [] })
      expect(await a.send(part(1, 3, '2'))).toMatchObject({ staged: 2, results: [] })
      expect(await a.send(part(2, 3, '3'))).toEqual(answer)
      expect((await log.status(SPACE)).head).toBe(6)
    })

    run(
      'parts that no node could hold together are refused; in one piece the same number goes',
      async ({ log }) => {
        const a = new Reader(log, 'a')
        const many = (index: number): PushRequest => ({
          ...part(index, 7, '1'),
          changes: Array.from({ length: MAX_PUSH_CHANGES }, (_, at) => put(`${index}-${at}`, 0, {})),
        })
        let index = 0
        for (
          ;
          index * MAX_PUSH_CHANGES * STAGED_CHANGE_BYTES < MAX_STAGED_BYTES - MAX_BODY_BYTES / 2;
          index++
        )
          expect(await a.send(many(index))).toMatchObject({ staged: index + 1 })
        expect(await codeOf(a.send(many(index)).then(() => a.send(many(index + 1))))).toBe(
          'payload_too_large',
        )
        const { part: _, ...whole } = part(0, 1, '1')
        expect((await a.send(whole)).results).toHaveLength(2)
      },
    )

    run('I3: staged parts outlive a restart', async (harness) => {
      const a = new Reader(harness.log, 'a')
      await a.send(part(0, 2, '1'))
      a.log = await harness.restart()
      expect((await a.send(part(1, 2, '2'))).results).toHaveLength(4)
      a.log = await harness.restart()
      expect(await a.send(part(0, 2, '1'))).toMatchObject({ staged: 1 })
      expect((await a.send(part(1, 2, '2'))).results).toHaveLength(4)
      expect((await harness.log.status(SPACE)).head).toBe(4)
    })

    run('parts out of order are refused and change nothing', async ({ log }) => {
      const a = new Reader(log, 'a')
      expect(await codeOf(a.send(part(1, 3, '2')))).toBe('unprocessable')
      await a.send(part(0, 3, '1'))
      expect(await codeOf(a.send(part(2, 3, '3')))).toBe('unprocessable')
      expect(await codeOf(a.send(part(1, 2, '2')))).toBe('unprocessable')
      expect(await codeOf(a.send(part(3, 3, '2')))).toBe('unprocessable')
      await a.send(part(1, 3, '2'))
      expect((await a.send(part(2, 3, '3'))).results).toHaveLength(6)
    })

    run('the first part of another attempt takes the place of an abandoned one', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.send(part(0, 3, 'old'))
      await a.send(part(1, 3, 'old2'))
      expect(await a.send(part(0, 2, 'new'))).toMatchObject({ staged: 1 })
      expect(await codeOf(a.send(part(2, 3, 'old3')))).toBe('unprocessable')
      expect((await a.send(part(1, 2, 'new2'))).results).toHaveLength(4)
      expect(await keys(log)).toEqual(['["new"]', '["new\'"]', '["new2"]', '["new2\'"]'])
    })

    run('I13: parts of two copies, or of an abandoned attempt, are never put together', async ({ log }) => {
      const a = new Reader(log, 'a')
      const other = (index: number, key: string) => part(index, 3, key, 1, 2, 'attempt-2')
      await a.send(part(0, 3, '1'))
      await a.send(other(0, '1'))
      expect(await codeOf(a.send(part(1, 3, '2')))).toBe('unprocessable')
      await a.send(other(1, '2'))
      // The late first part begins anew: whoever goes on with the other attempt has to begin again too.
      await a.send(part(0, 3, '1'))
      expect(await codeOf(a.send(other(2, '3')))).toBe('unprocessable')
      await a.send(part(1, 3, '2'))
      expect((await a.send(part(2, 3, '3'))).results).toHaveLength(6)
      expect(await codeOf(a.send(other(0, '1')))).toBe('replica_forked')
    })

    run('another attempt in one piece takes the place of staged parts', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.send(part(0, 2, 'old'))
      const { part: _, ...whole } = part(0, 1, 'new')
      expect((await a.send(whole)).results).toHaveLength(2)
      expect(await codeOf(a.send(part(1, 2, 'old2')))).toBe('replica_forked')
      await a.send(part(0, 2, 'next', 2))
      expect((await a.send(part(1, 2, 'next2', 2))).results).toHaveLength(4)
      expect(await keys(log)).not.toContain('["old"]')
    })

    run('parts of an applied mutation do not count for the next', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.send(part(0, 2, '1'))
      await a.send(part(1, 2, '2'))
      expect(await codeOf(a.send(part(1, 2, '4', 2)))).toBe('unprocessable')
      await a.send(part(0, 2, '3', 2))
      expect((await a.send(part(1, 2, '4', 2))).results).toHaveLength(4)
    })

    run(
      'I13: parts of a number out of turn, or with other bytes once applied, are a fork',
      async ({ log }) => {
        const a = new Reader(log, 'a')
        expect(await codeOf(a.send(part(0, 2, '1', 2)))).toBe('replica_forked')
        await a.send(part(0, 2, '1'))
        await a.send(part(1, 2, '2'))
        expect(await codeOf(a.send(part(0, 2, '1', 1, 9)))).toBe('replica_forked')
        expect(await codeOf(a.send(part(1, 2, '2', 1, 9)))).toBe('replica_forked')
        expect(await codeOf(a.send(part(0, 3, '1')))).toBe('replica_forked')
      },
    )

    run('one part of one is a mutation like any other', async ({ log }) => {
      expect((await new Reader(log, 'a').send(part(0, 1, '1'))).results).toHaveLength(2)
    })

    run('parts of two replicas do not meet', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.send(part(0, 2, 'a'))
      await a.send({ ...part(0, 2, 'b'), replica: 'b' })
      expect((await a.send({ ...part(1, 2, 'b2'), replica: 'b' })).results).toHaveLength(4)
      expect(await keys(log)).toEqual(['["b"]', '["b\'"]', '["b2"]', '["b2\'"]'])
      expect((await a.send(part(1, 2, 'a2'))).results).toHaveLength(4)
    })

    run('two changes of one row in two parts: the later is refused', async ({ log }) => {
      const a = new Reader(log, 'a')
      await a.send(part(0, 2, '1'))
      const { results } = await a.send(part(1, 2, '1'))
      expect(results.map(({ status }) => status)).toEqual(['ok', 'ok', 'rejected', 'rejected'])
    })
  })
}
