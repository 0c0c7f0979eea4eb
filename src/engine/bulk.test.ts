import { expect, test } from 'vitest'

import { TidemarkError } from '../kernel/errors.ts'
import type { PushAnswer, PushRequest } from '../protocol/push.ts'
import { MemoryDatabase } from '../stores/memory/database.ts'
import { openMemoryStore } from '../stores/memory/store.ts'
import { TABLES } from '../testing/store-contract/tables.ts'
import { BATCH_MAX_ROWS } from './batch-size.ts'
import { SyncEngine } from './engine.ts'
import type { IdentityGuard } from './identity.ts'
import type { EngineOptions } from './options.ts'
import type { Provider } from './provider.ts'
import { ATOMIC_ROWS } from './work.ts'

const clock = {
  now: () => 1_000,
  after: (ms: number, run: () => void) => {
    const timer = setImmediate(() => (ms < 1_000 ? run() : undefined))
    return () => clearImmediate(timer)
  },
}
const random = { next: () => 0.5 }
const generation = { id: 'g', start: 0 }
const guard: IdentityGuard = {
  verdict: async () => 'same',
  record: async () => {},
  takeBack: async () => {},
  forget: async () => {},
}

/** A cloud that takes everything, and what it was sent. */
function takeAll(): Provider & { readonly requests: readonly PushRequest[] } {
  const requests: PushRequest[] = []
  let head = 0
  const refuse = () => Promise.reject(new TidemarkError('network'))
  return {
    name: 'taking',
    requests,
    async push(body): Promise<PushAnswer> {
      const request = JSON.parse(body) as PushRequest
      requests.push(request)
      const last = request.part === undefined || request.part.index === request.part.of - 1
      const same = requests.filter(({ mutation }) => mutation === request.mutation)
      const results = last ? same.flatMap(({ changes }) => changes.map(() => ++head)) : []
      return {
        epoch: 'e',
        generation,
        head,
        results: results.map((version) => ({ status: 'ok', version })),
        ...(last ? {} : { staged: same.length }),
      }
    },
    pull: async ({ cursor }) => ({
      epoch: 'e',
      generation,
      head,
      floor: 0,
      schema: 1,
      records: [],
      next: cursor.version,
      has_more: false,
    }),
    read: refuse,
    readSchema: refuse,
    putSchema: async () => ({ schema: 1, tables: [] }),
    status: refuse,
    async *hydrate() {
      yield { kind: 'start', start: { epoch: 'e', generation, head: 0, floor: 0, schema: 1, count: 0 } }
    },
  }
}

const upload = async (rows: number, options: Partial<EngineOptions> = {}) => {
  const database = new MemoryDatabase({ clock, tables: TABLES })
  const provider = takeAll()
  await using store = openMemoryStore(database, { clock, random, replica: 'one' })
  await using engine = new SyncEngine({ store, provider, guard, clock, random, listen: false, ...options })
  database.write((app) => {
    for (let id = 0; id < rows; id++) app.insert('notes', { id: `${id}`, title: 'x', body: 'y' })
  })
  await engine.start()
  await engine.syncNow()
  const keys = provider.requests.flatMap(({ changes }) => changes.map(({ key }) => key))
  expect([keys.length, new Set(keys).size]).toEqual([rows, rows])
  return provider.requests
}

test('a bulk goes in chunks to its last row, none of them in parts', async () => {
  const requests = await upload(ATOMIC_ROWS + 2_000)
  expect(requests.filter(({ part }) => part !== undefined)).toEqual([])
  expect(Math.max(...requests.map(({ changes }) => changes.length))).toBeLessThanOrEqual(BATCH_MAX_ROWS)
})

test('the first request has as many rows as it is told to', async () => {
  const sizes = (await upload(1_000, { batchFirst: 250 })).map(({ changes }) => changes.length)
  expect(sizes).toEqual([250, 250, 250, 250])
  const [first = 0, second = 0] = (await upload(ATOMIC_ROWS + 1, { batchFirst: 300, batchRows: 500 })).map(
    ({ changes }) => changes.length,
  )
  expect([first, second]).toEqual([300, 500])
})

test('I5: what fits into one step goes as one, in parts', async () => {
  const requests = await upload(1_000)
  expect(new Set(requests.map(({ mutation }) => mutation)).size).toBe(1)
  expect(requests.every(({ part }) => part !== undefined)).toBe(true)
})
