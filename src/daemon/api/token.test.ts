import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { homeFolders, type Folders } from '../../machine/folders.ts'
import { readRunNote, removeRunNote, writeRunNote } from './run-note.ts'
import { openApiToken, readApiToken, rotateApiToken } from './token.ts'

let folders: Folders
let file: string
beforeEach(() => {
  folders = homeFolders(join(mkdtempSync(join(tmpdir(), 'tidemark-token-')), 'data'))
  file = join(folders.data, 'api-token')
})
afterEach(() => rmSync(join(folders.data, '..'), { recursive: true, force: true }))

const modeOf = (path: string): number => statSync(path).mode & 0o777

test('a token is made once, of 256 bits, for its owner only', () => {
  expect(readApiToken(folders)).toBeNull()
  const token = openApiToken(folders)
  expect(token).toMatch(/^tmd_[A-Za-z0-9_-]{43}$/)
  expect(modeOf(file)).toBe(0o600)
  expect(modeOf(folders.data)).toBe(0o700)
  expect(openApiToken(folders)).toBe(token)
  expect(readApiToken(folders)).toBe(token)
  const other = rotateApiToken(folders)
  expect(other).not.toBe(token)
  expect(openApiToken(folders)).toBe(other)
})

test('a file that others may read is closed, and the token another one where they could have read it', () => {
  const token = openApiToken(folders)
  chmodSync(file, 0o644)
  // Nobody but its owner gets into the folder.
  expect(openApiToken(folders)).toBe(token)
  expect(modeOf(file)).toBe(0o600)
  chmodSync(file, 0o644)
  chmodSync(folders.data, 0o755)
  expect(openApiToken(folders)).not.toBe(token)
  expect(modeOf(file)).toBe(0o600)
})

test('what is no token is replaced', () => {
  openApiToken(folders)
  for (const text of ['', 'x', '\u0000', `tmd_${'a'.repeat(44)}`]) {
    writeFileSync(file, text)
    expect(readApiToken(folders)).toBeNull()
    expect(openApiToken(folders)).toMatch(/^tmd_/)
  }
})

test('processes that make it at the same time have the same one', async () => {
  const script = `
    const { openApiToken } = await import(process.argv[1])
    const { homeFolders } = await import(process.argv[2])
    process.stdout.write(openApiToken(homeFolders(process.argv[3])))`
  const paths = ['token.ts', '../../machine/folders.ts'].map((path) => join(import.meta.dirname, path))
  const tokens = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const child = spawn(process.execPath, ['--input-type=module', '--eval', script, ...paths, folders.data])
      let text = ''
      child.stdout.on('data', (chunk) => (text += String(chunk)))
      await once(child, 'close')
      return text
    }),
  )
  expect(new Set(tokens)).toEqual(new Set([readApiToken(folders)]))
})

test('the note of where a daemon listens is whole or not there', () => {
  expect(readRunNote(folders)).toBeNull()
  writeRunNote(folders, { url: 'http://127.0.0.1:7610', version: '1', started_at: 5 })
  expect(readRunNote(folders)).toEqual({
    pid: process.pid,
    url: 'http://127.0.0.1:7610',
    version: '1',
    started_at: 5,
  })
  const path = join(folders.data, 'run', 'daemon.json')
  expect(modeOf(path)).toBe(0o600)
  const text = readFileSync(path, 'utf8')
  for (const odd of ['', '{', '[]', 'null', text.replace('127.0.0.1', 'evil.example'), text.slice(0, -5)]) {
    writeFileSync(path, odd)
    expect(readRunNote(folders)).toBeNull()
  }
  removeRunNote(folders)
  removeRunNote(folders)
  expect(readRunNote(folders)).toBeNull()
})
