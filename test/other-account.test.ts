import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { startFaultyServer } from '../src/testing/faulty-server.ts'
import { openMachine, type Machine } from './command-line.ts'

/** Whose cloud a file's rows go to: that of the profile it is attached under, and no other account's. */

function write(file: string, sql: string): void {
  const database = new Database(file)
  database.exec(sql)
  database.close()
}

const makeFile = ({ folder }: Machine, name: string): string => {
  const file = join(folder, name)
  write(file, "CREATE TABLE notes (id TEXT PRIMARY KEY); INSERT INTO notes VALUES ('mine')")
  return file
}

const tokenOf = async (machine: Machine, account: string): Promise<string> => {
  const data = join(machine.folder, 'cloud')
  return (await machine.tidemark('cloud', 'token', 'create', '--data', data, '--account', account)).out.trim()
}

const spacesOf = async (machine: Machine): Promise<readonly { account: string; records: number }[]> => {
  const value = await machine.ask('cloud', 'spaces', '--data', join(machine.folder, 'cloud'))
  return (value as { readonly spaces: readonly { account: string; records: number }[] }).spaces
}

test('a file in step with one account is offered to no other, until a person says so', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  await machine.tidemark('config', 'set', 'endpoint', cloud.url)
  const ours = await tokenOf(machine, 'ours')
  await machine.tidemark('config', 'set', 'token', ours)
  const file = makeFile(machine, 'app.db')
  await machine.ask('attach', file, '--space', 'notes', '--yes')

  await machine.tidemark('config', 'set', 'token', await tokenOf(machine, 'theirs'))
  write(file, "INSERT INTO notes VALUES ('secret')")
  const refused = await machine.tidemark('sync', 'now')
  expect(refused.code).toBe(1)
  expect(refused.err).toContain('another account')
  expect(refused.err).toContain('sync reset FILE --rejoin')
  expect((await machine.tidemark('sync', 'status')).out).toMatch(/last seen blocked: .*another account/)
  const rowsOf = async (account: string): Promise<number> =>
    (await spacesOf(machine)).reduce((sum, space) => sum + (space.account === account ? space.records : 0), 0)
  expect([await rowsOf('ours'), await rowsOf('theirs')]).toEqual([1, 0])

  // Another token of the same account is none of that, and neither is the first one again.
  for (const token of [ours, await tokenOf(machine, 'ours')]) {
    await machine.tidemark('config', 'set', 'token', token)
    write(file, `INSERT INTO notes VALUES ('${token.length}${token.slice(-4)}')`)
    expect(await machine.ask('sync', 'now')).toMatchObject({ files: [{ result: { pulled: 0 } }] })
  }
  expect([await rowsOf('ours'), await rowsOf('theirs')]).toEqual([4, 0])

  await machine.tidemark('config', 'set', 'token', await tokenOf(machine, 'theirs'))
  expect((await machine.tidemark('sync', 'now')).code).toBe(1)
  await machine.ask('sync', 'reset', file, '--rejoin', '--yes')
  await machine.ask('sync', 'now')
  expect([await rowsOf('ours'), await rowsOf('theirs')]).toEqual([4, 4])
  // It was said for that time.
  await machine.tidemark('config', 'set', 'token', await tokenOf(machine, 'third'))
  expect((await machine.tidemark('sync', 'now')).code).toBe(1)
})

test('a file goes to the endpoint of its own profile, whichever one is in use', async () => {
  await using machine = await openMachine()
  await using home = await startFaultyServer((_, response) => response.writeHead(500).end())
  machine.env['TIDEMARK_PROFILE'] = 'work'
  await machine.tidemark('config', 'profiles', 'add', 'work')
  const cloud = await machine.serve()
  await machine.tidemark('config', 'set', 'endpoint', cloud.url)
  const file = makeFile(machine, 'app.db')
  await machine.ask('attach', file, '--space', 'notes', '--yes')
  delete machine.env['TIDEMARK_PROFILE']
  await machine.tidemark('config', 'set', 'endpoint', home.url)
  await machine.tidemark('config', 'set', 'token', 'home')

  write(file, "INSERT INTO notes VALUES ('a')")
  for (const args of [
    ['sync', 'now', file],
    ['sync', 'status', file],
    ['sync', 'reset', file, '--yes'],
    ['run', file],
    ['attach', file],
    ['clone', 'notes', file],
    ['quarantine', 'list', file],
    ['conflicts', 'list', file],
  ]) {
    const { code, err } = await machine.tidemark('--profile', 'default', ...args)
    expect([code, err]).toEqual([
      2,
      expect.stringContaining('is under sync in the profile work: say --profile work'),
    ])
  }
  expect((await machine.tidemark('sync', 'now')).err).toContain('No file is under sync in this profile')
  expect((await machine.tidemark('sync', 'status', file)).out).toContain(
    `Profile: work\nEndpoint: ${cloud.url}`,
  )
  expect(await machine.ask('sync', 'now', file)).toMatchObject({ files: [{ result: { pushed: 1 } }] })
  write(file, "INSERT INTO notes VALUES ('b')")
  const running = machine.start('run', file)
  await expect.poll(running.said, { timeout: 20_000 }).toContain('1 sent')
  await running.stop()
  expect(home.requests).toEqual([])
  expect((await machine.tidemark('config', 'profiles', 'remove', 'work', '--yes')).err).toContain(file)
})
