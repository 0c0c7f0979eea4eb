import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { openControl, askControl, socketPath } from '../../src/daemon/control.ts'
import { fileTag } from '../../src/machine/files.ts'
import { homeFolders, runFolder } from '../../src/machine/folders.ts'
import { openMachine, type Machine } from '../command-line.ts'

/** A file is lent to a command for as long as that works on it, and whoever keeps it in step goes on then. */

/** As long as a busy computer takes. */
const eventually = (read: () => unknown) => expect.poll(read, { timeout: 30_000 })

function makeFile(machine: Machine, name: string): string {
  const file = join(machine.folder, name)
  const database = new Database(file)
  database.exec("CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT); INSERT INTO notes VALUES ('one', 'a')")
  database.close()
  return file
}

function write(file: string, id: string): void {
  const database = new Database(file)
  database.prepare('INSERT INTO notes VALUES (?, ?)').run(id, 'text')
  database.close()
}

async function openRunning() {
  const machine = await openMachine()
  const cloud = await machine.serve()
  await machine.ask('config', 'set', 'endpoint', cloud.url)
  const file = makeFile(machine, 'notes.db')
  await machine.ask('attach', file, '--space', 'notes', '--yes')
  const running = machine.start('run')
  await eventually(running.said).toContain('Keeping in step')
  return { machine, cloud, file, running }
}

test('commands that need a file for themselves work beside a run that keeps it in step, and it goes on', async () => {
  const { machine, file, running } = await openRunning()
  await using _ = machine
  expect((await machine.tidemark('sync', 'reset', file, '--yes')).code).toBe(0)
  await eventually(() => running.said().split(' ↔ notes at').length).toBe(3)
  expect((await machine.tidemark('sync', 'reset', file, '--rejoin', '--yes')).code).toBe(0)
  await eventually(() => running.said().split(' ↔ notes at').length).toBe(4)
  write(file, 'two')
  await eventually(running.said).toContain('1 sent')
  const detached = await machine.tidemark('detach', file, '--yes')
  expect(detached).toMatchObject({ code: 0, err: '' })
  const { out } = await machine.tidemark('sync', 'status')
  expect(out).not.toContain(file)
  expect((await running.stop()).code).toBe(0)
})

test('what a command that died had borrowed is taken back, and not before', async () => {
  const { machine, file, running } = await openRunning()
  await using _ = machine
  const path = socketPath(runFolder(homeFolders(join(machine.folder, 'home'))), fileTag(file))
  const one = await openControl(path, { command: 'release' })
  expect(one).not.toBeNull()
  // Nobody serves it now, and the file is free.
  expect(await askControl(path, { command: 'status' })).toBeNull()
  expect((await machine.tidemark('sync', 'reset', file, '--yes')).code).toBe(0)
  expect(running.said().split(' ↔ notes at').length).toBe(2)
  one?.close()
  await eventually(() => running.said().split(' ↔ notes at').length).toBe(3)
  expect((await running.stop()).code).toBe(0)
})
