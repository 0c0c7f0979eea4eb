import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { compareFiles } from '../../src/daemon/compare.ts'
import { cloneSpace } from '../../src/daemon/attach.ts'
import { openReplica } from '../../src/daemon/replica.ts'
import { runReplica, type RunningReplica } from '../../src/daemon/runner.ts'
import { FORCE_ROUNDS } from '../../src/engine/machine.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { AsyncDisposableStack } from '../../src/kernel/disposable-stack.ts'
import { seededRandom, systemRandom } from '../../src/kernel/random.ts'
import { openMachine } from '../command-line.ts'
import { openFarAway } from './far-away.ts'
import { homeFolders } from '../../src/machine/folders.ts'

const REPLICAS = 16
const ROWS = 10
/** Each way: 200 ms there and back. */
const FAR_MS = 100
/** Rows that the far one gets through while all the others write. */
const FAR_ROWS = 3
const MAX_WRITES = 1_500
const PAUSE_MS = 20
/** Whole cycles of all replicas, after the last write, until they are equal. */
const MAX_ROUNDS = 4

test('I2, I8: sixteen replicas on the same ten rows converge, and the one 200 ms away makes progress', async () => {
  await using machine = await openMachine()
  const cloud = await machine.serve()
  await machine.ask('config', 'set', 'endpoint', cloud.url)
  const made = await machine.tidemark('cloud', 'token', 'create', '--data', join(machine.folder, 'cloud'))
  const token = made.out.trim()
  await using far = await openFarAway(cloud.url, FAR_MS)
  const first = join(machine.folder, 'r0.db')
  fill(first)
  await machine.ask('attach', first, '--space', 'rows', '--yes')

  const home = join(machine.folder, 'home')
  const folders = homeFolders(home)
  const context = { folders, clock: systemClock, random: systemRandom, profile: 'default' }
  const files = Array.from({ length: REPLICAS }, (_, at) => join(machine.folder, `r${at}.db`))
  const near = { endpoint: cloud.url, token }
  for (const file of files.slice(1)) await cloneSpace({ ...context, space: 'rows', file, connection: near })

  await using stack = new AsyncDisposableStack()
  const running: RunningReplica[] = []
  const mostRounds = files.map(() => 0)
  /** Rows that each had acknowledged while all were writing. */
  const sent = files.map(() => 0)
  for (const [at, file] of files.entries()) {
    const connection = at === 0 ? { ...near, endpoint: far.url } : near
    const one = await runReplica(
      folders,
      () => openReplica({ ...context, file, connection }),
      file,
      systemClock,
      {
        listener: (event) => {
          if (event.type === 'phase') mostRounds[at] = Math.max(mostRounds[at] ?? 0, event.to.rounds)
          else if (event.type === 'pushed') sent[at] = (sent[at] ?? 0) + event.rows
        },
      },
    )
    running.push(stack.use(one))
  }
  await Promise.all(running.map((one) => one.syncNow()))
  const isFarThrough = (): boolean => (sent[0] ?? 0) >= FAR_ROWS
  const writes = await Promise.all(files.map((file, at) => writeOn(file, at, isFarThrough)))
  const sentMeanwhile = [...sent]

  const tables = [{ name: 'hot', key: ['id'] }]
  const differing = (): number =>
    files.slice(1).reduce((sum, file) => sum + (compareFiles(first, file, tables)[0]?.differing ?? 0), 0)
  let rounds = 0
  while (rounds < MAX_ROUNDS) {
    rounds++
    await Promise.all(running.map((one) => one.syncNow()))
    if (differing() === 0) break
  }
  expect(differing()).toBe(0)
  for (const one of running)
    expect((await one.status()).counts).toMatchObject({ pending: {}, parked: 0, held: 0 })
  // Progress for everyone, the far one included, while fifteen others write the same rows all the time.
  expect(Math.max(...writes)).toBeLessThan(MAX_WRITES)
  for (const count of sentMeanwhile) expect(count).toBeGreaterThan(0)
  // The push after so many conflicts is forced, and it is the last.
  for (const most of mostRounds) expect(most).toBeLessThanOrEqual(FORCE_ROUNDS + 1)
  process.stdout.write(
    `${JSON.stringify({ roundsUntilEqual: rounds, writes, mostConflictRounds: mostRounds, sentMeanwhile })}\n`,
  )
})

function fill(file: string): void {
  const db = new Database(file)
  db.exec('CREATE TABLE hot (id INTEGER PRIMARY KEY, text TEXT, total INTEGER)')
  for (let id = 1; id <= ROWS; id++) db.prepare('INSERT INTO hot VALUES (?, ?, 0)').run(id, 'first')
  db.close()
}

/** Writes until it `isEnough`; answers how often. */
async function writeOn(file: string, at: number, isEnough: () => boolean): Promise<number> {
  const db = new Database(file)
  const random = seededRandom(at)
  const write = db.prepare('UPDATE hot SET text = ?, total = total + 1 WHERE id = ?')
  let count = 0
  for (; count < MAX_WRITES && !isEnough(); count++) {
    write.run(`${at}:${count}`, 1 + Math.floor(random.next() * ROWS))
    await pause(PAUSE_MS)
  }
  db.close()
  return count
}
