import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { openMachine, type Machine } from './command-line.ts'

/** What the command line says when something is not as it should be: what, why, and what to do. */

const ENDPOINT = 'http://127.0.0.1:1'

function makeFile(machine: Machine, name: string, rows = 1): string {
  const file = join(machine.folder, name)
  const db = new Database(file)
  db.exec('CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)')
  for (let id = 1; id <= rows; id++) db.prepare('INSERT INTO notes VALUES (?, ?)').run(id, 'text')
  db.close()
  return file
}

async function openPair(machine: Machine): Promise<readonly [string, string]> {
  const cloud = await machine.serve()
  await machine.ask('config', 'set', 'endpoint', cloud.url)
  const files = [makeFile(machine, 'one.db'), join(machine.folder, 'two.db')] as const
  await machine.ask('attach', files[0], '--space', 's', '--yes')
  await machine.ask('clone', 's', files[1])
  return files
}

test('a file that is no database is called so, in words', async () => {
  await using machine = await openMachine()
  await machine.ask('config', 'set', 'endpoint', ENDPOINT)
  const text = join(machine.folder, 'text.db')
  writeFileSync(text, 'not a database, but long enough to be looked at as one'.repeat(30))
  const folder = join(machine.folder, 'folder.db')
  mkdirSync(folder)
  for (const file of [text, folder]) {
    const { code, err } = await machine.tidemark('attach', file, '--yes')
    expect(code).toBe(1)
    expect(err).toContain('tidemark: The file is not an SQLite database, or is damaged')
    expect(err).toContain(`file: ${file}`)
    expect(err).not.toContain('SQLITE_')
  }
})

test('tables that are not there are named', async () => {
  await using machine = await openMachine()
  await machine.ask('config', 'set', 'endpoint', ENDPOINT)
  const file = makeFile(machine, 'one.db')
  const { code, err } = await machine.tidemark('attach', file, '--tables', 'notes,nopes', '--yes')
  expect(code).toBe(1)
  expect(err).toContain('there is no such table')
  expect(err).toContain('missing: nopes')
})

test('hints are about the command, not about the API', async () => {
  await using machine = await openMachine()
  for (const args of [
    ['config', 'get', 'token'],
    ['cloud', 'token', 'revoke', 'nope'],
  ]) {
    const { code, err } = await machine.tidemark(...args)
    expect(code).toBe(1)
    expect(err).not.toContain('API page')
  }
})

test('a database that cannot be had says why, to people and to programs', async () => {
  await using machine = await openMachine()
  const args = ['cloud', 'spaces', '--database', 'postgres://127.0.0.1:1/cloud']
  const { code, err } = await machine.tidemark(...args)
  expect([code, err]).toMatchObject([3, expect.stringContaining('reason: connect ECONNREFUSED 127.0.0.1:1')])
  const told = await machine.tidemark('--json', ...args)
  const error = { code: 'unavailable', details: { reason: 'connect ECONNREFUSED 127.0.0.1:1' } }
  expect([told.code, JSON.parse(told.out)]).toMatchObject([3, { error }])
})

test('what an operator misspelt is told, and never another cloud taken or made', async () => {
  await using machine = await openMachine()
  for (const [why, ...args] of [
    ['--database names nothing', 'token', 'create', '--database', ''],
    ['--data names nothing', 'token', 'create', '--data', ''],
    ["too many arguments for 'check'", 'check', 'twice'],
    ['(see tidemark cloud check --help)', 'check', '--nodes', 'two'],
    ['(see tidemark cloud token create --help)', 'token', 'create', '--days', '0'],
    ["too many arguments for 'list'", 'token', 'list', 'all'],
    ['there is no scope of that name', 'token', 'create', '--scopes', 'read,wirte'],
    ['no space can have the name ""', 'token', 'create', '--spaces', 'a,,b'],
    ['cloud has no command "chek"; it has token, check, begin-generation, views', 'chek'],
  ] as const) {
    const { code, out, err } = await machine.tidemark('cloud', ...args)
    expect([code, out, err]).toEqual([2, '', expect.stringContaining(why) as string])
  }
  const nowhere = join(machine.folder, 'nowhere')
  const { code, err } = await machine.tidemark('cloud', '--data', nowhere, 'token', 'revoke', 'id')
  expect([code, err]).toEqual([1, expect.stringContaining('there is no token with this id') as string])
  expect([nowhere, join(machine.folder, 'home/cloud')].filter((path) => existsSync(path))).toEqual([])
})

