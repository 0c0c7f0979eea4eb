// Notes on the command line: works offline, and syncs when it is asked to.
import { randomUUID } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'

import { createSyncManager, isSyncAvailable, TidemarkError } from 'tidemark'

interface Tables {
  notes: { id: string; text: string; created_at: string }
}

// Keys that are made on several devices: not 1, 2, 3.
const database = new DatabaseSync(process.env.NOTES_FILE ?? 'notes.db')
database.exec(`
  CREATE TABLE IF NOT EXISTS notes (
    id TEXT PRIMARY KEY,
    text TEXT NOT NULL,
    created_at TEXT NOT NULL
  )
`)

const add = (text: string): void => {
  database
    .prepare('INSERT INTO notes (id, text, created_at) VALUES (?, ?, ?)')
    .run(randomUUID(), text, new Date().toISOString())
}

const edit = (from: string, to: string): void => {
  database.prepare('UPDATE notes SET text = ? WHERE text = ?').run(to, from)
}

const list = (): void => {
  for (const { text } of database.prepare('SELECT text FROM notes ORDER BY created_at').all())
    console.log(`- ${String(text)}`)
}

async function sync(): Promise<void> {
  if (!isSyncAvailable()) return console.log('No cloud: set TIDEMARK_ENDPOINT and TIDEMARK_TOKEN to sync')
  const manager = await createSyncManager<Tables>(database)
  manager.addEventListener('conflict_detected', ({ data }) => {
    if (data.entityType === 'notes')
      console.log(`Two texts met: "${data.localData?.text}" here, "${data.remoteData?.text}" there`)
  })
  try {
    const { pushed, received } = await manager.sync()
    console.log(`${pushed} sent, ${received} received`)
  } finally {
    await manager.close()
  }
}

const [command = 'list', ...words] = process.argv.slice(2)
const commands: { readonly [name: string]: () => void | Promise<void> } = {
  add: () => add(words.join(' ')),
  edit: () => edit(words[0] ?? '', words[1] ?? ''),
  list,
  sync,
}

try {
  await (commands[command] ?? (() => console.log('add TEXT | edit OLD NEW | list | sync')))()
} catch (error) {
  if (!(error instanceof TidemarkError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
