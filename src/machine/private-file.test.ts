import { spawn, type ChildProcess } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { devNull, tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, it, test } from 'vitest'

import { changePrivateFile, readPrivateFile, writePrivateFile } from './private-file.ts'

let folder: string
let path: string
const children: ChildProcess[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-private-'))
  path = join(folder, 'a.json')
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

/** Another process that runs `body`, in which `path` and the functions of this file are known. */
function start(body: string): { readonly child: ChildProcess; readonly ended: Promise<number | null> } {
  const module = JSON.stringify(join(import.meta.dirname, 'private-file.ts'))
  const script = `import { writeFileSync, existsSync } from 'node:fs'
    import { changePrivateFile, writePrivateFile } from ${module}
    const path = ${JSON.stringify(path)}
    const wait = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
    ${body}`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], { stdio: 'ignore' })
  children.push(child)
  return { child, ended: new Promise((resolve) => child.once('exit', (code) => resolve(code))) }
}
const seen = (name: string) =>
  expect.poll(() => existsSync(join(folder, name)), { timeout: 30_000 }).toBe(true)
const add = (text: string | null): string => `${text ?? ''}x`

it('keeps the changes of all processes, also beside one that is killed in the middle', async () => {
  const adding = `for (let at = 0; at < 25; at++) changePrivateFile(path, (text) => (text ?? '') + 'x')`
  const killed = start(`changePrivateFile(path, () => {
    writeFileSync(path + '.inside', '')
    wait(60_000)
    return 'lost'
  })`)
  await seen('a.json.inside')
  const others = [start(adding), start(adding)]
  killed.child.kill('SIGKILL')
  expect(await Promise.all(others.map(({ ended }) => ended))).toEqual([0, 0])
  expect(readFileSync(path, 'utf8')).toBe('x'.repeat(50))
})

it('lets nobody in while one sleeps in the middle, however old its lock looks, and says so', async () => {
  const sleeping = start(`changePrivateFile(path, (text) => {
    writeFileSync(path + '.inside', '')
    while (!existsSync(path + '.go')) wait(20)
    return (text ?? '') + 'slept'
  })`)
  await seen('a.json.inside')
  for (const name of readdirSync(folder)) utimesSync(join(folder, name), 0, 0)
  expect(() => changePrivateFile(path, add, 100)).toThrow(
    expect.objectContaining({ code: 'in_use' }) as Error,
  )
  writeFileSync(`${path}.go`, '')
  await sleeping.ended
  changePrivateFile(path, add)
  expect(readFileSync(path, 'utf8')).toBe('sleptx')
})

it('a disk that takes a part of the text leaves the old file whole', async () => {
  writePrivateFile(path, 'whole')
  // The limit of a process stands for the disk: it takes 4 kB of the text, and refuses the rest.
  const limited = spawn(
    'sh',
    [
      '-c',
      // Blocks of 512 bytes.
      'ulimit -f 8; exec "$0" "$@"',
      process.execPath,
      '--input-type=module-typescript',
      '-e',
      `import { writePrivateFile } from ${JSON.stringify(join(import.meta.dirname, 'private-file.ts'))}
       process.on('SIGXFSZ', () => {})
       try { writePrivateFile(${JSON.stringify(path)}, 'y'.repeat(10_000)) } catch { process.exit(7) }`,
    ],
    { stdio: 'ignore' },
  )
  expect(await new Promise((resolve) => limited.once('exit', resolve))).toBe(7)
  expect(readFileSync(path, 'utf8')).toBe('whole')
  expect(readdirSync(folder)).toEqual(['a.json'])
})

it('a symbolic link stays one, also where what it leads to is not there yet', () => {
  mkdirSync(join(folder, 'dots'))
  symlinkSync('dots/real.json', path)
  changePrivateFile(path, add)
  changePrivateFile(path, add)
  expect(lstatSync(path).isSymbolicLink()).toBe(true)
  expect(readFileSync(join(folder, 'dots/real.json'), 'utf8')).toBe('xx')
  expect(readPrivateFile(path)).toBe('xx')
  symlinkSync('loop.json', join(folder, 'loop.json'))
  expect(() => changePrivateFile(join(folder, 'loop.json'), add)).toThrow()
})

it('is readable by its owner only, whatever it was before', () => {
  writeFileSync(path, 'x', { mode: 0o644 })
  expect(readPrivateFile(path)).toBe('x')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  chmodSync(path, 0o644)
  changePrivateFile(path, add)
  for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600)
})

test.each([
  ['bytes that are no text', Buffer.from([0x7b, 0xff, 0x7d])],
  ['half of a character', Buffer.from('{"a":"é"}').subarray(0, 7)],
])('%s are not replaced by others, and not written over', (_, bytes) => {
  writeFileSync(path, bytes)
  const refused = expect.objectContaining({
    code: 'config_invalid',
    message: expect.stringContaining('UTF-8') as string,
  })
  expect(() => readPrivateFile(path)).toThrow(refused as Error)
  expect(() => changePrivateFile(path, () => 'new')).toThrow(refused as Error)
  expect(readFileSync(path).equals(bytes)).toBe(true)
})

it('replaces no folder and no device, and reads none', () => {
  for (const one of [folder, devNull, '/dev/zero']) {
    if (one !== devNull) expect(() => readPrivateFile(one)).toThrow(/it is no file/)
    expect(() => changePrivateFile(one, add)).toThrow(/it is no file/)
  }
  expect(readPrivateFile(devNull)).toBeNull()
  expect(readPrivateFile(join(folder, 'none.json'))).toBeNull()
})

it('writes nothing for a change that is none', () => {
  changePrivateFile(path, () => null)
  expect(existsSync(path)).toBe(false)
  writePrivateFile(path, 'x')
  const { ino } = statSync(path)
  changePrivateFile(path, (text) => text)
  expect(statSync(path).ino).toBe(ino)
})