test('a cloud says where its data is, and when what it serves can be read on the way', async () => {
  await using machine = await openMachine()
  const said = async (...args: readonly string[]): Promise<string> => {
    const cloud = machine.start('cloud', '--port', '0', ...args)
    await expect.poll(cloud.said).toContain('Make a token')
    await cloud.stop()
    return cloud.said()
  }
  const plain = await said()
  expect(plain).toContain(`Data in ${join(machine.folder, 'home/cloud')}\n`)
  expect(plain).not.toContain('unencrypted')
  expect(await said('--host', '0.0.0.0')).toContain('unencrypted')
  expect(await said('--host', '0.0.0.0', '--trust-proxy', '1')).not.toContain('unencrypted')
})

test('who revokes a token hears of the devices that have one of their own by it', async () => {
  await using machine = await openMachine()
  await openPair(machine)
  const token = ['cloud', '--data', join(machine.folder, 'cloud'), 'token'] as const
  const { tokens } = (await machine.ask(...token, 'list')) as {
    readonly tokens: readonly { readonly id: string; readonly device?: string }[]
  }
  const [first] = tokens.filter(({ device }) => device === undefined)
  const [own] = tokens.filter(({ device }) => device !== undefined)
  expect((await machine.tidemark(...token, 'list')).out).toContain("(a device's own)")
  expect((await machine.tidemark(...token, 'revoke', first?.id ?? '')).err).toContain(
    'The account has 1 of them',
  )
  expect((await machine.tidemark('sync', 'now')).code).toBe(0)
  expect((await machine.tidemark(...token, 'revoke', own?.id ?? '')).err).toBe('')
  expect((await machine.tidemark('sync', 'now')).code).toBe(4)
})

test('an endpoint with a path that is none of the cloud is told to be looked at', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  await machine.ask('config', 'set', 'endpoint', `${cloud.url}/api`)
  const { code, err } = await machine.tidemark('attach', makeFile(machine, 'one.db'), '--yes')
  expect([code, err]).toEqual([1, expect.stringContaining('the path of the endpoint') as string])
})

test('an address that cannot be listened on is named, and what to do', async () => {
  await using machine = await openMachine()
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  try {
    const { port } = other.address() as AddressInfo
    const taken = await machine.tidemark('cloud', '--port', String(port))
    expect(taken.code).toBe(1)
    expect(taken.err).toContain(`127.0.0.1:${port} is taken`)
    expect(taken.err).toContain('--port')
    const foreign = await machine.tidemark('cloud', '--host', '192.0.2.1', '--port', '0')
    expect(foreign.code).toBe(1)
    expect(foreign.err).toContain('192.0.2.1')
    for (const { err } of [taken, foreign]) expect(err).not.toMatch(/\n\s+at /)
  } finally {
    other.close()
  }
})

test('lists without a file are of all files, and each entry names its own', async () => {
  await using machine = await openMachine()
  const [one, two] = await openPair(machine)
  for (const [file, text] of [
    [one, 'here'],
    [two, 'there'],
  ] as const) {
    const db = new Database(file)
    db.prepare('UPDATE notes SET text = ?').run(text)
    db.close()
  }
  await machine.ask('sync', 'now')
  await machine.ask('sync', 'now')
  const { conflicts } = (await machine.ask('conflicts', 'list')) as {
    readonly conflicts: readonly { readonly id: string; readonly file: string }[]
  }
  expect(conflicts.map(({ file }) => file)).toEqual([two])
  expect((await machine.tidemark('conflicts', 'list')).out).toContain(two)
  expect(await machine.ask('quarantine', 'list')).toEqual({ quarantine: [] })
  const [id = ''] = conflicts.map((entry) => entry.id)
  const shown = await machine.tidemark('conflicts', 'show', id)
  expect(shown.out).toContain(`tidemark conflicts dismiss ${id}`)
  expect((await machine.tidemark('conflicts', 'show', id, '--file', one)).code).toBe(1)
  expect((await machine.tidemark('conflicts', 'show', 'nope')).err).toContain('no file under sync has')
  await machine.ask('conflicts', 'dismiss', id)
  expect((await machine.tidemark('conflicts', 'show', id)).out).not.toContain('tidemark conflicts dismiss')
})

