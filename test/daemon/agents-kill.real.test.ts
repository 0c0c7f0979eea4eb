import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

import Database from 'better-sqlite3'
import { expect, onTestFinished, test } from 'vitest'

import { randomInt, seededRandom } from '../../src/kernel/random.ts'

const ROUNDS = 8
const BATCH = 25
const WRITER = join(import.meta.dirname, 'agents-writer.ts')

/** Runs the writer from a batch on, kills it `afterMs` after its first answer; tells the last one it answered. */
async function writeAndKill(file: string, first: number, afterMs: number): Promise<number> {
  const child = spawn(process.execPath, [WRITER, file, String(first), String(BATCH)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  const closed = once(child, 'close')
  await Promise.race([once(child.stdout, 'data'), closed])
  setTimeout(() => child.kill('SIGKILL'), afterMs)
  await closed
  expect(child.signalCode).toBe('SIGKILL')
  return Number(said.trimEnd().split('\n').at(-1))
}

test('kill -9 amid upserts: nothing that was answered is lost, nothing is doubled, and no batch is half', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-agents-kill-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'agents.db')
  const random = seededRandom(17)
  let next = 0
  for (let round = 0; round < ROUNDS; round++) {
    const answered = await writeAndKill(file, next, randomInt(random, 120))
    const database = new Database(file)
    expect(database.pragma('integrity_check', { simple: true })).toBe('ok')
    const batches = database
      .prepare('SELECT CAST(role AS INTEGER) AS number, count(*) AS rows FROM messages GROUP BY 1 ORDER BY 1')
      .all() as { readonly number: number; readonly rows: number }[]
    // All that were answered, and at most the one that was under way.
    expect(batches.length - 1 - answered).toBeGreaterThanOrEqual(0)
    expect(batches.length - 1 - answered).toBeLessThanOrEqual(1)
    expect(batches).toEqual(batches.map((_, number) => ({ number, rows: BATCH })))
    const written = batches.length - 1
    for (let number = 3; number <= written; number += 3) {
      const model = database
        .prepare('SELECT model FROM messages WHERE id = ?')
        .pluck()
        .get(`${number - 1}-0`)
      expect(model).toBe(`by ${number}`)
    }
    // Each row and its line of local_changes came together: one for each insert and each update, none for a repeat.
    const lines = database.prepare(
      "SELECT verb, count(*) FROM local_changes WHERE table_name = 'messages' GROUP BY 1",
    )
    const updates = Math.floor(written / 3)
    expect(lines.raw().all()).toEqual([
      ['insert', (written + 1) * BATCH],
      ...(updates > 0 ? [['update', updates]] : []),
    ])
    database.close()
    // The one of which it does not know what became is sent again, as a caller does.
    next = answered + 1
  }
  expect(next).toBeGreaterThan(ROUNDS)
})

const ENDLESS = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c'
const MAIN = join(import.meta.dirname, '../../src/cli/main.ts')
const MAX_LOOKS = 600

/** Looks ten times a second until there is what is looked for. */
async function wait<T>(look: () => T | undefined): Promise<T> {
  for (let at = 0; at < MAX_LOOKS; at++) {
    const found = look()
    if (found !== undefined) return found
    await pause(100)
  }
  throw new Error('it did not happen')
}

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 130],
  ['SIGKILL', null],
] as const)('an endless query ends with its command, by %s', async (signal, code) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-query-kill-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'a.db')
  new Database(file).exec('CREATE TABLE t (a)').close()
  const command = spawn(process.execPath, [MAIN, '--home', folder, 'query', '--file', file, ENDLESS])
  const exited = once(command, 'exit')
  const children = `/proc/${command.pid}/task/${command.pid}/children`
  const child = await wait(() => readFileSync(children, 'utf8').trim().split(' ').find(Boolean))
  // At work, not only started: it has used a while of a processor.
  await wait(() => (ticksOf(child) > 50 ? true : undefined))
  command.kill(signal)
  expect((await exited)[0]).toBe(code)
  await wait(() => (ticksOf(child) === 0 ? true : undefined))
})

/** Hundredths of a second of a processor; 0 when there is no such process. */
function ticksOf(pid: string): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return fields[0] === 'Z' ? 0 : Number(fields[11])
  } catch {
    return 0
  }
}
