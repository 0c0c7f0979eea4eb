import { expect, test } from 'vitest'

import { TidemarkError } from '../kernel/errors.ts'
import type { SchemaAnswer } from '../protocol/schema.ts'
import { MemoryDatabase } from '../stores/memory/database.ts'
import { openMemoryStore } from '../stores/memory/store.ts'
import { LATER, TABLES } from '../testing/store-contract/tables.ts'
import { SyncEngine } from './engine.ts'
import type { HydrateChunk, Provider } from './provider.ts'
import type { ReplicaState } from './store.ts'

const clock = { now: () => 1_000, after: () => () => {} }
const random = { next: () => 0.5 }
const generation = { id: 'g', start: 0 }
const late = {
  table: LATER.name,
  key: '["a"]',
  version: 15,
  hlc: 15_000,
  by: 'another',
  fields: { id: 'a', text: 'x' },
}
const guard = {
  verdict: async () => 'same' as const,
  record: async () => {},
  takeBack: async () => {},
  forget: async () => {},
}

test('I11: a table is covered only once the cursor knows the newest row that came with it', async () => {
  const database = new MemoryDatabase({ clock, tables: TABLES })
  await using store = openMemoryStore(database, { clock, random, replica: 'one' })
  const cursor = { epoch: 'e', generation: 'g', version: 7, high: 7 }
  await store.startHydrate({ cursor, tables: null, place: null, sweep: false })
  await store.finishHydrate(cursor)
  database.addTable(LATER)

  const met: ReplicaState[] = []
  const provider: Provider = {
    name: 'one new table',
    push: () => Promise.reject(new TidemarkError('network')),
    async pull({ cursor: from }) {
      met.push(await store.state())
      const records = from.version < 15 ? [late] : []
      return { epoch: 'e', generation, head: 20, floor: 0, schema: 1, records, next: 20, has_more: false }
    },
    read: () => Promise.reject(new TidemarkError('network')),
    readSchema: () => Promise.reject(new TidemarkError('network')),
    putSchema: async (): Promise<SchemaAnswer> => ({ schema: 1, tables: [] }),
    status: () => Promise.reject(new TidemarkError('network')),
    async *hydrate(): AsyncGenerator<HydrateChunk> {
      yield { kind: 'start', start: { epoch: 'e', generation, head: 20, floor: 0, schema: 1, count: 1 } }
      yield { kind: 'records', records: [late] }
    },
  }
  await using engine = new SyncEngine({ store, provider, guard, clock, random, listen: false })
  await engine.start()
  await engine.syncNow()
  expect(database.rows(LATER.name)).toEqual([late.fields])
  expect(met.length).toBeGreaterThan(1)
  for (const { covered, cursor: known } of met) {
    if (covered.includes(LATER.name)) expect(known?.high).toBeGreaterThanOrEqual(late.version)
  }
  expect(met.at(-1)?.covered).toContain(LATER.name)
})
