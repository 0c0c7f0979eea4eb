import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, expect, test } from 'vitest'

import { failureOf } from '../../testing/failures.ts'
import { findPassword } from './passwords.ts'

const folder = mkdtempSync(join(tmpdir(), 'tidemark-passwords-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const TARGET = { host: 'db.example', port: 5432, database: 'cloud', user: 'tidemark' }

function write(name: string, lines: readonly string[], mode = 0o600): { readonly PGPASSFILE: string } {
  const file = join(folder, name)
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''))
  chmodSync(file, mode)
  return { PGPASSFILE: file }
}

test.each([
  [
    'the first line that fits',
    ['db.example:5433:*:*:a', 'db.example:5432:cloud:tidemark:b', '*:*:*:*:c'],
    'b',
  ],
  ['stars', ['*:*:*:other:a', '*:*:*:*:b'], 'b'],
  ['colons and backslashes', ['*:*:*:tidemark:a\\:b\\\\c:d'], 'a:b\\c:d'],
  ['a star that is meant', ['\\*:*:*:*:a', '*:*:*:*:b'], 'b'],
  ['blanks, comments and what is no entry', ['# *:*:*:*:a', '', 'nothing', '*:*:*:*:', '*:*:*:*: b '], ' b '],
])('a password file: %s', async (_, lines, password) => {
  expect(await findPassword(TARGET, write('pgpass', lines))).toBe(password)
})

test('a socket of this machine is localhost there, or its folder', async () => {
  const socket = { ...TARGET, host: '/run/postgresql' }
  expect(await findPassword(socket, write('local', ['localhost:*:*:*:a']))).toBe('a')
  expect(await findPassword(socket, write('folder', ['/run/postgresql:*:*:*:b']))).toBe('b')
})

test('the file in the home folder where no other is named', async () => {
  write('.pgpass', ['*:*:*:*:a'])
  expect(await findPassword(TARGET, { HOME: folder, PGPASSFILE: '' })).toBe('a')
})

test('without a password it is told where it was looked for, and nothing of what is there', async () => {
  const why = async (env: { readonly PGPASSFILE: string }): Promise<string> => {
    const { code, message } = await failureOf(findPassword(TARGET, env))
    expect(code).toBe('database_refused')
    expect(message).toContain('the password of tidemark')
    expect(message).not.toContain('s3cret')
    return message
  }
  const open = write('open', ['*:*:*:*:s3cret'], 0o640)
  expect(await why(open)).toContain(`${open.PGPASSFILE} is not believed, since others may read or write it`)
  const other = write('other', ['*:*:*:other:s3cret'])
  expect(await why(other)).toContain('begins with db.example:5432:cloud:tidemark:')
  expect(await why({ PGPASSFILE: join(folder, 'none') })).toContain('there is no file')
  expect(await why({ PGPASSFILE: folder })).toContain('is no file')
})