test('I9: a file that is gone is told, and the others are synced', async () => {
  await using machine = await openMachine()
  const [one, two] = await openPair(machine)
  rmSync(one)
  const db = new Database(two)
  db.prepare('INSERT INTO notes VALUES (?, ?)').run(2, 'text')
  db.close()
  const { code, err, out } = await machine.tidemark('sync', 'now')
  expect(code).toBe(1)
  expect(err).toContain(one)
  expect(err).toContain('tidemark detach')
  expect(out).toContain(`${two}: 1 sent`)
  expect((await machine.tidemark('sync', 'status')).out).toContain('tidemark detach')
})

test('I9: run keeps the others in step while a file is gone, and ends in order', async () => {
  await using machine = await openMachine()
  const [one, two] = await openPair(machine)
  rmSync(one)
  const running = machine.start('run')
  await expect.poll(running.said).toContain('Keeping in step')
  expect(running.said()).toContain(`${one}: There is no such file. If it was moved: tidemark attach`)
  const second = await machine.tidemark('run')
  expect(second.code).toBe(1)
  expect(second.err).toContain(`process ${process.pid} is already at work here`)
  const db = new Database(two)
  db.prepare('INSERT INTO notes VALUES (?, ?)').run(2, 'text')
  db.close()
  await expect.poll(running.said).toContain(`${two}: 1 sent`)
  expect(await running.stop()).toMatchObject({ code: 0 })
  rmSync(two)
  expect((await machine.tidemark('run')).code).toBe(1)
})

test('equal is said of all rows that can be synced', async () => {
  await using machine = await openMachine()
  const file = join(machine.folder, 'uses.db')
  const db = new Database(file)
  db.exec(
    `CREATE TABLE uses (authority TEXT, code INT, text TEXT, PRIMARY KEY (authority, code));
     INSERT INTO uses VALUES ('a', 1, 'one'), ('a', NULL, 'two'), (NULL, NULL, 'three')`,
  )
  db.close()
  const { code, out } = await machine.tidemark('up', '--file', file, '--until-equal', '--yes', '--port', '0')
  expect(out).toContain('Equal: 1 row')
  expect(code).toBe(0)
  const again = await machine.tidemark('up', '--file', file, '--until-equal', '--port', '0')
  expect(again.out).toContain('nothing to do')
})

test('I11: up goes on when the folder of its cloud is gone', async () => {
  await using machine = await openMachine()
  const file = makeFile(machine, 'mine.db', 20)
  const up = ['up', '--file', file, '--until-equal', '--yes', '--port', '0']
  expect((await machine.tidemark(...up)).code).toBe(0)
  rmSync(join(machine.folder, 'home/cloud'), { recursive: true })
  const { code, out, err } = await machine.tidemark(...up)
  expect(err).toBe('')
  expect(code).toBe(0)
  expect(out).toContain('Equal: 20 rows')
})

test('the status of a file that nothing runs for says why it was blocked', async () => {
  await using machine = await openMachine()
  const [one] = await openPair(machine)
  const cloud = ['cloud', '--data', join(machine.folder, 'cloud'), 'token'] as const
  const { tokens } = (await machine.ask(...cloud, 'list')) as {
    readonly tokens: readonly { readonly id: string }[]
  }
  for (const { id } of tokens) await machine.ask(...cloud, 'revoke', id)
  expect((await machine.tidemark('sync', 'now', one)).code).toBe(4)
  const { out } = await machine.tidemark('sync', 'status', one)
  expect(out).toContain('last seen blocked: Authentication failed: the token was revoked')
  const health = await machine.tidemark('doctor')
  expect(health.code).toBe(1)
  expect(health.out).toContain(`PROBLEM ${one}: its last sync was blocked: Authentication failed`)
})

