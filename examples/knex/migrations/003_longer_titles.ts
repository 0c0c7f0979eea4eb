import type { Knex } from 'knex'

import { createTriggers } from './001_lists_and_todos.ts'

export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('todos', (table) => {
    table.text('title').notNullable().alter()
  })
  await createTriggers(knex)
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('todos', (table) => {
    table.string('title').notNullable().alter()
  })
  await createTriggers(knex)
}
