/**
 * What the guide of the library has around its blocks: an application's database, its tables' types, and a manager.
 * Imported names of a block never meet these.
 */
export const SETTING = `
import * as tidemarkOfTheGuide from 'tidemark'
import openKnexOfTheGuide from 'knex'

interface Tables {
  notes: { id: string; title: string; status: 'unread' | 'read' | 'archived' }
  projects: { id: string; name: string }
}

const knex = openKnexOfTheGuide({
  client: 'better-sqlite3',
  connection: { filename: 'app.db' },
  useNullAsDefault: true,
})
await knex.raw('CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, title TEXT, status TEXT)')
await knex.raw('CREATE TABLE IF NOT EXISTS projects (id TEXT PRIMARY KEY, name TEXT)')
const manager = await tidemarkOfTheGuide.createSyncManager<Tables>(knex)
`

export const END = `
await manager.close()
await knex.destroy()
`

/** Two devices change one title, and nothing is chosen: it waits in the inbox of `app.db` afterwards. */
export const CONFLICT = `${SETTING}
const there = openKnexOfTheGuide({
  client: 'better-sqlite3',
  connection: { filename: 'there.db' },
  useNullAsDefault: true,
})
await there.raw('CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT, status TEXT)')
const other = await tidemarkOfTheGuide.createSyncManager<Tables>(there)
await knex('notes').insert({ id: 'met', title: 'first', status: 'unread' })
await manager.sync()
await other.sync()
await there('notes').where({ id: 'met' }).update({ title: 'there' })
await other.sync()
await knex('notes').where({ id: 'met' }).update({ title: 'here' })
await manager.sync(undefined, () => 'wait')
console.log((await manager.getConflicts({ waiting: true })).length, await knex('notes').where({ id: 'met' }).pluck('title'))
await other.close()
await there.destroy()
${END}`

/** What became of it. */
export const LOOK = `${SETTING}
console.log((await manager.getConflicts({ waiting: true })).length, await knex('notes').where({ id: 'met' }).pluck('title'))
${END}`
