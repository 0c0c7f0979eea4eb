import type { Knex } from 'knex'
import { expect, it } from 'vitest'

import type { SyncManager } from '../../src/library/manager.ts'
import { createLibraryWorld } from './world.ts'

/** An application's life: tables, a column with a default, a rename, rebuilds, data, foreign keys, a table that goes. */
const STEPS: readonly Knex.Migration[] = [
  {
    async up(knex) {
      await knex.schema.createTable('users', (table) => {
        table.string('id').primary()
        table.string('name')
        table.string('email')
      })
      await knex.schema.createTable('posts', (table) => {
        table.string('id').primary()
        table.string('user_id').references('users.id').onDelete('CASCADE')
        table.string('title')
        table.text('body')
        table.integer('views').defaultTo(0)
      })
    },
    async down(knex) {
      await knex.schema.dropTable('posts')
      await knex.schema.dropTable('users')
    },
  },
  {
    up: ({ schema }) =>
      schema.alterTable('users', (table) => {
        table.integer('age').defaultTo(7)
        table.unique(['email'])
      }),
    down: ({ schema }) =>
      schema.alterTable('users', (table) => {
        table.dropUnique(['email'])
        table.dropColumn('age')
      }),
  },
  {
    up: ({ schema }) => schema.alterTable('posts', (table) => table.renameColumn('title', 'headline')),
    down: ({ schema }) => schema.alterTable('posts', (table) => table.renameColumn('headline', 'title')),
  },
  {
    up: ({ schema }) => schema.alterTable('posts', (table) => table.dropColumn('body')),
    down: ({ schema }) => schema.alterTable('posts', (table) => table.text('body')),
  },
  {
    async up(knex) {
      await knex.raw(`UPDATE users SET name = upper(name)`)
      await knex.schema.createTable('tags', (table) => {
        table.string('id').primary()
        table.string('post').references('posts.id').onDelete('CASCADE')
        table.string('tag')
      })
    },
    down: ({ schema }) => schema.dropTable('tags'),
  },
  {
    up: ({ schema }) =>
      schema.alterTable('posts', (table) => {
        table.integer('views').notNullable().defaultTo(1).alter()
        table.index(['headline'], 'by_headline')
      }),
    down: ({ schema }) => schema.alterTable('posts', (table) => table.dropIndex(['headline'], 'by_headline')),
  },
  {
    up: ({ schema }) =>
      schema.alterTable('tags', (table) => {
        table.string('who').references('users.id').onDelete('SET NULL')
      }),
    down: ({ schema }) =>
      schema.alterTable('tags', (table) => {
        table.dropForeign('who')
        table.dropColumn('who')
      }),
  },
  {
    up: ({ schema }) => schema.dropTable('tags'),
    down: ({ schema }) =>
      schema.createTable('tags', (table) => {
        table.string('id').primary()
        table.string('tag')
      }),
  },
]

const ALL = STEPS.length

const migrationsTo = (count: number, rest: Knex.MigratorConfig = {}): Knex.MigratorConfig => ({
  migrationSource: {
    getMigrations: async () => [...STEPS.keys()].slice(0, count),
    getMigrationName: (step: number) => `step ${step}`,
    getMigration: async (step: number) => STEPS[step] as Knex.Migration,
  },
  ...rest,
})

async function createPair() {
  const world = await createLibraryWorld()
  const [a, b] = [world.knex('a'), world.knex('b')]
  for (const knex of [a, b]) await knex.migrate.latest(migrationsTo(1))
  await a('users').insert({ id: 'ann', name: 'Ann', email: 'ann@x' })
  await a('posts').insert({ id: 'p1', user_id: 'ann', title: 'first', body: 'text', views: 3 })
  const [here, there] = [await world.manager('a', a), await world.manager('b', b)]
  await here.sync()
  await there.sync()
  return { world, a, b, here, there, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() }
}

const read = async (knex: Knex) => ({
  users: await knex('users').orderBy('id'),
  posts: await knex('posts').orderBy('id'),
})

/** Until both have what the other had, and nothing waits. */
async function settle(...managers: readonly SyncManager[]): Promise<void> {
  for (let round = 0; round < 3; round++) for (const manager of managers) await manager.sync()
  for (const manager of managers) {
    expect(await manager.sync()).toMatchObject({ pushed: 0, received: 0 })
    expect(await manager.getSyncStats()).toMatchObject({ pendingOperations: 0 })
  }
}

