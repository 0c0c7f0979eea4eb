import { describe, expect, test } from 'vitest'

import { API_ROUTES } from '../../../src/cloud/handler/contract.ts'
import type { OpenStorage } from '../storages.ts'
import { runRound, runSweep } from './rounds.ts'

/** The same requests each time, or a chance of nothing but refusals would fail the last lines; any other by hand. */
const SEED = Number(process.env['TIDEMARK_FUZZ_SEED'] ?? 1)
const CASES = 250
/** Of each kind of fault that is put in everywhere, so many. `npm run fuzz` puts in all of them. */
const SOME = 3

/** Whatever comes in over HTTP, to any route: `judge.ts` says what an answer must be, and what must stay as it was. */
export function describeFuzz(
  name: string,
  open: OpenStorage,
  { cases = CASES, some = SOME, lookEvery = 5 } = {},
): void {
  describe(`no request makes the cloud fail: ${name}`, () => {
    test('chance requests', async () => {
      const counts = await runRound(open, SEED, cases, lookEvery)
      // A fuzzer whose requests are all refused, or all taken, would see nothing.
      for (const route of API_ROUTES) {
        const statuses = [...(counts.get(route)?.keys() ?? [])]
        expect([route, statuses.includes(200), statuses.some((status) => Number(status) >= 400)]).toEqual([
          route,
          true,
          true,
        ])
      }
    })

    test('one fault at each place', async () => {
      const counts = await runSweep(open, some, lookEvery)
      const statuses = new Set([...counts.values()].flatMap((known) => [...known.keys()]))
      for (const status of [200, 400, 404, 422]) expect([...statuses]).toContain(status)
    })
  })
}
