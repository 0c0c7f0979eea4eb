import { setTimeout as pause } from 'node:timers/promises'

import { expect, it } from 'vitest'

import type { ConflictResolver } from '../../src/library/resolvers.ts'
import { createLibraryWorld } from './world.ts'

/** Two devices that both changed the title of one note; the second has sent its own. */
async function createConflict(table = 'notes') {
  const world = await createLibraryWorld()
  const [a, b] = [world.knex('a'), world.knex('b')]
  for (const knex of [a, b])
    await knex.raw('CREATE TABLE ?? (id TEXT PRIMARY KEY, title TEXT, body TEXT)', [table])
  const [here, there] = [await world.manager('a', a), await world.manager('b', b)]
  await a(table).insert({ id: '1', title: 'one' })
  await here.sync()
  await there.sync()
  await a(table).update({ title: 'A' })
  await b(table).update({ title: 'B' })
  await there.sync()
  return { world, a, b, here, there, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() }
}

/** A resolver that never answers, and when it was asked. */
function createHung() {
  const asked = Promise.withResolvers<void>()
  const resolver: ConflictResolver = () => {
    asked.resolve()
    return new Promise(() => {})
  }
  return { resolver, asked: asked.promise }
}

it('a resolver that never answers is left by its signal: nothing is decided, and the next sync goes on', async () => {
  await using conflict = await createConflict()
  const { a, here } = conflict
  const { resolver, asked } = createHung()
  const control = new AbortController()
  const sync = here.sync(undefined, resolver, undefined, { signal: control.signal })
  await asked
  control.abort()
  await expect(sync).rejects.toMatchObject({ code: 'aborted' })
  const result = await here.sync(undefined, () => ({ title: 'A and B' }))
  expect(result.conflicts).toMatchObject([{ resolution: 'merged' }])
  expect(await a('notes').pluck('title')).toEqual(['A and B'])
  expect(await here.getConflicts()).toHaveLength(1)
})

it('a resolver that never answers does not keep a manager from closing', async () => {
  await using conflict = await createConflict()
  const { world, a, here } = conflict
  const { resolver, asked } = createHung()
  const sync = expect(here.sync(undefined, resolver)).rejects.toMatchObject({ code: 'aborted' })
  await asked
  await here.close()
  await sync
  const again = await world.manager('a', a)
  expect(await again.sync()).toMatchObject({ conflicts: [{ resolution: 'remote' }] })
})

it('a resolver may close its manager: nothing is decided', async () => {
  await using conflict = await createConflict()
  const { world, a, here } = conflict
  const sync = here.sync(undefined, async () => {
    await here.close()
    return 'local' as const
  })
  await expect(sync).rejects.toMatchObject({ code: 'aborted' })
  await here.close()
  const again = await world.manager('a', a)
  expect(await again.sync()).toMatchObject({ conflicts: [{ resolution: 'remote' }] })
})

it('a resolver may write to the database that is synced, and ask the manager', async () => {
  await using conflict = await createConflict()
  const { a, b, here, there } = conflict
  let times = 0
  const result = await here.sync(undefined, async ({ localData }) => {
    await here.getSyncStats()
    await here.getConflicts()
    await here.healthCheck()
    here.updateConfig({ batchSize: 20 })
    if (times++ === 0) {
      await a('notes').where({ id: '1' }).update({ body: 'by the resolver' })
      await a('notes').insert({ id: '2', title: 'by the resolver' })
    }
    return { title: `${String(localData['title'])}!` }
  })
  // The row moved while it was decided: it is asked about as it is now.
  expect(times).toBe(2)
  expect(result.conflicts).toHaveLength(1)
  await here.sync()
  await there.sync()
  const rows = [
    { id: '1', title: 'A!', body: 'by the resolver' },
    { id: '2', title: 'by the resolver', body: null },
  ]
  expect(await a('notes').orderBy('id')).toEqual(rows)
  expect(await b('notes').orderBy('id')).toEqual(rows)
})

it('a sync inside a resolver is refused, since each would wait for the other; one that it leaves behind is not', async () => {
  await using conflict = await createConflict()
  const { world, a, here } = conflict
  const other = await world.manager('a', a)
  const refused: unknown[] = []
  const note = ({ code }: { readonly code: string }) => refused.push(code)
  const left = Promise.withResolvers<unknown>()
  const sync = here.sync(undefined, async () => {
    await here.sync().catch(note)
    await here.performSync().catch(note)
    await other.seed().catch(note)
    setTimeout(() => left.resolve(here.sync()), 30)
    return { title: 'decided' }
  })
  const waiting = here.performSync()
  await sync
  expect(refused).toEqual(['bad_usage', 'bad_usage', 'bad_usage'])
  await waiting
  expect(await left.promise).toMatchObject({ operation: 'sync' })
  expect(await a('notes').pluck('title')).toEqual(['decided'])
})

it('the resolver of a table never decides for one that is called as what every object has', async () => {
  await using conflict = await createConflict('constructor')
  const { a, here } = conflict
  here.updateConfig({ resolvers: { notes: () => 'local' } })
  await here.sync()
  expect(await a('constructor').pluck('title')).toEqual(['B'])
})

it('listeners that throw, at once or later, change nothing', async () => {
  await using conflict = await createConflict()
  const { a, here } = conflict
  const rude = () => {
    throw new Error('rude')
  }
  // Its promise comes through, as any callback's of an application may.
  const later = (): unknown => pause(1).then(rude)
  for (const name of ['sync_started', 'sync_progress', 'conflict_detected', 'sync_completed'] as const) {
    here.addEventListener(name, rude)
    here.addEventListener(name, later)
  }
  await here.sync(undefined, undefined, rude)
  expect(await a('notes').pluck('title')).toEqual(['B'])
})

it('listeners may ask for more syncs, settle conflicts, and close the manager', async () => {
  await using conflict = await createConflict()
  const { a, here } = conflict
  const more: Promise<unknown>[] = []
  here.addEventListener('sync_started', () => {
    if (more.length < 3) more.push(here.performSync(), here.sync())
  })
  here.addEventListener('conflict_detected', ({ data }) => more.push(here.resolveConflict(data.id, 'local')))
  await here.sync()
  const count = more.length
  await Promise.all(more)
  expect(count).toBeGreaterThan(2)
  expect(await a('notes').pluck('title')).toEqual(['A'])
  here.addEventListener('sync_progress', () => void here.close())
  await expect(here.sync()).rejects.toMatchObject({ code: 'aborted' })
  await here.close()
})
