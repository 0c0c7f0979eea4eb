import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'

import { systemClock } from '../../../kernel/clock.ts'
import { codeOf, hydrateAll, put, Reader, readOne, SPACE } from '../../../testing/log-contract/harness.ts'
import { openSqliteLog } from '../sqlite.ts'

const rows = (from: number, count: number) =>
  Array.from({ length: count }, (_, at) => put(`${from + at}`, 0, { text: 'x'.repeat(1_000) }))

/** Pushes until there is no room; answers how many mutations were applied. */
async function fill(reader: Reader, perPush: number): Promise<string> {
  for (let pushes = 0; pushes < 1_000; pushes++) {
    try {
      await reader.write(...rows(reader.mutation * perPush, perPush))
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  return 'never full'
}

const isSound = (file: string): boolean => {
  const database = new Database(file, { readonly: true })
  const answer = database.pragma('integrity_check', { simple: true })
  database.close()
  return answer === 'ok'
}

describe('a full disk', () => {
  test('I5: a push that does not fit is refused whole; reading goes on; there is room again with more', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-room-'))
    const file = join(folder, 'cloud.db')
    let log = await openSqliteLog({ file, clock: systemClock, maxBytes: 1_500_000 })
    await log.ensureSpace(SPACE)
    const a = new Reader(log, 'a')
    expect(await fill(a, 100)).toBe('disk_full')
    const applied = a.mutation * 100
    expect(applied).toBeGreaterThan(200)
    expect(await log.status(SPACE)).toMatchObject({ head: applied, records: applied })
    expect(await hydrateAll(log)).toHaveLength(applied)
    // What fits is taken, also beside what does not, and under the number that the refused push had.
    const b = new Reader(log, 'b')
    const [large, small] = await Promise.allSettled([a.push(rows(9_000, 500)), b.push([put('small', 0, {})])])
    expect([large.status, small.status]).toEqual(['rejected', 'fulfilled'])
    // A table and a writer that came with a refused push were never made.
    const c = new Reader(log, 'c')
    const elsewhere = rows(1, 500).map((change) => ({ ...change, table: 'other' }))
    expect(await codeOf(c.push(elsewhere))).toBe('disk_full')
    await new Reader(log, 'd').write(put('4', 0, {}, { table: 'third' }))
    await c.write(put('4', 0, {}, { table: 'other' }))
    expect((await readOne(log, '4', 'third'))?.by).toBe('d')
    expect((await readOne(log, '4', 'other'))?.by).toBe('c')
    expect(await a.write(put('tiny', 0, {}))).toEqual([applied + 4])
    await log[Symbol.asyncDispose]()
    expect(isSound(file)).toBe(true)

    log = await openSqliteLog({ file, clock: systemClock, maxBytes: 15_000_000 })
    a.log = log
    expect((await a.push(rows(9_000, 500))).head).toBe(applied + 504)
    await log[Symbol.asyncDispose]()
    expect(isSound(file)).toBe(true)
    rmSync(folder, { recursive: true })
  })

  const disk = mountDisk()
  test.skipIf(disk === null)('a file system that is really full, and has room again', async () => {
    const folder = disk ?? ''
    const file = join(folder, 'cloud.db')
    const ballast = join(folder, 'ballast')
    try {
      writeFileSync(ballast, Buffer.alloc(14_000_000))
      const log = await openSqliteLog({ file, clock: systemClock })
      await log.ensureSpace(SPACE)
      const a = new Reader(log, 'a')
      expect(await fill(a, 100)).toBe('disk_full')
      const applied = a.mutation * 100
      expect(await codeOf(a.push(rows(90_000, 1_000)))).toBe('disk_full')
      expect(await hydrateAll(log)).toHaveLength(applied)
      rmSync(ballast)
      expect((await a.push(rows(90_000, 1_000))).head).toBe(applied + 1_000)
      await log[Symbol.asyncDispose]()
      expect(isSound(file)).toBe(true)
      await using again = await openSqliteLog({ file, clock: systemClock })
      expect(await hydrateAll(again)).toHaveLength(applied + 1_000)
    } finally {
      execFileSync('umount', [folder])
      rmSync(folder, { recursive: true })
    }
  })
})

/** A disk of 24 MB, where the system lets one be made; null elsewhere. */
function mountDisk(): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', folder], { stdio: 'ignore' })
    return folder
  } catch {
    rmSync(folder, { recursive: true })
    return null
  }
}