test('a space whose name cannot be one is refused before anything is changed', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  await machine.ask('config', 'set', 'endpoint', cloud.url)
  const file = makeFile(machine, 'one.db', 0)
  for (const args of [
    ['attach', file, '--space', 'bad space', '--yes'],
    ['clone', 'bad space', join(machine.folder, 'two.db')],
  ]) {
    const { code, err } = await machine.tidemark(...args)
    expect(code).toBe(2)
    expect(err).toContain('the name of a space is')
  }
  const { files } = (await machine.ask('sync', 'status')) as { readonly files: readonly unknown[] }
  expect(files).toEqual([])
  await machine.ask('attach', file, '--space', 'good', '--yes')
})

test('a first sync that does not end leaves a file that goes on later, and says so', async () => {
  await using machine = await openMachine()
  await machine.ask('config', 'set', 'endpoint', ENDPOINT)
  const file = makeFile(machine, 'one.db')
  const { code, err } = await machine.tidemark('attach', file, '--merge', '--yes')
  expect(code).toBe(3)
  expect(err).toContain(`${file} is under sync`)
  expect(err).toContain('tidemark run')
  const cloud = await machine.serve()
  await machine.ask('config', 'set', 'endpoint', cloud.url)
  expect((await machine.tidemark('sync', 'now')).out).toContain('1 sent')
})

test('detach says when another program keeps the journal mode from being put back', async () => {
  await using machine = await openMachine()
  const [one, two] = await openPair(machine)
  const other = new Database(one)
  other.pragma('journal_mode')
  const { code, err } = await machine.tidemark('detach', one, '--yes')
  expect(code).toBe(0)
  expect(err).toContain('PRAGMA journal_mode')
  other.close()
  expect((await machine.tidemark('detach', two, '--yes')).err).toBe('')
})

test('what the system refuses of a path is told as such, and is no failure of the program', async () => {
  await using machine = await openMachine()
  const text = join(machine.folder, 'text')
  writeFileSync(text, 'text')
  for (const args of [
    ['cloud', '--port', '0', '--data', text],
    ['--home', join(text, 'home'), 'config', 'set', 'endpoint', ENDPOINT],
  ]) {
    const { code, err } = await machine.tidemark(...args)
    expect(code).toBe(1)
    expect(err).toMatch(/cannot be used: (something else is there already|a part of the path is no folder)/)
    expect(err).not.toMatch(/The server failed|Something failed that|\n\s+at /)
  }
})

test('what nobody said yes to changes nothing, and asks for --yes', async () => {
  await using machine = await openMachine()
  const [one] = await openPair(machine)
  const other = makeFile(machine, 'other.db')
  for (const args of [
    ['attach', other],
    ['detach', one],
    ['sync', 'reset', one],
  ]) {
    const { code, out } = await machine.tidemark('--json', ...args)
    expect(code).toBe(1)
    expect(JSON.parse(out)).toMatchObject({ error: { code: 'not_confirmed', retry: false } })
    expect((await machine.tidemark(...args)).err).toContain('--yes')
  }
  expect((await machine.tidemark('detach', other)).err).toContain('not under sync')
})

test('with --json what was not understood is one JSON value too', async () => {
  await using machine = await openMachine()
  for (const args of [
    ['bogus'],
    ['attach', '--bogus', 'x'],
    ['attach'],
    [],
    ['sync'],
    ['cloud', '--port', 'x'],
  ]) {
    const { code, out, err } = await machine.tidemark('--json', ...args)
    expect(code).toBe(2)
    expect(JSON.parse(out)).toMatchObject({ error: { code: 'bad_usage' } })
    expect(err).toBe('')
  }
})

test('the cloud says how to make a token for the folder that it serves', async () => {
  await using machine = await openMachine()
  const data = join(machine.folder, 'my cloud')
  const cloud = machine.start('cloud', '--port', '0', '--data', data)
  await expect.poll(cloud.said).toContain(`tidemark cloud token create --data '${data}'`)
  await cloud.stop()
  expect((await machine.tidemark('cloud', 'token', 'create', '--data', data)).out).toMatch(/^tm_/)
})

