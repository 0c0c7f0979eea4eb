import { randomUUID } from 'node:crypto'

import type { Knex } from 'knex'

import type { List, Todo } from './database.ts'

/** A list and its first todos, or nothing. */
export async function createList(knex: Knex, name: string, titles: readonly string[]): Promise<string> {
  return knex.transaction(async (transaction) => {
    const id = randomUUID()
    await transaction<List>('lists').insert({ id, name })
    for (const title of titles)
      await transaction<Todo>('todos').insert({ id: randomUUID(), list_id: id, title })
    return id
  })
}

export const addTodo = async (knex: Knex, listId: string, title: string): Promise<void> => {
  await knex<Todo>('todos').insert({ id: randomUUID(), list_id: listId, title })
}

export const rename = (knex: Knex, from: string, to: string): Promise<number> =>
  knex<Todo>('todos').where({ title: from }).update({ title: to })

export const complete = (knex: Knex, title: string): Promise<number> =>
  knex<Todo>('todos').where({ title }).update({ done: 1 })

export const setDue = (knex: Knex, title: string, due: string): Promise<number> =>
  knex<Todo>('todos').where({ title }).update({ due })

export const remove = (knex: Knex, title: string): Promise<number> =>
  knex<Todo>('todos').where({ title }).delete()

/** All there is, for people. */
export async function describe(knex: Knex): Promise<readonly string[]> {
  const todos = await knex<Todo>('todos').orderBy('title').select()
  return todos.map(
    ({ title, done, due }) => `[${done === 1 ? 'x' : ' '}] ${title}${due ? ` (due ${due})` : ''}`,
  )
}

/** What the application's own triggers counted. */
export async function countTodos(knex: Knex): Promise<number> {
  const row = await knex('list_counts').sum<{ all: number }[]>({ all: 'todos' }).first()
  return row?.all ?? 0
}
