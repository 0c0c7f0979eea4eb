import { describe, expect, test } from 'vitest'

import { openFresh, pull, record } from './cycle.ts'
import type { OpenStore } from './harness.ts'

/** The hint that the application wrote. */
export function watchingContract(open: OpenStore): void {
  describe('watching', () => {
    test('I8: a committed write of the application is noticed', async () => {
      await using h = await openFresh(open)
      const noticed = Promise.withResolvers<void>()
      const stop = h.store.watch(() => noticed.resolve())
      await h.app.insert('notes', { id: 'a', title: '1', body: '' })
      await noticed.promise
      stop()
    })

    test('I8: each of several is noticed, by each watcher, until it stops', async () => {
      await using h = await openFresh(open)
      let calls = 0
      const stopFirst = h.store.watch(() => {
        calls++
      })
      for (const id of ['a', 'b', 'c']) {
        const noticed = Promise.withResolvers<void>()
        const stop = h.store.watch(() => noticed.resolve())
        await h.app.insert('notes', { id, title: '1', body: '' })
        await noticed.promise
        stop()
        if (id === 'b') {
          expect(calls).toBeGreaterThan(0)
          stopFirst()
          calls = 0
        }
      }
      expect(calls).toBe(0)
      await pull(h.store, [record('notes', 1, { id: 'z', title: '1', body: '' })])
    })
  })
}
