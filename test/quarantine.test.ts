import Database from 'better-sqlite3'
import { join } from 'node:path'
import { expect, it } from 'vitest'

import { openMachine } from './command-line.ts'

it('a row whose key no request can carry is given up without asking the cloud for it', async () => {
  await using machine = await openMachine()
  const { url } = await machine.serve()
  await machine.ask('config', 'set', 'endpoint', url)
  const file = join(machine.folder, 'app.db')
  const app = new Database(file)
  app.exec('CREATE TABLE notes (id TEXT PRIMARY KEY)')
  app.prepare('INSERT INTO notes VALUES (?), (?)').run('short', 'k'.repeat(2_000))
  app.close()
  await machine.ask('attach', file, '--yes')
  const list = async () =>
    ((await machine.ask('quarantine', 'list')) as { readonly quarantine: { readonly id: string }[] })
      .quarantine
  const [refused] = await list()
  await machine.ask('quarantine', 'drop', String(refused?.id), '--yes')
  expect(await list()).toEqual([])
  const after = new Database(file)
  expect(after.prepare('SELECT id FROM notes').pluck().all()).toEqual(['short'])
  after.close()
})