it('all migrations at once on one device before the other: nothing is lost, and both are equal in the end', async () => {
  await using pair = await createPair()
  const { a, b, here, there } = pair
  await a('posts').insert({ id: 'p2', user_id: 'ann', title: 'unsent', views: 1 })
  await a.migrate.latest(migrationsTo(ALL))
  await a('users').insert({ id: 'amy', name: 'AMY', email: 'amy@x', age: 30 })
  await a('posts').insert({ id: 'p3', user_id: 'amy', headline: 'new', views: 5 })
  await here.sync()
  // The other device is still of the old version, and works.
  await b('users').insert({ id: 'bob', name: 'BOB', email: 'bob@x' })
  await b('posts').insert({ id: 'p4', user_id: 'bob', title: 'old', body: 'b', views: 6 })
  await b('posts').where({ id: 'p1' }).update({ views: 4 })
  await there.sync()
  expect(await b('posts').orderBy('id').pluck('id')).toEqual(['p1', 'p2', 'p3', 'p4'])
  await here.sync()
  await b('posts').insert({ id: 'p5', user_id: 'bob', title: 'unsent too', views: 7 })
  await b.migrate.latest(migrationsTo(ALL))
  await settle(there, here)
  expect(await read(a)).toEqual(await read(b))
  expect(await read(a)).toEqual({
    users: [
      { id: 'amy', name: 'AMY', email: 'amy@x', age: 30 },
      { id: 'ann', name: 'ANN', email: 'ann@x', age: 7 },
      { id: 'bob', name: 'BOB', email: 'bob@x', age: 7 },
    ],
    posts: [
      { id: 'p1', user_id: 'ann', headline: 'first', views: 4 },
      { id: 'p2', user_id: 'ann', headline: 'unsent', views: 1 },
      { id: 'p3', user_id: 'amy', headline: 'new', views: 5 },
      { id: 'p4', user_id: 'bob', headline: 'old', views: 6 },
      { id: 'p5', user_id: 'bob', headline: 'unsent too', views: 7 },
    ],
  })
})

it('a sync beside each migration, on both devices in turn, with edits between them', async () => {
  await using pair = await createPair()
  const { a, b, here, there } = pair
  const edits = new Map<string, number>()
  for (let step = 2; step <= ALL; step++) {
    for (const [knex, manager, name] of [
      [a, here, 'a'],
      [b, there, 'b'],
    ] as const) {
      await Promise.all([manager.sync(), knex.migrate.latest(migrationsTo(step))])
      const id = `${name}${step}`
      await Promise.all([
        manager.sync(),
        knex.transaction(async (trx) => {
          await trx('posts').insert({ id, user_id: 'ann', views: step })
          await trx('posts')
            .where({ id: `${name}${step - 1}` })
            .increment('views', 100)
        }),
      ])
      edits.set(id, step < ALL ? step + 100 : step)
    }
  }
  await settle(here, there)
  const rows = await read(a)
  expect(rows).toEqual(await read(b))
  const views = new Map(rows.posts.map(({ id, views: count }) => [id, count]))
  for (const [id, count] of edits) expect([id, views.get(id)]).toEqual([id, count])
  expect(views.size).toBe(edits.size + 1)
  expect([...(await here.getConflicts()), ...(await there.getConflicts())]).toEqual([])
})

it('a batch that is rolled back on one device keeps the rows, and comes back with what the other wrote meanwhile', async () => {
  await using pair = await createPair()
  const { a, b, here, there } = pair
  for (const steps of [3, 4]) {
    for (const knex of [a, b]) await knex.migrate.latest(migrationsTo(steps))
    await settle(here, there)
  }
  const [, [, undone]] = await Promise.all([here.sync(), a.migrate.rollback(migrationsTo(ALL))])
  expect(undone).toEqual(['step 3'])
  await a('posts').where({ id: 'p1' }).update({ body: 'again' })
  await b('posts').insert({ id: 'p2', user_id: 'ann', headline: 'two', views: 2 })
  await settle(here, there)
  expect(await a('posts').orderBy('id').pluck('headline')).toEqual(['first', 'two'])
  await a.migrate.latest(migrationsTo(4))
  await settle(here, there)
  expect(await read(a)).toEqual(await read(b))
})

it('what Knex keeps about migrations stays on each device, by the names that it was given, too', async () => {
  await using world = await createLibraryWorld()
  const own = { tableName: 'our_migrations' }
  const [a, b] = [world.knex('a'), world.knex('b')]
  for (const knex of [a, b]) {
    Object.assign(knex.client.config, { migrations: own })
    await knex.migrate.latest(migrationsTo(1, own))
  }
  const [here, there] = [await world.manager('a', a), await world.manager('b', b)]
  await here.sync()
  await a.migrate.latest(migrationsTo(3, own))
  expect((await here.sync()).tables).not.toHaveProperty('our_migrations')
  await there.sync()
  expect(await a('our_migrations').pluck('name')).toHaveLength(3)
  expect(await b('our_migrations').pluck('name')).toEqual(['step 0'])
  expect(await b('our_migrations_lock').select('is_locked')).toEqual([{ is_locked: 0 }])
  await b.migrate.latest(migrationsTo(3, own))
  await settle(there, here)
})
