import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { afterEach, describe, expect, test } from 'vitest'

import { addAttachment } from '../../src/daemon/attachments.ts'
import { HostedFile, type HostingEvent } from '../../src/daemon/hosting/hosted-file.ts'
import { watchTime } from '../../src/daemon/hosting/awake.ts'
import { openRollingFile } from '../../src/daemon/log/rolling-file.ts'
import { scrub } from '../../src/daemon/log/scrub.ts'
import { systemRandom } from '../../src/kernel/random.ts'
import { homeFolders } from '../../src/machine/folders.ts'
import { attachReplica } from '../../src/machine/attach.ts'
import { betterSqlite3 } from '../../src/stores/sqlite/driver/better-sqlite3.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'

const folder = mkdtempSync(join(tmpdir(), 'tidemark-time-'))
afterEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true })
})

describe('time that went by unseen', () => {
  const look = () => {
    const clock = createManualClock(1_000_000)
    const gaps: number[] = []
    const stop = watchTime(clock, (gap) => gaps.push(Math.round(gap / 1_000)))
    return { clock, gaps, stop }
  }

  test('a sleep of the computer is noticed once it is over, once', () => {
    const { clock, gaps } = look()
    clock.elapse(60_000)
    expect(gaps).toEqual([])
    clock.jump(8 * 3_600_000)
    clock.elapse(60_000)
    expect(gaps).toEqual([8 * 3_600])
  })

  test('a clock that is set back, or a little forward, is nothing', () => {
    const { clock, gaps } = look()
    clock.jump(-86_400_000)
    clock.elapse(30_000)
    clock.jump(5_000)
    clock.elapse(30_000)
    expect(gaps).toEqual([])
    // And a sleep after that is noticed all the same.
    clock.jump(60_000)
    clock.elapse(5_000)
    expect(gaps).toEqual([60])
  })

  test('nothing is left behind', () => {
    const { clock, stop } = look()
    stop()
    expect(clock.pending).toEqual([])
  })

  test('a pause after failures is cut short, and a clock set back lengthens none', async () => {
    const clock = createManualClock(1_000_000)
    const folders = homeFolders(folder)
    const file = join(folder, 'notes.db')
    const database = new Database(file)
    database.exec('CREATE TABLE notes (id TEXT PRIMARY KEY)')
    database.close()
    const machine = { folders, clock, random: systemRandom }
    await attachReplica(folders, { ...machine, file, driver: betterSqlite3, space: 'notes' })
    addAttachment(folders, { file, space: 'notes', profile: 'default', attachedAt: 0 })
    let asked = 0
    const fetch = () => {
      asked++
      return Promise.reject(new TypeError('the network is away'))
    }
    const events: HostingEvent[] = []
    await using hosted = new HostedFile({
      machine: { ...machine, fetch },
      file,
      settings: { connection: { endpoint: 'http://127.0.0.1:1', token: null }, pollMs: 30_000 },
      tell: (event) => events.push(event),
    })
    const failures = () =>
      events.filter((event) => event.type === 'engine' && event.event.type === 'error').length
    const engine = () => hosted.running?.replica.engine
    await expect.poll(failures, { timeout: 20_000 }).toBe(1)
    await expect.poll(() => engine()?.phase, { timeout: 20_000 }).toBe('waiting')
    clock.jump(-86_400_000)
    clock.elapse(1_000)
    expect(engine()?.phase).toBe('waiting')
    const before = asked
    hosted.awake()
    await expect.poll(() => asked, { timeout: 20_000 }).toBeGreaterThan(before)
    await expect.poll(failures, { timeout: 20_000 }).toBe(2)
    await expect.poll(() => engine()?.phase, { timeout: 20_000 }).toBe('waiting')
    // The pause is of time that went by, not of the clock on the wall.
    clock.elapse(60_000)
    await expect.poll(failures, { timeout: 20_000 }).toBeGreaterThan(2)
  })
})

describe('the log file', () => {
  const options = { maxBytes: 100, keep: 3, lost: (lines: number) => `lost ${lines}\n` }

  test('is rolled by size, kept so often, and readable by its owner only', () => {
    const path = join(folder, 'logs', 'daemon.log')
    const file = openRollingFile(path, options)
    for (let at = 0; at < 40; at++) file.write(`line ${String(at).padStart(2, '0')} of ten bytes\n`)
    file.close()
    const names = readdirSync(join(folder, 'logs')).sort()
    expect(names).toEqual(['daemon.1.log', 'daemon.2.log', 'daemon.log'])
    for (const name of names) {
      const { mode, size } = statSync(join(folder, 'logs', name))
      expect([mode & 0o777, size <= 100]).toEqual([0o600, true])
    }
    const all = ['daemon.2.log', 'daemon.1.log', 'daemon.log'].map((name) =>
      readFileSync(join(folder, 'logs', name), 'utf8'),
    )
    expect(all.join('').trim().split('\n').at(-1)).toBe('line 39 of ten bytes')
    expect(all.join('').trim().split('\n').length).toBeGreaterThan(8)
  })

  test('a folder that cannot be had loses lines, never the daemon, and says how many once it can', () => {
    const path = join(folder, 'logs', 'daemon.log')
    writeFileSync(join(folder, 'logs'), 'no folder')
    const file = openRollingFile(path, options)
    file.write('one\n')
    file.write('two\n')
    rmSync(join(folder, 'logs'))
    file.write('three\n')
    expect(readFileSync(path, 'utf8')).toBe('lost 2\nthree\n')
    rmSync(join(folder, 'logs'), { recursive: true })
    mkdirSync(join(folder, 'logs'))
    file.write('four\n')
    expect(readFileSync(path, 'utf8')).toBe('four\n')
    file.close()
  })

  test('D10: secrets are taken out of a line wherever they came from', () => {
    const line =
      '{"msg":"Bearer abcdefghijkl and tm_0123456789abc and https://me:pass@host/ and my-own-secret"}'
    expect(scrub(line, ['my-own-secret', 'a'])).toBe(
      '{"msg":"Bearer (secret) and (secret) and https://me:(secret)@host/ and (secret)"}',
    )
  })
})
