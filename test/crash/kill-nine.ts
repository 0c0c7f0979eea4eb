import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { compareFiles } from '../../src/daemon/compare.ts'
import { randomInt, seededRandom } from '../../src/kernel/random.ts'
import { killCluster } from './cluster.ts'
import { openProcesses, stop } from './processes.ts'
import { checkTruth, makeFile, TABLES } from './writes.ts'

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname
const WRITER = new URL('./writer.ts', import.meta.url).pathname
const runFile = promisify(execFile)

export interface KillReport {
  readonly kills: { readonly [victim: string]: number }
  readonly writes: number
  readonly rows: number
}

/**
 * Real processes on real files: a cloud, two `tidemark run`, a writer on each file. Kills with SIGKILL at random
 * moments, restarts at once, and goes on. Afterwards: both files equal, every committed write there or
 * superseded by its own writer, nothing twice. Throws with what is wrong.
 */
export async function killNine(options: {
  readonly kills: number
  readonly seed: number
}): Promise<KillReport> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-kill-'))
  const random = seededRandom(options.seed)
  const processes = openProcesses()
  const { start, failures } = processes
  const homes = { a: join(folder, 'a'), b: join(folder, 'b') }
  const files = { a: join(folder, 'a.db'), b: join(folder, 'b.db') }
  const port = 20_000 + randomInt(random, 20_000)
  const tidemark = async (home: string, ...args: string[]): Promise<string> =>
    (await runFile(process.execPath, [MAIN, '--home', home, ...args])).stdout.trim()
  try {
    makeFile(files.a)
    const cloudArgs = [MAIN, '--home', join(folder, 'cloud'), 'cloud', '--port', String(port)] as const
    const startCloud = () => start(...cloudArgs)
    let cloud = startCloud()
    await untilAnswers(port)
    const token = await tidemark(join(folder, 'cloud'), 'cloud', 'token', 'create')
    for (const home of Object.values(homes)) {
      mkdirSync(home, { recursive: true })
      await tidemark(home, 'config', 'set', 'endpoint', `http://127.0.0.1:${port}`)
      await tidemark(home, 'config', 'set', 'token', token)
    }
    await tidemark(homes.a, 'attach', files.a, '--space', 'kill', '--yes')
    await tidemark(homes.b, 'clone', 'kill', files.b)
    const startRun = (name: 'a' | 'b') => start(MAIN, '--home', homes[name], 'run', files[name])
    const runs = { a: startRun('a'), b: startRun('b') }
    const logs = { a: join(folder, 'a.log'), b: join(folder, 'b.log') }
    const writers = [start(WRITER, files.a, 'a', logs.a), start(WRITER, files.b, 'b', logs.b)]

    const kills: { [victim: string]: number } = { a: 0, b: 0, cloud: 0 }
    const kill = async (victim: 'a' | 'b' | 'cloud'): Promise<void> => {
      const child = victim === 'cloud' ? cloud : runs[victim]
      if (child.exitCode === null && child.signalCode === null) {
        const gone = new Promise((resolve) => child.once('exit', resolve))
        child.kill('SIGKILL')
        await gone
        kills[victim] = (kills[victim] ?? 0) + 1
      }
      if (victim === 'cloud') cloud = startCloud()
      else runs[victim] = startRun(victim)
    }
    while (Object.values(kills).reduce((sum, count) => sum + count, 0) < options.kills) {
      // Young enough to die while starting, old enough to have worked.
      await new Promise((resolve) => setTimeout(resolve, 30 + randomInt(random, 1_200)))
      const victims =
        ([['a'], ['b'], ['cloud'], ['a', 'cloud'], ['a', 'b'], ['a', 'b', 'cloud']] as const)[
          randomInt(random, 6)
        ] ?? []
      await Promise.all(victims.map(kill))
    }

    await Promise.all(writers.map((writer) => stop(writer, 'SIGTERM')))
    await untilAnswers(port)
    await Promise.all([stop(runs.a, 'SIGTERM'), stop(runs.b, 'SIGTERM')])
    for (let round = 0; ; round++) {
      for (const name of ['a', 'b'] as const) await tidemark(homes[name], 'sync', 'now', files[name])
      const differing = compareFiles(files.a, files.b, TABLES).filter((table) => table.differing > 0)
      if (differing.length === 0) break
      if (round >= 10) throw new Error(`not equal after healing: ${JSON.stringify(differing)}`)
    }
    const writes = checkTruth(files.a, Object.values(logs))
    await stop(cloud, 'SIGTERM')
    if (failures.length > 0) throw new Error(`a process failed: ${failures.join('\n')}`)
    const rows = compareFiles(files.a, files.b, TABLES).reduce((sum, table) => sum + table.rows, 0)
    rmSync(folder, { recursive: true, force: true })
    return { kills, writes, rows }
  } finally {
    await processes.killAll()
  }
}

async function untilAnswers(port: number): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    try {
      if ((await fetch(`http://127.0.0.1:${port}/readyz`)).ok) return
    } catch {
      // Not there yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('the cloud does not answer')
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  // `postgres 100 1`: two nodes on one PostgreSQL, and three clients; else the cloud of one file.
  const [first, ...rest] = process.argv.slice(2)
  const onPostgres = first === 'postgres'
  const [kills = onPostgres ? '100' : '200', seed = '1'] =
    onPostgres || first === undefined ? rest : [first, ...rest]
  const begun = performance.now()
  const options = { kills: Number(kills), seed: Number(seed) }
  const report = await (onPostgres ? killCluster(options) : killNine(options))
  console.log(JSON.stringify({ ...report, seconds: Math.round((performance.now() - begun) / 1_000) }))
}
