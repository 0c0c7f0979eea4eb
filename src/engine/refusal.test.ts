import { expect, test } from 'vitest'

import { TidemarkError } from '../kernel/errors.ts'
import type { PushAnswer } from '../protocol/push.ts'
import type { SchemaAnswer } from '../protocol/schema.ts'
import { MemoryDatabase } from '../stores/memory/database.ts'
import { openMemoryStore } from '../stores/memory/store.ts'
import { TABLES } from '../testing/store-contract/tables.ts'
import { SyncEngine } from './engine.ts'
import type { IdentityGuard } from './identity.ts'
import type { Provider } from './provider.ts'

const clock = {
  now: () => 1_000,
  after: (ms: number, run: () => void) => {
    const timer = setImmediate(() => (ms < 1_000 ? run() : undefined))
    return () => clearImmediate(timer)
  },
}
const random = { next: () => 0.5 }
const generation = { id: 'g', start: 0 }

/** A cloud that refuses every push for good. */
const refusing: Provider = {
  name: 'refusing',
  push: (): Promise<PushAnswer> => Promise.reject(new TidemarkError('payload_too_large')),
  pull: async ({ cursor }) => ({
    epoch: 'e',
    generation,
    head: 0,
    floor: 0,
    schema: 1,
    records: [],
    next: cursor.version,
    has_more: false,
  }),
  read: () => Promise.reject(new TidemarkError('network')),
  readSchema: () => Promise.reject(new TidemarkError('network')),
  putSchema: async (): Promise<SchemaAnswer> => ({ schema: 1, tables: [] }),
  status: () => Promise.reject(new TidemarkError('network')),
  async *hydrate() {
    yield { kind: 'start', start: { epoch: 'e', generation, head: 0, floor: 0, schema: 1, count: 0 } }
  },
}

function createGuard(): IdentityGuard {
  let last = 0
  return {
    verdict: async (_replica, mutation) => (mutation < last ? 'restored' : 'same'),
    record: async (_replica, mutation) => {
      last = Math.max(last, mutation)
    },
    takeBack: async (_replica, mutation) => {
      if (last === mutation) last--
    },
    forget: async () => {},
  }
}

test('I13: a file whose push was refused for good is no restored one when it is opened again', async () => {
  const database = new MemoryDatabase({ clock, tables: TABLES })
  const guard = createGuard()
  const replicas: string[] = []
  for (let start = 0; start < 2; start++) {
    await using store = openMemoryStore(database, { clock, random, replica: 'one' })
    await using engine = new SyncEngine({ store, provider: refusing, guard, clock, random, listen: false })
    if (start === 0) database.write((app) => app.insert('notes', { id: 'a', title: 'x', body: 'y' }))
    await engine.start()
    await engine.syncNow()
    expect(await store.state()).toMatchObject({ mutation: 0, inFlight: null })
    expect(await store.listQuarantine(10)).toHaveLength(1)
    replicas.push((await store.state()).replica)
  }
  expect(replicas).toEqual(['one', 'one'])
})
