import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { POLL_MS } from '../src/engine/machine.ts'
import { createSelfSigned } from './cloud/self-signed.ts'
import { openMachine, type Machine } from './command-line.ts'
import { createWorld } from './devices/two-devices.ts'

/** Sync as a person steers it from the command line: origin 000, promise by promise (docs/origins.md). */

const BIN = join(import.meta.dirname, '../bin/tidemark.js')
const ENDPOINT = 'https://my-server.example'

const linesOf = async (machine: Machine, ...args: readonly string[]): Promise<readonly string[]> =>
  (await machine.tidemark(...args)).out.trimEnd().split('\n')

const statusOf = async (machine: Machine): Promise<readonly string[]> => {
  const lines = await linesOf(machine, 'sync', 'status')
  const end = lines.indexOf('')
  return end < 0 ? lines : lines.slice(0, end)
}

/** A cloud, and a file of 15 rows that is in step with it. */
async function serveSynced(machine: Machine) {
  const cloud = await machine.serve()
  await machine.tidemark('config', 'set', 'endpoint', cloud.url)
  const file = makeFile(machine)
  await machine.tidemark('attach', file, '--space', 'agents', '--yes')
  await machine.tidemark('sync', 'now')
  return { cloud, file }
}

/** A file with 3 sessions and 12 messages. */
function makeFile(machine: Machine, name = 'agents.db'): string {
  const file = join(machine.folder, name)
  write(
    file,
    `CREATE TABLE sessions (id TEXT PRIMARY KEY, title TEXT, updated_at INTEGER);
     CREATE TABLE messages (id TEXT PRIMARY KEY, session_id TEXT, text TEXT);`,
  )
  addRows(file, 'first')
  return file
}

function addRows(file: string, prefix: string): void {
  for (let at = 0; at < 3; at++) write(file, `INSERT INTO sessions VALUES ('${prefix}${at}', 'a title', 1)`)
  for (let at = 0; at < 12; at++) {
    write(file, `INSERT INTO messages VALUES ('${prefix}${at}', '${prefix}0', 'a text')`)
  }
}

function write(file: string, sql: string): void {
  const database = new Database(file)
  database.exec(sql)
  database.close()
}

function countRows(file: string): number {
  const database = new Database(file, { readonly: true })
  const count = database
    .prepare('SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM messages)')
    .pluck()
    .get()
  database.close()
  return Number(count)
}

interface NowAnswer {
  readonly files: readonly { readonly result: { readonly pushed: number; readonly pulled: number } }[]
}
const syncNow = async (machine: Machine): Promise<{ readonly pushed: number; readonly pulled: number }> => {
  const { files } = (await machine.ask('sync', 'now')) as NowAnswer
  const [first] = files
  if (first === undefined) throw new Error('nothing was synced')
  return first.result
}

test('sync is off until an endpoint is set, and setting one turns it on', async () => {
  await using machine = await openMachine()
  expect(await statusOf(machine)).toEqual([
    'Profile: default',
    'Endpoint: -',
    'Sync: Disabled (no endpoint is set)',
    'Status: Disabled',
  ])
  expect((await machine.tidemark('config', 'set', 'endpoint', ENDPOINT)).code).toBe(0)
  expect(await statusOf(machine)).toEqual([
    'Profile: default',
    `Endpoint: ${ENDPOINT}`,
    'Sync: Enabled (last sync: never)',
    'Status: Ready',
  ])
})

test('sync_enabled false turns sync off and keeps the endpoint', async () => {
  await using machine = await openMachine()
  await machine.tidemark('config', 'set', 'endpoint', ENDPOINT)
  await machine.tidemark('config', 'set', 'sync_enabled', 'false')
  expect(await statusOf(machine)).toEqual([
    'Profile: default',
    `Endpoint: ${ENDPOINT}`,
    'Sync: Disabled (sync_enabled is false)',
    'Status: Disabled',
  ])
  await machine.tidemark('config', 'set', 'sync_enabled', 'true')
  expect(await statusOf(machine)).toContain('Sync: Enabled (last sync: never)')
})

test('an endpoint that is unset is gone, and sync is off', async () => {
  await using machine = await openMachine()
  await machine.tidemark('config', 'set', 'endpoint', ENDPOINT)
  await machine.tidemark('config', 'unset', 'endpoint')
  expect(await statusOf(machine)).toContain('Sync: Disabled (no endpoint is set)')
  expect((await machine.ask('config', 'get', 'endpoint')) as object).toMatchObject({ value: null })
})

test('CLANKERS_SYNC_ENABLED=false wins over everything', async () => {
  await using machine = await openMachine()
  await machine.tidemark('config', 'set', 'endpoint', ENDPOINT)
  await machine.tidemark('config', 'set', 'sync_enabled', 'true')
  machine.env['CLANKERS_SYNC_ENABLED'] = 'false'
  expect(await statusOf(machine)).toContain('Sync: Disabled (CLANKERS_SYNC_ENABLED is false)')
  const { code, err } = await machine.tidemark('sync', 'now', makeFile(machine))
  expect(code).not.toBe(0)
  expect(err).not.toBe('')
})

