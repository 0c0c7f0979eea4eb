import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { openMachine } from '../command-line.ts'

/** Settings and profiles as a person uses them from the command line. */

const ENDPOINT = 'https://cloud.example'

test.each([
  [['sync', 'status']],
  [['sync', 'now']],
  [['sync', 'pending']],
  [['sync', 'reset', '--yes']],
  [['run']],
  [['attach', 'FILE', '--yes']],
  [['clone', 'space', 'FILE2']],
  [['conflicts', 'list']],
  [['quarantine', 'list']],
  [['config', 'get', 'endpoint']],
  [['config', 'list']],
  [['config', 'unset', 'endpoint']],
  [['config', 'profiles', 'use', 'tpyo']],
  [['doctor']],
  [['whoami']],
  [['devices', 'list']],
  [['logout']],
])('%j with a profile that is not there says which there are, and does nothing', async (args) => {
  await using machine = await openMachine()
  const file = join(machine.folder, 'app.db')
  new Database(file).exec('CREATE TABLE t (id PRIMARY KEY)').close()
  await machine.tidemark('config', 'profiles', 'add', 'work')
  const named = args.map((arg) => (arg === 'FILE' ? file : arg === 'FILE2' ? `${file}2` : arg))
  for (const place of [
    ['--profile', 'tpyo', ...named],
    [...named, '--profile', 'tpyo'],
  ]) {
    const { code, err } = await machine.tidemark(...place)
    expect(err).toContain('there is no profile tpyo; there are default, work')
    expect(code).toBe(2)
  }
  machine.env['CLANKERS_PROFILE'] = 'tpyo'
  expect((await machine.tidemark(...named)).code).toBe(2)
})

test('profiles are added, listed, used, copied and removed', async () => {
  await using machine = await openMachine()
  const say = async (...args: readonly string[]) => {
    const { code, out, err } = await machine.tidemark(...args)
    return `${code} ${out}${err}`
  }
  expect(await say('config', 'profiles', 'list')).toBe('0 default (in use)\n')
  expect(await say('config', 'set', 'endpoint', ENDPOINT, '--profile', 'work')).toBe(
    '0 endpoint is set (new profile work).\n',
  )
  expect(await say('config', 'set', 'token', 'hidden', '--profile', 'work')).toBe(
    '0 token is set (profile work).\n',
  )
  expect(await say('config', 'profiles', 'add', 'copy', '--copy', 'work')).toMatch(/^0 .*not its token/)
  expect(await say('config', 'profiles', 'use', 'copy')).toBe('0 The profile copy is in use.\n')
  expect(await say('config', 'get', 'endpoint')).toBe(`0 ${ENDPOINT}\n`)
  expect(await say('config', 'get', 'token')).toMatch(/^1 .*token is not set/)
  expect(await machine.ask('config', 'profiles', 'list')).toEqual({
    profiles: [
      { name: 'default', active: false },
      { name: 'work', active: false },
      { name: 'copy', active: true },
    ],
  })
  expect(await say('config', 'profiles', 'remove', 'copy', '--yes')).toMatch(/^2 .*in use/)
  expect(await say('config', 'profiles', 'remove', 'work')).toMatch(/^1 .*nobody said yes/)
  const secrets = join(machine.folder, 'home/secrets.json')
  expect(readFileSync(secrets, 'utf8')).toContain('hidden')
  expect(await say('config', 'profiles', 'remove', 'work', '--yes')).toBe('0 The profile work is removed.\n')
  expect(readFileSync(secrets, 'utf8')).not.toContain('hidden')
  machine.env['TIDEMARK_PROFILE'] = 'default'
  expect(await say('config', 'profiles', 'list')).toContain('TIDEMARK_PROFILE is set and wins: default')
})

test('settings and their files: origins, secrets, notes, and a broken file that is left as it is', async () => {
  await using machine = await openMachine()
  const file = join(machine.folder, 'home/config.json')
  expect((await machine.tidemark('config', 'set', 'auth', 'mtls')).err).toContain('mtls is not there yet')
  await machine.tidemark('config', 'set', 'auth', 'none')
  const { out, err } = await machine.tidemark('config', 'set', 'token', 'hidden')
  expect(err).toContain('auth is none, so no token is sent')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  machine.env['TIDEMARK_DAEMON_PORT'] = '0'
  const list = (await machine.tidemark('config', 'list')).out
  expect(out + list + readFileSync(file, 'utf8')).not.toContain('hidden')
  expect(list).toMatch(/^daemon_port +0 +from TIDEMARK_DAEMON_PORT$/m)
  expect(list).toMatch(/^auth +none +file$/m)
  expect(list).toMatch(/^approval_expiry +1800 +default$/m)
  machine.env['TIDEMARK_DAEMON_PORT'] = 'http'
  expect((await machine.tidemark('config', 'list')).err).toContain(
    'TIDEMARK_DAEMON_PORT takes a whole number',
  )
  delete machine.env['TIDEMARK_DAEMON_PORT']

  const broken =
    '{\n  "profiles": {\n    "default": { "endpoint": "https://a.example" "auth": "none" }\n  }\n}'
  writeFileSync(file, broken)
  for (const args of [
    ['config', 'list'],
    ['config', 'set', 'endpoint', ENDPOINT],
    ['sync', 'status'],
  ]) {
    const { code, err: said } = await machine.tidemark(...args)
    expect(code).toBe(2)
    expect(said).toContain(`${file} cannot be read: line 3, profiles.default: a comma or } is missing`)
  }
  expect(readFileSync(file, 'utf8')).toBe(broken)
})
