import { expect, it } from 'vitest'

import { RetryQueue } from '../../src/library/retry-queue.ts'
import { serveTestCloud } from '../cloud/test-cloud.ts'
import { createLibraryWorld } from './world.ts'

const NOTES = 'CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, title TEXT)'

it('asks about the space of the file where none was named: a token may be for that one only', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(NOTES)
  const { token } = await world.cloud.makeToken({ spaces: ['team'], defaultSpace: 'team' })
  const first = await world.manager('a', database, { space: 'team', token })
  await first.sync()
  await first.close()
  const manager = await world.manager('a', database, { token })
  // Nobody waits for the application's transaction for that.
  database.exec('BEGIN IMMEDIATE')
  expect(await manager.healthCheck()).toMatchObject({ status: 'healthy' })
  database.exec('COMMIT')
  await manager.sync()
  expect(await manager.healthCheck()).toMatchObject({ status: 'healthy' })
  await manager.createCloudProvider(world.cloud.url, token)
})

it('one cloud is one, however its address is written', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec(NOTES)
  const first = await world.manager('a', database)
  const second = await world.manager('a', database, { endpoint: `${world.cloud.url}/` })
  await first.sync()
  await second.sync()
  const devices = await second.getProvider()?.getRegisteredDevices()
  expect(devices).toHaveLength(1)
})

it('is connected with the cloud that was asked for last, whichever answers first', async () => {
  await using world = await createLibraryWorld()
  await using slow = await serveTestCloud()
  const database = world.better('a')
  database.exec(NOTES)
  const held = Promise.withResolvers<void>()
  const manager = await world.manager('a', database, {
    fetch: async (input, init) => {
      const address = input instanceof Request ? input.url : String(input)
      if (address.startsWith(slow.url)) await held.promise
      return fetch(input, init)
    },
  })
  const first = manager.createCloudProvider(slow.url, slow.token)
  const second = await manager.createCloudProvider(world.cloud.url, world.cloud.token)
  held.resolve()
  await first
  expect(manager.getProvider()).toBe(second)
})

it('a queue keeps the places it was given, wherever the process goes', async () => {
  await using world = await createLibraryWorld()
  const file = world.path('a')
  const database = world.better('a')
  database.exec(NOTES)
  database.close()
  const before = process.cwd()
  process.chdir(file.slice(0, -'/app.db'.length))
  try {
    const queue = new RetryQueue('app.db', { ...world.config('a'), home: 'tidemark' })
    process.chdir('/')
    expect(await queue.getStats()).toMatchObject({ total: 0 })
  } finally {
    process.chdir(before)
  }
})
