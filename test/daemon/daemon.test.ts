import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { listAttachments } from '../../src/daemon/attachments.ts'
import { askControl, socketPath } from '../../src/daemon/control.ts'
import { fileTag } from '../../src/machine/files.ts'
import { homeFolders, runFolder } from '../../src/machine/folders.ts'
import { openMachine, type Machine, type Started } from '../command-line.ts'
import { read, write } from './own-file.ts'

/** The daemon beside the commands, as a person uses both. */

/** As long as a busy computer takes. */
const eventually = (read: () => unknown) => expect.poll(read, { timeout: 30_000 })

const foldersOf = (machine: Machine) => homeFolders(join(machine.folder, 'home'))

async function startDaemon(machine: Machine, ...args: readonly string[]): Promise<Started> {
  machine.env['TIDEMARK_DAEMON_PORT'] = '0'
  const daemon = machine.start('daemon', ...args)
  await eventually(daemon.said).toContain('Tidemark daemon')
  return daemon
}

function makeFile(machine: Machine, name: string): string {
  const file = join(machine.folder, name)
  write(file, "CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT); INSERT INTO notes VALUES ('one', 'a')")
  return file
}

interface Status {
  readonly status: string
  readonly files: readonly {
    readonly file: string
    readonly running: boolean
    readonly state: string
    readonly space: string
  }[]
}
const statusOf = async (machine: Machine): Promise<Status> => (await machine.ask('sync', 'status')) as Status
const stateOf = async (machine: Machine, file: string): Promise<string> =>
  (await statusOf(machine)).files.find((one) => one.file === file)?.state ?? 'not listed'

/** When the file was last in step, asked of the daemon itself. */
async function lastSyncOf(machine: Machine, file: string): Promise<number> {
  const path = socketPath(runFolder(foldersOf(machine)), fileTag(file))
  const status = (await askControl(path, { command: 'status' })) as { readonly lastSyncAt: number } | null
  return status?.lastSyncAt ?? 0
}

test('what is attached, cloned, reset and detached beside a running daemon is in step, and none is told in_use', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  const daemon = await startDaemon(machine)
  expect(daemon.said()).toContain('Sync is off: no endpoint is set')
  await machine.ask('config', 'set', 'endpoint', cloud.url)
  await eventually(daemon.said).toContain('Sync is on')

  const file = makeFile(machine, 'notes.db')
  expect(await machine.tidemark('attach', file, '--yes')).toMatchObject({ code: 0, err: '' })
  await eventually(() => stateOf(machine, file)).toBe('synced')
  const copy = join(machine.folder, 'copy.db')
  expect(await machine.tidemark('clone', 'notes', copy)).toMatchObject({ code: 0, err: '' })
  await eventually(() => stateOf(machine, copy)).toBe('synced')

  for (const args of [['--yes'], ['--yes', '--rejoin'], ['--yes', '--overwrite']])
    expect(await machine.tidemark('sync', 'reset', file, ...args)).toMatchObject({ code: 0, err: '' })
  write(file, "INSERT INTO notes VALUES ('two', 'b')")
  await eventually(() => read(copy, 'SELECT count(*) FROM notes')).toBe(2)

  expect(await machine.tidemark('detach', copy, '--yes')).toMatchObject({ code: 0, err: '' })
  write(file, "INSERT INTO notes VALUES ('three', 'c')")
  expect(await machine.tidemark('sync', 'now', file)).toMatchObject({ code: 0 })
  expect(read(copy, 'SELECT count(*) FROM notes')).toBe(2)
  expect(read(copy, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%tidemark%'")).toBe(0)
  expect(await daemon.stop()).toMatchObject({ code: 0 })
})

test('D7, D9: settings are followed as they change, and a file that cannot be read changes nothing', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  await machine.ask('config', 'set', 'endpoint', cloud.url)
  const file = makeFile(machine, 'notes.db')
  await machine.ask('attach', file, '--yes')
  const daemon = await startDaemon(machine)
  await eventually(() => stateOf(machine, file)).toBe('synced')

  await machine.ask('config', 'set', 'sync_enabled', 'false')
  await eventually(() => stateOf(machine, file)).toBe('stopped')
  await eventually(async () => (await statusOf(machine)).status).toBe('Disabled')
  await machine.ask('config', 'set', 'sync_enabled', 'true')
  await eventually(() => stateOf(machine, file)).toBe('synced')

  const { config } = foldersOf(machine)
  const good = readFileSync(config, 'utf8')
  writeFileSync(config, '{ "profiles": {')
  await eventually(daemon.said).toContain('The configuration cannot be read')
  const before = await lastSyncOf(machine, file)
  write(file, "INSERT INTO notes VALUES ('two', 'b')")
  await eventually(() => lastSyncOf(machine, file)).toBeGreaterThan(before)
  expect(daemon.said().split('The configuration cannot be read').length).toBe(2)
  writeFileSync(config, good)
  await eventually(daemon.said).toContain('can be read again')
  await eventually(() => stateOf(machine, file)).toBe('synced')
  expect(readFileSync(config, 'utf8')).toBe(good)
  expect((await daemon.stop()).code).toBe(0)
})

test("agents.db is put under sync by itself, with its nine tables, and joins what another device's daemon has", async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  await using other = await openMachine()
  for (const one of [machine, other]) {
    await one.ask('config', 'set', 'endpoint', cloud.url)
    const token = await machine.tidemark('cloud', 'token', 'create', '--data', join(machine.folder, 'cloud'))
    await one.ask('config', 'set', 'token', token.out.trim())
  }
  const daemon = await startDaemon(machine)
  const mine = foldersOf(machine).agents
  await eventually(() => stateOf(machine, mine)).toBe('synced')
  write(mine, "INSERT INTO sessions (id, title, created_at, updated_at) VALUES ('s1', 'first', 1, 1)")
  const second = await startDaemon(other)
  const theirs = foldersOf(other).agents
  write(theirs, "INSERT INTO sessions (id, title, created_at, updated_at) VALUES ('s2', 'second', 1, 1)")
  for (const file of [mine, theirs])
    await eventually(() => read(file, 'SELECT count(*) FROM sessions')).toBe(2)
  expect(listAttachments(foldersOf(machine))).toMatchObject([{ file: mine, space: 'agents' }])
  // Taken off by hand it stays off, also with the next start.
  expect((await machine.tidemark('detach', mine, '--yes')).code).toBe(0)
  await machine.ask('config', 'set', 'sync_interval', '1')
  expect((await daemon.stop()).code).toBe(0)
  const again = await startDaemon(machine)
  expect(listAttachments(foldersOf(machine))).toEqual([])
  expect((await again.stop()).code).toBe(0)
  expect((await second.stop()).code).toBe(0)
})

test('D8: a second daemon of the folder is refused, and told who runs', async () => {
  await using machine = await openMachine()
  const daemon = await startDaemon(machine)
  const { code, err } = await machine.tidemark('daemon')
  expect(code).toBe(1)
  expect(err).toContain(`process ${process.pid}`)
  expect(err).toContain('since 20')
  expect((await daemon.stop()).code).toBe(0)
})
