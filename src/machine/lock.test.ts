import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, it } from 'vitest'

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
