import { mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { lockFile, removeFileLock } from './file-lock.ts'
import { homeFolders } from './folders.ts'
import { takeLock } from './lock.ts'

const codeOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    return (error as { readonly code: string }).code
  }
  return 'none'
}

it('says who holds a lock, and of one that cannot be taken for another reason not that somebody holds it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-lock-'))
  try {
    const lock = takeLock(folder, 'a')
    expect(() => takeLock(folder, 'a')).toThrow(`process ${process.pid}`)
    lock.release()
    takeLock(folder, 'a').release()
    writeFileSync(join(folder, 'b.lock'), 'no database at all'.repeat(100))
    expect(codeOf(() => takeLock(folder, 'b'))).toBe('not_a_database')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

it('keeps a file from every other folder of settings, and leaves nothing beside one that is not there', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-lock-'))
  const [one, other] = [homeFolders(join(folder, 'one')), homeFolders(join(folder, 'other'))]
  const file = join(folder, 'app.db')
  try {
    writeFileSync(file, '')
    const lock = lockFile(one, file)
    expect(() => lockFile(one, file)).toThrow(`process ${process.pid}`)
    expect(codeOf(() => lockFile(other, file))).toBe('in_use')
    lock.release()
    const second = lockFile(other, file)
    expect(codeOf(() => lockFile(one, file))).toBe('in_use')
    second.release()
    const copies = (globalThis as { [name: symbol]: Set<string> })[Symbol.for('tidemark.locked')]
    expect(copies?.size).toBe(0)
    copies?.add(realpathSync(file))
    expect(codeOf(() => lockFile(one, file))).toBe('in_use')
    copies?.clear()
    lockFile(one, file).release()
    removeFileLock(file)
    lockFile(one, join(folder, 'absent.db')).release()
    expect(readdirSync(folder).sort()).toEqual(['app.db', 'one', 'other'])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