test('without settings there is no endpoint, 30 seconds between polls, and batches that begin at 100', async () => {
  await using machine = await openMachine()
  const lines = await linesOf(machine, 'config', 'list')
  expect(lines.find((line) => line.startsWith('endpoint'))).toMatch(/^endpoint\s+-\s+default$/)
  expect(lines.find((line) => line.startsWith('sync_interval'))).toMatch(/^sync_interval\s+30\s+default$/)
  expect(lines.find((line) => line.startsWith('sync_enabled'))).toMatch(/^sync_enabled\s+-\s+default$/)
  expect(lines.find((line) => line.startsWith('sync_batch_size'))).toMatch(/^sync_batch_size\s+-\s+default$/)
})

test.each([
  ['CLANKERS_ENDPOINT', 'endpoint', 'http://other.example', ENDPOINT],
  ['CLANKERS_SYNC_INTERVAL', 'sync_interval', '7', '60'],
  ['CLANKERS_SYNC_BATCH_SIZE', 'sync_batch_size', '9', '500'],
  ['CLANKERS_SYNC_ENABLED', 'sync_enabled', 'false', 'true'],
])('%s wins over the file, and is never written into it', async (variable, setting, value, kept) => {
  await using machine = await openMachine()
  await machine.tidemark('config', 'set', setting, kept)
  machine.env[variable] = value
  expect((await machine.tidemark('config', 'get', setting)).out).toBe(`${value}\n`)
  expect((await machine.tidemark('config', 'get', setting, '--origin')).out).toContain(variable)
  await machine.tidemark('config', 'set', 'token', 'secret')
  delete machine.env[variable]
  expect((await machine.tidemark('config', 'get', setting)).out).toBe(`${kept}\n`)
})

test('the configuration file has the documented shape, and what it does not know stays', async () => {
  await using machine = await openMachine()
  await machine.tidemark('config', 'set', 'endpoint', ENDPOINT)
  const file = join(machine.folder, 'home/config.json')
  const documented = {
    profiles: {
      default: { sync_enabled: true, endpoint: ENDPOINT, auth: 'none', sync_interval: 45, mine: [1] },
      work: { endpoint: 'https://work.example' },
    },
    active_profile: 'default',
  }
  writeFileSync(file, JSON.stringify(documented))
  expect(await statusOf(machine)).toContain(`Endpoint: ${ENDPOINT}`)
  expect((await machine.tidemark('config', 'get', 'sync_interval')).out).toBe('45\n')
  expect((await machine.tidemark('--profile', 'work', 'config', 'get', 'endpoint')).out).toBe(
    'https://work.example\n',
  )
  await machine.tidemark('config', 'set', 'sync_enabled', 'false')
  documented.profiles.default.sync_enabled = false
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(documented)

  writeFileSync(file, JSON.stringify({ ...documented, active_profile: 'work' }))
  expect(await statusOf(machine)).toContain('Endpoint: https://work.example')
})

test('status counts what waits, per table, and how long ago the last sync was', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  await machine.tidemark('config', 'set', 'endpoint', cloud.url)
  const file = makeFile(machine)
  expect((await machine.tidemark('attach', file, '--space', 'agents', '--yes')).code).toBe(0)
  await machine.tidemark('sync', 'now')
  expect(await statusOf(machine)).toEqual([
    'Profile: default',
    `Endpoint: ${cloud.url}`,
    expect.stringMatching(/^Sync: Enabled \(last sync: (just now|\d+ seconds? ago)\)$/),
    'Status: Synced',
  ])
  addRows(file, 'second')
  expect(await statusOf(machine)).toEqual([
    'Profile: default',
    `Endpoint: ${cloud.url}`,
    expect.stringMatching(/^Sync: Enabled \(last sync: /),
    'Records pending: 12 messages, 3 sessions',
    'Status: Pending',
  ])
  const { files } = (await machine.ask('sync', 'pending')) as { files: unknown[] }
  expect(files).toMatchObject([{ pending: { messages: 12, sessions: 3 } }])
  expect((await machine.tidemark('sync', 'pending', '--verbose')).out).toContain(
    'put    sessions ["second0"]',
  )
})

test('sync now sends only what changed, at once', async () => {
  await using machine = await openMachine()
  const { file } = await serveSynced(machine)
  expect(await syncNow(machine)).toMatchObject({ pushed: 0, pulled: 0 })
  write(file, `UPDATE sessions SET title = 'another' WHERE id = 'first1'`)
  write(file, `DELETE FROM messages WHERE id = 'first2'`)
  expect(await syncNow(machine)).toMatchObject({ pushed: 2, pulled: 0 })
  expect(await syncNow(machine)).toMatchObject({ pushed: 0, pulled: 0 })
})

