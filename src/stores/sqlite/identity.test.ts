import { copyFile, link, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { openIdentityGuard } from './identity.ts'

let room = ''
let file = ''
const guardOf = (path: string) => openIdentityGuard({ folder: join(room, 'data', 'replicas'), file: path })

beforeEach(async () => {
  room = await mkdtemp(join(tmpdir(), 'identity-'))
  file = join(room, 'app.db')
  await writeFile(file, 'a database')
})
afterEach(() => rm(room, { recursive: true, force: true }))

test('I13: an identity this machine has not recorded is unknown', async () => {
  expect(await guardOf(file).verdict('r1', 0)).toBe('unknown')
})

test('I13: the file that recorded its mutations is the same', async () => {
  for (const mutation of [1, 2, 3, 7]) await guardOf(file).record('r1', mutation)
  expect(await guardOf(file).verdict('r1', 7)).toBe('same')
  expect(await guardOf(file).verdict('r1', 8)).toBe('same')
  expect(await guardOf(file).verdict('r2', 8)).toBe('unknown')
})

test('I13: a file behind its recorded mutation was restored, in place or by another file at its path', async () => {
  await guardOf(file).record('r1', 5)
  expect(await guardOf(file).verdict('r1', 4)).toBe('restored')
  await copyFile(file, join(room, 'backup'))
  await rm(file)
  await rename(join(room, 'backup'), file)
  expect(await guardOf(file).verdict('r1', 4)).toBe('restored')
  expect(await guardOf(file).verdict('r1', 5)).toBe('same')
})

test('I13: a copy is told apart from the file it was made of, whichever opens first', async () => {
  await guardOf(file).record('r1', 5)
  const copy = join(room, 'copy.db')
  await copyFile(file, copy)
  expect(await guardOf(copy).verdict('r1', 5)).toBe('copied')
  expect(await guardOf(file).verdict('r1', 5)).toBe('same')
})

test('a moved file is the same, and what is copied back to its old place is not', async () => {
  await guardOf(file).record('r1', 5)
  const place = join(room, 'elsewhere.db')
  await rename(file, place)
  await copyFile(place, file)
  expect(await guardOf(place).verdict('r1', 5)).toBe('same')
  expect(await guardOf(file).verdict('r1', 5)).toBe('copied')
})

test('a moved file whose old place is gone is the same, or restored', async () => {
  await guardOf(file).record('r1', 5)
  const place = join(room, 'elsewhere.db')
  await copyFile(file, place)
  await rm(file)
  expect(await guardOf(place).verdict('r1', 4)).toBe('restored')
  expect(await guardOf(place).verdict('r1', 5)).toBe('same')
})

test('a second name of one file is the same file', async () => {
  await guardOf(file).record('r1', 5)
  const name = join(room, 'name.db')
  await link(file, name)
  expect(await guardOf(name).verdict('r1', 5)).toBe('same')
})

test('the number never goes back, and a torn write leaves the one before', async () => {
  await guardOf(file).record('r1', 5)
  await guardOf(file).record('r1', 6)
  await guardOf(file).record('r1', 2)
  expect(await guardOf(file).verdict('r1', 5)).toBe('restored')
  const folder = join(room, 'data', 'replicas')
  const [name] = await readdir(folder)
  const path = join(folder, name as string)
  const text = await readFile(path, 'utf8')
  const at = text.indexOf('0000000000000006')
  await writeFile(path, `${text.slice(0, at)}0000000000000009${text.slice(at + 16)}`)
  expect(await guardOf(file).verdict('r1', 5)).toBe('same')
  await guardOf(file).record('r1', 6)
  expect(await guardOf(file).verdict('r1', 5)).toBe('restored')
})

test('I13: a number that is taken back makes no file a restored one, and only the last can be', async () => {
  const guard = guardOf(file)
  await guard.record('r1', 5)
  await guard.record('r1', 6)
  await guard.takeBack('r1', 5)
  expect(await guardOf(file).verdict('r1', 5)).toBe('restored')
  await guard.takeBack('r1', 6)
  expect(await guardOf(file).verdict('r1', 5)).toBe('same')
  expect(await guardOf(file).verdict('r1', 4)).toBe('restored')
  await guard.record('r1', 6)
  expect(await guardOf(file).verdict('r1', 5)).toBe('restored')
  await guard.takeBack('r2', 1)
  expect(await guardOf(file).verdict('r2', 1)).toBe('unknown')
})

test('a forgotten identity is unknown', async () => {
  await guardOf(file).record('r1', 5)
  await guardOf(file).forget('r1')
  await guardOf(file).forget('r1')
  expect(await guardOf(file).verdict('r1', 5)).toBe('unknown')
})
