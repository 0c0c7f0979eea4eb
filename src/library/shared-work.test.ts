import { expect, test } from 'vitest'

import { TidemarkError } from '../kernel/errors.ts'
import { failureOf } from '../testing/failures.ts'
import { shareWork } from './shared-work.ts'

/** Work that ends when a test says so. */
function openWork() {
  const runs: (PromiseWithResolvers<number> & { readonly signal: AbortSignal })[] = []
  const ask = shareWork((signal) => {
    const run = { ...Promise.withResolvers<number>(), signal }
    runs.push(run)
    return run.promise
  })
  return { runs, ask }
}
const never = new AbortController().signal

test('is done once for all who ask meanwhile, and anew for who asks later', async () => {
  const { runs, ask } = openWork()
  const asked = [ask(never), ask(never)]
  runs[0]?.resolve(1)
  expect(await Promise.all(asked)).toEqual([1, 1])
  const again = ask(never)
  runs[1]?.resolve(2)
  expect(await again).toBe(2)
  expect(runs).toHaveLength(2)
})

test('a failure is everybody’s, and is not kept', async () => {
  const { runs, ask } = openWork()
  const asked = [ask(never), ask(never)].map(failureOf)
  runs[0]?.reject(new TidemarkError('network'))
  expect((await Promise.all(asked)).map(({ code }) => code)).toEqual(['network', 'network'])
  const again = ask(never)
  runs[1]?.resolve(2)
  expect(await again).toBe(2)
})

test('goes on for who still waits, and is stopped when nobody does', async () => {
  const { runs, ask } = openWork()
  const stops = [new AbortController(), new AbortController()]
  const asked = stops.map(({ signal }) => failureOf(ask(signal)))
  stops[0]?.abort()
  expect((await asked[0])?.code).toBe('aborted')
  expect(runs[0]?.signal.aborted).toBe(false)
  stops[1]?.abort()
  expect((await asked[1])?.code).toBe('aborted')
  expect(runs[0]?.signal.aborted).toBe(true)
  // What was stopped is nobody's any more, however long it takes to end.
  const again = ask(never)
  runs[0]?.reject(new TidemarkError('aborted'))
  runs[1]?.resolve(2)
  expect(await again).toBe(2)
})

test('is not begun for who has stopped already; who has the answer stops nothing', async () => {
  const { runs, ask } = openWork()
  expect((await failureOf(ask(AbortSignal.abort()))).code).toBe('aborted')
  expect(runs).toEqual([])
  const stopping = new AbortController()
  const asked = ask(stopping.signal)
  runs[0]?.resolve(1)
  expect(await asked).toBe(1)
  stopping.abort()
  expect(runs[0]?.signal.aborted).toBe(false)
})