test('I1: changes made while the cloud is away wait, nothing is lost, and all is sent when it is back', async () => {
  await using machine = await openMachine()
  const { cloud, file } = await serveSynced(machine)
  const last = async (): Promise<unknown> =>
    ((await machine.ask('sync', 'status')) as { last_sync: unknown }).last_sync
  const before = await last()

  await cloud.close()
  addRows(file, 'second')
  const { code, err } = await machine.tidemark('sync', 'now')
  expect(code).toBe(3)
  expect(err).toContain('cannot be reached')
  expect(countRows(file)).toBe(30)
  expect(await statusOf(machine)).toContain('Records pending: 12 messages, 3 sessions')
  expect(await last()).toBe(before)

  await machine.serve(cloud.port)
  expect(await syncNow(machine)).toMatchObject({ pushed: 15 })
  expect(countRows(file)).toBe(30)
  const copy = join(machine.folder, 'copy.db')
  await machine.tidemark('clone', 'agents', copy)
  await machine.tidemark('sync', 'now')
  expect(countRows(copy)).toBe(30)
})

test('sync reset asks first; then the next sync reads everything again and loses nothing', async () => {
  await using machine = await openMachine()
  const { file } = await serveSynced(machine)
  addRows(file, 'second')
  expect((await machine.tidemark('sync', 'reset')).code).not.toBe(0)
  expect((await machine.tidemark('sync', 'reset', '--yes')).code).toBe(0)
  expect(await syncNow(machine)).toMatchObject({ pushed: 15 })
  expect(countRows(file)).toBe(30)
  expect(await syncNow(machine)).toMatchObject({ pushed: 0, pulled: 0 })
})

test('nothing is sent while sync is off, and then to the endpoint only', async () => {
  const asked: string[] = []
  const server = createServer((request, answer) => {
    asked.push(request.url ?? '')
    answer.writeHead(500).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    await using machine = await openMachine()
    const { file } = await serveSynced(machine)

    const { port } = server.address() as AddressInfo
    await machine.tidemark('config', 'set', 'endpoint', `http://127.0.0.1:${port}`)
    await machine.tidemark('config', 'set', 'sync_enabled', 'false')
    addRows(file, 'second')
    for (const command of ['now', 'status', 'pending']) await machine.tidemark('sync', command)
    expect((await machine.tidemark('run')).code).not.toBe(0)
    expect((await machine.tidemark('clone', 'agents', join(machine.folder, 'copy.db'))).code).not.toBe(0)
    expect(asked).toEqual([])

    await machine.tidemark('config', 'unset', 'sync_enabled')
    expect((await machine.tidemark('sync', 'now')).code).not.toBe(0)
    expect(asked.length).toBeGreaterThan(0)
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

test('an endpoint with TLS is synced with, and one whose certificate nobody vouches for is not', async () => {
  await using machine = await openMachine()
  const { key, cert } = createSelfSigned()
  const [keyFile, certFile] = [join(machine.folder, 'key.pem'), join(machine.folder, 'cert.pem')]
  writeFileSync(keyFile, key)
  writeFileSync(certFile, cert)
  const cloud = await machine.serve(0, { keyFile, certFile })
  expect(cloud.url).toMatch(/^https:/)
  await machine.tidemark('config', 'set', 'endpoint', `https://localhost:${cloud.port}`)
  const file = makeFile(machine)

  // Certificates that a person trusts are read when a process starts: this needs one of its own.
  const home = join(machine.folder, 'home')
  const attach = (env: NodeJS.ProcessEnv): Promise<unknown> =>
    promisify(execFile)(process.execPath, [BIN, '--home', home, 'attach', file, '--space', 's', '--yes'], {
      env,
    })
  await expect(attach({ PATH: process.env['PATH'] })).rejects.toMatchObject({
    code: 3,
    stderr: expect.stringContaining('cannot be reached') as string,
  })
  await machine.tidemark('detach', file, '--yes')
  await attach({ PATH: process.env['PATH'], NODE_EXTRA_CA_CERTS: certFile })
  expect(await statusOf(machine)).toContain('Status: Synced')
})

test('the poll finds what no wake-up told of, every 30 seconds unless told otherwise', async () => {
  expect(POLL_MS).toBe(30_000)
  await using world = createWorld()
  const a = await world.device('a')
  const deaf = await world.device('b', { listen: false, pollMs: 20 })
  a.database.write((app) => app.insert('notes', { id: 'n', title: 't', body: 'b' }))
  await a.sync()
  await expect.poll(() => deaf.database.rows('notes')).toEqual([{ id: 'n', title: 't', body: 'b' }])
})
