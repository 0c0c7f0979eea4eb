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
