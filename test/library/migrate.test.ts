import { expect, it } from 'vitest'

import { migrate } from '../../src/library/migrate.ts'
import { RetryQueue } from '../../src/library/retry-queue.ts'
import { createLibraryWorld } from './world.ts'

it('refuses a file that is under sync with another space', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  database.exec('CREATE TABLE notes (id TEXT PRIMARY KEY)')
  const config = world.config('a')
  await migrate(database, { ...config, space: 'one' })
  await expect(migrate(database, { ...config, space: 'two' })).rejects.toMatchObject({
    code: 'already_attached',
  })
  expect(await migrate(database, config)).toMatchObject({ migrated: false, space: 'one' })
})

it('puts a database under sync once, needs no cloud, and changes no table of the application', async () => {
  await using world = await createLibraryWorld()
  const knex = world.knex('a')
  await knex.schema.createTable('notes', (table) => {
    table.string('id').primary()
    table.string('title')
  })
  await knex.schema.createTable('untitled', (table) => table.string('x'))
  const config = world.config('a', { endpoint: undefined, space: 'mine' })
  const before = await knex('sqlite_schema').whereRaw(`name NOT LIKE '%tidemark%'`).select('name', 'sql')
  expect(await migrate(knex, config)).toMatchObject({
    migrated: true,
    space: 'mine',
    tables: ['notes'],
    refused: [{ table: 'untitled' }],
  })
  expect(await migrate(knex, config)).toMatchObject({ migrated: false, space: 'mine', tables: ['notes'] })
  expect(await knex('sqlite_schema').whereRaw(`name NOT LIKE '%tidemark%'`).select('name', 'sql')).toEqual(
    before,
  )
  await knex('notes').insert({ id: '1', title: 'one' })
  expect(await new RetryQueue(knex, config).getStats()).toEqual({
    pending: 1,
    failed: 0,
    completed: 0,
    total: 1,
  })
})

it('says of a database without a table that could be synced why', async () => {
  await using world = await createLibraryWorld()
  const database = world.better('a')
  await expect(migrate(database, world.config('a'))).rejects.toMatchObject({ code: 'nothing_to_sync' })
  expect(await new RetryQueue(database, world.config('a')).getStats()).toMatchObject({ total: 0 })
})
