import { join } from 'node:path'

import knex, { type Knex } from 'knex'

export interface List {
  id: string
  name: string
}

export interface Todo {
  id: string
  list_id: string
  title: string
  done: number
  updated_at: string | null
  due: string | null
}

/** The application's database. `client: 'sqlite3'` would not do: see the guide of the library. */
export const openDatabase = (filename: string): Knex =>
  knex({
    client: 'better-sqlite3',
    connection: { filename },
    useNullAsDefault: true,
    migrations: { directory: join(import.meta.dirname, 'migrations') },
    pool: {
      afterCreate: (connection: { pragma(text: string): unknown }, done: () => void) => {
        connection.pragma('foreign_keys = ON')
        done()
      },
    },
  })
