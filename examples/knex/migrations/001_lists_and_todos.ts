import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('lists', (table) => {
    table.uuid('id').primary()
    table.string('name').notNullable()
  })
  await knex.schema.createTable('todos', (table) => {
    table.uuid('id').primary()
    table.uuid('list_id').notNullable().references('lists.id').onDelete('CASCADE')
    table.string('title').notNullable()
    table.integer('done').notNullable().defaultTo(0)
    table.string('updated_at')
  })
  // Of this device alone, and not synced: whoever counts rows counts those that came from elsewhere as well.
  await knex.schema.createTable('list_counts', (table) => {
    table.uuid('list_id').primary()
    table.integer('todos').notNullable()
  })
  await createTriggers(knex)
}

export async function down(knex: Knex): Promise<void> {
  for (const table of ['list_counts', 'todos', 'lists']) await knex.schema.dropTable(table)
}

/** Knex rebuilds a table to alter it, and triggers go with the old one: a migration that alters makes them anew. */
export async function createTriggers(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TRIGGER IF NOT EXISTS todos_updated AFTER UPDATE OF title, done, list_id ON todos BEGIN
      UPDATE todos SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
    END
  `)
  await knex.raw(`
    CREATE TRIGGER IF NOT EXISTS todos_counted AFTER INSERT ON todos BEGIN
      INSERT INTO list_counts (list_id, todos) VALUES (NEW.list_id, 1)
        ON CONFLICT (list_id) DO UPDATE SET todos = todos + 1;
    END
  `)
  await knex.raw(`
    CREATE TRIGGER IF NOT EXISTS todos_uncounted AFTER DELETE ON todos BEGIN
      UPDATE list_counts SET todos = todos - 1 WHERE list_id = OLD.list_id;
    END
  `)
}