test('an empty file that joins a space is filled, and said to be', async () => {
  await using machine = await openMachine()
  await openPair(machine)
  const empty = makeFile(machine, 'empty.db', 0)
  const { out } = await machine.tidemark('attach', empty, '--space', 's', '--yes')
  expect(out).toContain('Downloading: 1 row')
})

test('the audit of a cloud says who did what, and a name steers no terminal', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  const data = join(machine.folder, 'cloud')
  await cloud.directory.ensureSpace('default', 'evil\u001b[2J\n\u202espace', 'someone')
  const { out } = await machine.tidemark('cloud', 'audit', '--data', data)
  const lines = out.trimEnd().split('\n')
  expect(lines).toHaveLength(2)
  expect(lines[0]).toMatch(
    /^\d{4}-[\dT:.-]+Z {2}token created {7}default {2}[\da-f-]{36} {2}by command line$/,
  )
  expect(lines[1]).toMatch(/ {2}space created {7}default {2}evil\?\[2J\?\?space {2}by someone$/)
  const told = (await machine.ask('cloud', 'audit', '--data', data, '--limit', '1')) as {
    readonly entries: readonly object[]
  }
  expect(told.entries).toMatchObject([{ action: 'space created', by: 'someone' }])
  const nowhere = join(machine.folder, 'nowhere')
  expect((await machine.tidemark('cloud', 'audit', '--data', nowhere)).out).toContain(nowhere)
  expect(existsSync(nowhere)).toBe(false)
})

test('to list the tokens of a cloud makes none', async () => {
  await using machine = await openMachine()
  const folder = join(machine.folder, 'misspelt')
  const { code, out } = await machine.tidemark('cloud', 'token', 'list', '--data', folder)
  expect(code).toBe(0)
  expect(out).toContain(folder)
  expect(existsSync(folder)).toBe(false)
})

test('of two clones into one path one stands whole, and the other takes nothing away', async () => {
  await using machine = await openMachine()
  const [, two] = await openPair(machine)
  for (let round = 0; round < 3; round++) {
    const file = join(machine.folder, `clone-${round}.db`)
    const done = await Promise.all([
      machine.tidemark('clone', 's', file),
      machine.tidemark('clone', 's', file),
    ])
    expect(done.map(({ code }) => code).sort()).toEqual([0, 1])
    expect(done.map(({ err }) => err).join('')).toContain('A file is already there')
    const db = new Database(file)
    expect(db.prepare('SELECT count(*) FROM notes').pluck().get()).toBe(1)
    db.close()
  }
  expect(existsSync(two)).toBe(true)
})

test('the status says of which table rows are parked, and why', async () => {
  await using machine = await openMachine()
  const [one, two] = await openPair(machine)
  const edit = (file: string, sql: string): void => {
    const db = new Database(file)
    db.exec(sql)
    db.close()
  }
  edit(two, 'DROP TABLE notes; CREATE TABLE notes (id INTEGER PRIMARY KEY, text INTEGER) STRICT')
  edit(one, "INSERT INTO notes VALUES (7, 'SECRET'), (8, 'SECRET too')")
  await machine.ask('sync', 'now', one)
  await machine.ask('sync', 'now', two)
  const told = 'parked: 2 rows of notes: type'
  const { out } = await machine.tidemark('sync', 'status', two)
  expect(out).toContain(told)
  expect(out).not.toContain('SECRET')
  const { files } = (await machine.ask('sync', 'status', two)) as {
    readonly files: readonly { readonly parked: readonly unknown[] }[]
  }
  expect(files[0]?.parked).toMatchObject([{ table: 'notes', rows: 2 }])
  const running = machine.start('run', two)
  await expect.poll(running.said).toContain('Keeping in step')
  expect((await machine.tidemark('sync', 'status', two)).out).toContain(told)
  await running.stop()
})

test('with --json what Ctrl-C ends is one JSON value too', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  await machine.ask('config', 'set', 'endpoint', cloud.url)
  const file = makeFile(machine, 'one.db')
  const { code, out } = await machine.start('--json', 'attach', file, '--yes').stop()
  expect(code).toBe(130)
  expect(JSON.parse(out)).toMatchObject({ error: { code: 'aborted' } })
})
