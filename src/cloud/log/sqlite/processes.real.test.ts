import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { systemClock } from '../../../kernel/clock.ts'
import { randomInt, seededRandom } from '../../../kernel/random.ts'
import { failureOf, hydrateAll, put, Reader, SPACE } from '../../../testing/log-contract/harness.ts'
import { openSqliteLog } from '../sqlite.ts'

const SOURCE = new URL('../sqlite.ts', import.meta.url).href
const CLOCK = new URL('../../../kernel/clock.ts', import.meta.url).href

/** A process that serves a file and pushes ten rows at a time, telling each answer; it ends when it is killed. */
const SERVER = (file: string) => `
  const { openSqliteLog } = await import(${JSON.stringify(SOURCE)})
  const { systemClock } = await import(${JSON.stringify(CLOCK)})
  const log = await openSqliteLog({ file: ${JSON.stringify(file)}, clock: systemClock })
  await log.ensureSpace('space-1')
  const say = (line) => process.stdout.write(JSON.stringify(line) + '\\n')
  say('open')
  const write = async (replica) => {
    for (let mutation = 1; ; mutation++) {
      const changes = Array.from({ length: 10 }, (_, at) => ({
        table: 't', key: JSON.stringify([replica, mutation, at]), op: 'put', base: 0, hlc: 1, fields: { mutation, at, text: 'x'.repeat(500) },
      }))
      const request = { space: 'n', replica, mutation, cursor: null, changes }
      const { results } = await log.push('space-1', { request, hash: replica + mutation })
      say([replica, mutation, results[0].version])
    }
  }
  await Promise.all(['r0', 'r1', 'r2'].map(write))
`

describe('processes at one file', () => {
  let folder = ''
  let file = ''
  const children: ChildProcess[] = []

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tidemark-processes-'))
    file = join(folder, 'cloud.db')
  })
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    rmSync(folder, { recursive: true })
  })

  /** Starts a server; `lines` fills with what it says. Resolves once it has said `count` things. */
  async function serve(count: number) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', SERVER(file)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    children.push(child)
    const lines: unknown[] = []
    const { promise, resolve } = Promise.withResolvers<void>()
    if (child.stdout === null) throw new Error('no output')
    const reader = createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(JSON.parse(line) as unknown)
      if (lines.length >= count) resolve()
    })
    await promise
    return {
      child,
      lines,
      async kill() {
        const ended = Promise.all([once(child, 'exit'), once(reader, 'close')])
        child.kill('SIGKILL')
        await ended
      },
    }
  }

  test('a second server is refused, until the first is gone however it went', async () => {
    const first = await serve(1)
    const { code, details } = await failureOf(openSqliteLog({ file, clock: systemClock }))
    expect(code).toBe('in_use')
    expect(details['pid']).toBe(first.child.pid)
    // The file itself is open to others: the command line writes the directory while the cloud is served.
    const other = new Database(file, { timeout: 5_000 })
    other.exec('CREATE TABLE guest (x); INSERT INTO guest VALUES (1)')
    other.close()
    await first.kill()
    await using log = await openSqliteLog({ file, clock: systemClock })
    expect((await log.status(SPACE)).head).toBeGreaterThanOrEqual(0)
  })

  test('I1, I3, I5: kill -9 at any moment: what was answered is there, and nothing is there by halves', async () => {
    const random = seededRandom(7)
    let kept = 0
    for (let round = 0; round < 8; round++) {
      file = join(folder, `${round}.db`)
      const { lines, kill } = await serve(2 + randomInt(random, 120))
      await kill()
      const answered = lines.slice(1) as readonly (readonly [
        replica: string,
        mutation: number,
        version: number,
      ])[]
      await using log = await openSqliteLog({ file, clock: systemClock })
      const rows = await hydrateAll(log)
      const { head, records } = await log.status(SPACE)
      expect(rows).toHaveLength(head)
      expect(records).toBe(head)
      const mutations = Map.groupBy(rows, ({ by, fields }) => `${by} ${String(fields?.['mutation'])}`)
      for (const group of mutations.values()) expect(group).toHaveLength(10)
      for (const [replica, mutation, version] of answered) {
        const group = mutations.get(`${replica} ${mutation}`) ?? []
        expect(Math.min(...group.map((row) => row.version))).toBe(version)
        kept++
      }
      const last = answered.findLast(([replica]) => replica === 'r0')
      if (last === undefined) continue
      const r0 = new Reader(log, 'r0')
      const count = Math.max(
        ...rows.filter(({ by }) => by === 'r0').map(({ fields }) => Number(fields?.['mutation'])),
      )
      expect(await r0.push([put('next', 0, {})], { mutation: count + 1 })).toMatchObject({ head: head + 1 })
      const check = new Database(file, { readonly: true })
      expect(check.pragma('integrity_check', { simple: true })).toBe('ok')
      check.close()
    }
    expect(kept).toBeGreaterThan(100)
  })
})
