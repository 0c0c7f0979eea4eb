import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

import { compareFiles } from '../../src/daemon/compare.ts'
import { randomInt, seededRandom } from '../../src/kernel/random.ts'
import { startBalancer } from '../cloud/balancer.ts'
import { startPostgres } from '../postgres/server.ts'
import { checkDatabase, headOf } from './cluster-check.ts'
import { openNodes } from './nodes.ts'
import { isRunning, openProcesses, stop } from './processes.ts'
import { checkTruth, makeFile, TABLES } from './writes.ts'

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname
const WRITER = new URL('./writer.ts', import.meta.url).pathname
const runFile = promisify(execFile)

const CLIENTS = ['a', 'b', 'c'] as const
type Client = (typeof CLIENTS)[number]
type Victim = Client | 'node 0' | 'node 1' | 'postgres'

/** Who dies in one round: each alone, and those together that have something to do with each other. */
const ROUNDS: readonly (readonly Victim[])[] = [
  ...(['postgres', 'node 0', 'node 1', ...CLIENTS] as const).map((victim) => [victim]),
  ['postgres'],
  ['postgres', 'node 0'],
  ['postgres', 'node 0', 'node 1'],
  ['node 0', 'node 1'],
  ['node 1', 'b'],
  ['postgres', 'a', 'node 1', 'c'],
]
/** Longest that somebody stays dead, and that all are left to work after that. */
const DEAD_MS = 600
const ALIVE_MS = 1_200
/** One round in so many comes at once, so that somebody also dies while it starts. Before the others, all get on. */
const AT_ONCE = 4
const LOOK_AGAIN_MS = 50
const MAX_LOOKS = 2_400
const MAX_HEALING = 20

export interface ClusterReport {
  readonly kills: { readonly [victim: string]: number }
  /** Times that a node gave up its start because the database was not there, and was started again. */
  readonly restarts: number
  readonly writes: number
  readonly rows: number
  readonly records: { readonly live: number; readonly buried: number; readonly head: number }
  readonly generations: number
}

/**
 * Real processes: a PostgreSQL with `fsync` on, two nodes behind a balancer, three `tidemark run` with a writer on
 * each of their files. Kills with SIGKILL at random moments, starts again, and goes on. Afterwards: all files and a
 * fresh clone are equal, every committed write is there or superseded by its own writer, nothing is there twice, and
 * the database's counts and versions are those of its records. Throws with what is wrong.
 */
export async function killCluster(options: {
  readonly kills: number
  readonly seed: number
}): Promise<ClusterReport> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-cluster-'))
  const random = seededRandom(options.seed)
  const processes = openProcesses()
  try {
    await using server = await startPostgres()
    await using nodes = openNodes([
      '--home',
      join(folder, 'cloud'),
      '--json',
      'cloud',
      '--database',
      server.url,
      '--port',
      '0',
    ])
    await using balancer = await startBalancer(() => nodes.ports())
    const homeOf = (name: string) => join(folder, name)
    const fileOf = (name: string) => join(folder, `${name}.db`)
    const logs = CLIENTS.map((name) => join(folder, `${name}.log`))
    const tidemark = async (name: string, ...args: readonly string[]): Promise<string> =>
      (await runFile(process.execPath, [MAIN, '--home', homeOf(name), ...args])).stdout.trim()

    nodes.start(0)
    nodes.start(1)
    await nodes.untilReady()
    const token = await tidemark('cloud', 'cloud', 'token', 'create', '--database', server.url)
    for (const name of [...CLIENTS, 'fresh']) {
      mkdirSync(homeOf(name), { recursive: true })
      await tidemark(name, 'config', 'set', 'endpoint', `http://127.0.0.1:${balancer.port}`)
      await tidemark(name, 'config', 'set', 'token', token)
    }
    makeFile(fileOf('a'))
    await tidemark('a', 'attach', fileOf('a'), '--space', 'kill', '--yes')
    for (const name of ['b', 'c']) await tidemark(name, 'clone', 'kill', fileOf(name))
    const startRun = (name: Client) => processes.start(MAIN, '--home', homeOf(name), 'run', fileOf(name))
    const runs = { a: startRun('a'), b: startRun('b'), c: startRun('c') }
    const writers = CLIENTS.map((name, at) => processes.start(WRITER, fileOf(name), name, logs[at] ?? ''))

    const kills: { [victim: string]: number } = {}
    const kill = async (victim: Victim): Promise<void> => {
      const dead = () => sleep(randomInt(random, DEAD_MS))
      const count = (wasAlive: boolean) => void (wasAlive && (kills[victim] = (kills[victim] ?? 0) + 1))
      if (victim === 'postgres') {
        await server.kill()
        count(true)
        await dead()
        return server.start()
      }
      if (victim === 'node 0' || victim === 'node 1') {
        const no = victim === 'node 0' ? 0 : 1
        count(await nodes.kill(no))
        await dead()
        return nodes.start(no)
      }
      count(isRunning(runs[victim]))
      await stop(runs[victim], 'SIGKILL')
      await dead()
      runs[victim] = startRun(victim)
    }
    const total = () => Object.values(kills).reduce((sum, count) => sum + count, 0)
    // However slow the machine is: what one client wrote since the last kills has come into the database.
    let head = 0
    const getOn = async (): Promise<void> => {
      for (let looks = 0; looks < MAX_LOOKS; looks++) {
        const now = await headOf(server.url)
        if (now !== null && now > head) return void (head = now)
        await sleep(LOOK_AGAIN_MS)
      }
      throw new Error(`nobody gets on: ${JSON.stringify({ kills, head, failures: nodes.failures })}`)
    }
    while (total() < options.kills) {
      if (randomInt(random, AT_ONCE) > 0) await getOn()
      await sleep(30 + randomInt(random, ALIVE_MS))
      await Promise.all((ROUNDS[randomInt(random, ROUNDS.length)] ?? []).map(kill))
    }

    await Promise.all(writers.map((writer) => stop(writer, 'SIGTERM')))
    await nodes.untilReady()
    await Promise.all(CLIENTS.map((name) => stop(runs[name], 'SIGTERM')))
    const differing = () =>
      ['b', 'c'].flatMap((name) =>
        compareFiles(fileOf('a'), fileOf(name), TABLES).filter((table) => table.differing > 0),
      )
    for (let round = 0; round === 0 || differing().length > 0; round++) {
      if (round === MAX_HEALING) throw new Error(`not equal after healing: ${JSON.stringify(differing())}`)
      for (const name of CLIENTS) await tidemark(name, 'sync', 'now', fileOf(name)).catch(passing)
    }
    const writes = checkTruth(fileOf('a'), logs)
    await tidemark('fresh', 'clone', 'kill', fileOf('fresh'))
    const compared = compareFiles(fileOf('a'), fileOf('fresh'), TABLES)
    if (compared.some((table) => table.differing > 0))
      throw new Error(`the cloud is not as its clients: ${JSON.stringify(compared)}`)
    const rows = compared.reduce((sum, table) => sum + table.rows, 0)
    const { generations, ...records } = await checkDatabase(server.url, rows)
    await nodes.stop()
    const failures = [...processes.failures, ...nodes.failures]
    if (failures.length > 0) throw new Error(`a process failed: ${failures.join('\n')}`)
    rmSync(folder, { recursive: true, force: true })
    return { kills, restarts: nodes.restarts, writes, rows, records, generations }
  } finally {
    await processes.killAll()
  }
}

/** A command that met a node in a bad moment says so with 3, and is given again. */
function passing(error: unknown): void {
  if ((error as { readonly code?: number }).code !== 3) throw error
}
