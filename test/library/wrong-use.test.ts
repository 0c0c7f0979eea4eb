import { expect, it } from 'vitest'

import { createLibraryWorld } from './world.ts'

const NOTES = 'CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, title TEXT)'

it('an argument that is passed over with null is as one that is not given; a wrong one is refused', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(`${NOTES}; INSERT INTO notes VALUES ('1', 'one')`)
  const manager = await world.manager('a', database)
  const none = null as never
  expect(await manager.sync(none, none, none, none)).toMatchObject({ pushed: 1 })
  const errors: string[] = []
  manager.addEventListener('sync_error', ({ data }) => errors.push(data.error.code))
  await expect(manager.sync('notes' as never)).rejects.toThrow('entityTypes takes a list')
  await expect(manager.sync(['notes'], 'localWins' as never)).rejects.toThrow('resolver takes a function')
  await expect(manager.seed(undefined, {} as never)).rejects.toThrow('onProgress takes a function')
  expect(errors).toEqual(['bad_usage', 'bad_usage', 'bad_usage'])
  expect(() => manager.updateConfig({ batchSize: 7, resolver: 'x' as never })).toThrow('resolver takes')
  for (const changes of [undefined, null, []])
    expect(() => manager.updateConfig(changes as never)).toThrow('changes takes')
  expect(manager.getConfig().batchSize).toBe(50)
  await expect(manager.createCloudProvider(undefined as never)).rejects.toThrow('endpoint takes')
})

it('refuses changes of what cannot be changed, and says that sync is turned off where it is', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(NOTES)
  const manager = await world.manager('a', database, { environment: { TIDEMARK_SYNC_ENABLED: 'off' } })
  expect(() => manager.updateConfig({ endpoint: 'https://other.example' } as never)).toThrow('endpoint')
  expect(() => manager.updateConfig({ autosyncEnabled: true } as never)).toThrow('autosyncEnabled')
  await expect(manager.sync()).rejects.toMatchObject({
    code: 'sync_disabled',
    message: expect.stringContaining('Not connected'),
  })
})

it('tells of a setup that throws, or is asynchronous, and of a table that is not there', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(NOTES)
  const cause = new RangeError('secret')
  const setup = () => {
    throw cause
  }
  const throwing = await world.manager('a', database, { setup })
  await expect(throwing.sync()).rejects.toMatchObject({
    code: 'bad_usage',
    message: '`setup` threw RangeError',
    cause,
  })
  await throwing.close()
  const asynchronous = (): unknown => Promise.resolve()
  const late = await world.manager('a', database, { setup: asynchronous })
  await expect(late.sync()).rejects.toThrow('must not be asynchronous')
  await late.close()
  const misspelt = await world.manager('a', database, { tables: ['nots'] })
  await expect(misspelt.sync()).rejects.toThrow('there is no such table: nots')
})
