import fc from 'fast-check'

import { ROUTES } from '../../../src/protocol/routes.ts'
import type { OpenStorage } from '../storages.ts'
import { arbitraryCase, ROUTE_NAMES } from './arbitrary-case.ts'
import { createAttack } from './attack.ts'
import type { HttpCase, RouteName } from './http-case.ts'
import { sweep } from './sweep.ts'
import { openWorld } from './world.ts'

/** How often each route was asked, by what it answered. */
export type Counts = ReadonlyMap<RouteName, ReadonlyMap<number | 'closed', number>>

type MutableCounts = Map<RouteName, Map<number | 'closed', number>>

function count(counts: MutableCounts, { route }: HttpCase, status: number | 'closed'): void {
  const known = counts.get(route) ?? new Map<number | 'closed', number>()
  counts.set(route, known.set(status, (known.get(status) ?? 0) + 1))
}

/** A case that failed, as small as it could be made. */
export class CaseFailed extends Error {
  readonly kase: HttpCase

  /** `run`: what is to be repeated to see it again. */
  constructor(kase: HttpCase, why: string, run: string) {
    super(`${why} (${run})\n${JSON.stringify(kase)}`)
    this.name = 'CaseFailed'
    this.kase = kase
  }
}

/** A push can go wrong in the most ways; the routes that read nothing of a request in hardly any. Made once: it is dear. */
const anyCase = fc.oneof(
  ...ROUTE_NAMES.map((route) => ({
    weight: route === 'push' ? 9 : ROUTES[route].scope === 'public' ? 1 : 3,
    arbitrary: arbitraryCase(route),
  })),
)

/**
 * Sends `cases` requests to a cloud of its own on one storage. The same seed sends the same requests. Rejects with
 * `CaseFailed`.
 */
export async function runRound(
  open: OpenStorage,
  seed: number,
  cases: number,
  lookEvery?: number,
): Promise<Counts> {
  await using world = await openWorld(await open())
  const attack = createAttack(world, lookEvery)
  const counts: MutableCounts = new Map()
  const property = fc.asyncProperty(anyCase, async (kase) => {
    count(counts, kase, await attack.run(kase))
  })
  const found = await fc.check(property, { numRuns: cases, seed })
  if (!found.failed) return counts
  const [kase] = found.counterexample as [HttpCase]
  const why = found.errorInstance instanceof Error ? found.errorInstance.message : 'failed'
  throw new CaseFailed(kase, why, `seed ${seed}, ${cases} cases`)
}

/** Sends what `sweep` makes, in its order. Rejects with `CaseFailed`. */
export async function runSweep(open: OpenStorage, some: number, lookEvery?: number): Promise<Counts> {
  await using world = await openWorld(await open())
  const attack = createAttack(world, lookEvery)
  const counts: MutableCounts = new Map()
  for (const kase of sweep(some)) {
    try {
      count(counts, kase, await attack.run(kase))
    } catch (error) {
      throw new CaseFailed(kase, error instanceof Error ? error.message : 'failed', 'sweep')
    }
  }
  return counts
}

/** One case again, on a cloud where nothing else happened. */
export async function runCase(open: OpenStorage, kase: HttpCase): Promise<number | 'closed'> {
  await using world = await openWorld(await open())
  const attack = createAttack(world)
  return await attack.run(kase)
}
