import { afterAll, beforeAll, expect, test } from 'vitest'

import { openLogNodes, type LogNodes } from '../../../../test/postgres/log-nodes.ts'
import { decideAgain } from '../../../../test/postgres/serial/again.ts'
import { SerialNodes } from '../../../../test/postgres/serial/nodes.ts'
import { chanceOf } from '../../../../test/postgres/serial/random.ts'
import { runSerial } from '../../../../test/postgres/serial/run.ts'
import { beginTelling } from '../../../../test/postgres/serial/told.ts'

/** `TIDEMARK_SERIAL_RUNS` for many more, `TIDEMARK_SERIAL_SEED` for others. */
const RUNS = Number(process.env['TIDEMARK_SERIAL_RUNS'] ?? 2)
const SEED = Number(process.env['TIDEMARK_SERIAL_SEED'] ?? 1)

let nodes: LogNodes
beforeAll(async () => {
  nodes = await openLogNodes()
  await beginTelling(nodes.admin)
})
afterAll(() => nodes[Symbol.asyncDispose]())

const met = new Map<string, number>()

test.for(Array.from({ length: RUNS }, (_, at) => SEED + at))(
  'I3, I4, I5: what several nodes did at once is what one did after the other: seed %i',
  { timeout: 60_000 },
  async (seed, { annotate }) => {
    await using own = await openLogNodes(nodes)
    const space = await own.space()
    const run = await runSerial(own, space, { seed, nodes: 4, replicas: 12, mutations: 30 })
    const { head, floor } = await decideAgain(own, space, run)
    const counts = { ...run.nodes.met, forks: run.forks, batches: run.batches.length, head, floor }
    await annotate(JSON.stringify(counts))
    for (const [name, count] of Object.entries(counts)) met.set(name, (met.get(name) ?? 0) + count)
  },
)

test.for(Array.from({ length: RUNS }, (_, at) => SEED + at))(
  'I3, I4, I5: several spaces, which share their commits: seed %i',
  { timeout: 60_000 },
  async (seed, { annotate }) => {
    await using own = await openLogNodes(nodes)
    const options = { seed, nodes: 2, replicas: 4, mutations: 15 }
    const shared = new SerialNodes(own, options.nodes, chanceOf(seed))
    const spaces = await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (name) => ({ name, id: await own.space() })),
    )
    const runs = await Promise.all(
      spaces.map(async ({ name, id }, at) => {
        // A connection to look through asks one question at a time.
        const beside = { ...own, admin: await own.connect() }
        return runSerial(beside, id, { ...options, seed: seed * 100 + at }, { nodes: shared, prefix: name })
      }),
    )
    for (const [at, run] of runs.entries()) await decideAgain(own, spaces[at]?.id ?? '', run)
    await annotate(JSON.stringify(shared.met))
    for (const name of ['together', 'held'] as const) met.set(name, (met.get(name) ?? 0) + shared.met[name])
  },
)

test('the runs met what they are for', () => {
  // One that met none of these has shown nothing.
  expect([...met].filter(([, count]) => count === 0)).toEqual([])
  expect(met.size).toBeGreaterThan(5)
})
