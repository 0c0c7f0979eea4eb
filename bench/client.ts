/**
 * One piece of work in a process of its own, so that its memory is its own. Usage: client.ts WORK JSON; prints
 * one line of JSON with what it measured. `run.ts` calls it.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import Database from 'better-sqlite3'

import { favourMemory } from '../src/cli/memory.ts'
import { attachFile, cloneSpace } from '../src/daemon/attach.ts'
import { openReplica, type Replica } from '../src/daemon/replica.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { systemRandom } from '../src/kernel/random.ts'
import { measureLibrary, type LibraryInput } from './library.ts'
import { quantile } from './rig.ts'
import { homeFolders } from '../src/machine/folders.ts'

interface Input {
  readonly url: string
  readonly token: string
  readonly folder: string
  readonly file: string
  readonly space: string
  readonly rows?: number
  readonly rounds?: number
  readonly other?: string
  /** Another node, for the other side of `latency`. */
  readonly otherUrl?: string
}

const [work = '', json = '{}'] = process.argv.slice(2)
const input = JSON.parse(json) as Input

const shared = (name: string) => {
  const home = join(input.folder, `home-${name}`)
  return {
    folders: homeFolders(home),
    clock: systemClock,
    random: systemRandom,
    connection: { endpoint: input.url, token: input.token },
    profile: 'default',
    space: input.space,
  }
}

/** Opens a replica and follows the longest lock and whether it is live yet. */
async function open(file: string, name: string): Promise<{ readonly replica: Replica; lockMs: number }> {
  const replica = await openReplica({ ...shared(name), file })
  const state = { replica, lockMs: 0 }
  replica.engine.on((event) => {
    if (event.type === 'applied') state.lockMs = Math.max(state.lockMs, event.lockMs)
  })
  await replica.engine.start()
  return state
}

/** What `arrivals` says: milliseconds on the clock of this machine, and the value it read. */
interface Arrival {
  readonly at: number
  readonly population: number
}
const now = (): number => performance.timeOrigin + performance.now()

const maxRssMiB = (): number => Math.round(process.resourceUsage().maxRSS / 1024)

const WORKS: { readonly [name: string]: () => Promise<object> } = {
  /** Seeds, hydrates and syncs through the library. */
  library: () => measureLibrary(JSON.parse(json) as LibraryInput),

  /** Attaches and sends everything. */
  async upload() {
    await attachFile({ ...shared('a'), file: input.file, merge: false })
    const begun = performance.now()
    const { replica } = await open(input.file, 'a')
    const { pushed } = await replica.engine.syncNow()
    const ms = performance.now() - begun
    await replica[Symbol.asyncDispose]()
    return { rows: pushed, ms, rss: maxRssMiB() }
  },

  /** Makes a replica and reads everything. */
  async hydrate() {
    await cloneSpace({ ...shared('b'), file: input.file })
    const begun = performance.now()
    const { replica, ...rest } = await open(input.file, 'b')
    const { applied } = await replica.engine.syncNow()
    const ms = performance.now() - begun
    await replica[Symbol.asyncDispose]()
    return { rows: applied, ms, rss: maxRssMiB(), lockMs: rest.lockMs }
  },

  /** 100 changed rows on one replica, pushed and pulled by the other, `rounds` times. */
  async changes() {
    const a = await open(input.file, 'a')
    const b = await open(input.other ?? '', 'b')
    await a.replica.engine.syncNow()
    await b.replica.engine.syncNow()
    const application = new Database(input.file, { timeout: 5_000 })
    const ids = application.prepare('SELECT id FROM cities ORDER BY random() LIMIT 100').pluck().all()
    const update = application.prepare('UPDATE cities SET population = population + 1 WHERE id = ?')
    const samples: number[] = []
    for (let round = 0; round < (input.rounds ?? 20); round++) {
      application.transaction(() => ids.forEach((id) => update.run(id)))()
      const begun = performance.now()
      await a.replica.engine.syncNow()
      await b.replica.engine.syncNow()
      samples.push(performance.now() - begun)
    }
    application.close()
    const lockMs = Math.max(a.lockMs, b.lockMs)
    await a.replica[Symbol.asyncDispose]()
    await b.replica[Symbol.asyncDispose]()
    return { p50: quantile(samples, 0.5), p99: quantile(samples, 0.99), lockMs }
  },

  /**
   * One committed change here until it is committed there, both live and each in a process of its own, as two
   * devices are. `rows` 1: the engine is told by the writer; 0: it has to notice.
   */
  async latency() {
    const a = await open(input.file, 'a')
    await a.replica.engine.syncNow()
    const application = new Database(input.file, { timeout: 5_000 })
    const id = Number(application.prepare('SELECT id FROM cities LIMIT 1').pluck().get())
    const update = application.prepare('UPDATE cities SET population = ? WHERE id = ?')
    const args = [
      process.argv[1] ?? '',
      'arrivals',
      JSON.stringify({ ...input, url: input.otherUrl ?? input.url, rows: id }),
    ]
    const other = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines = createInterface({ input: other.stdout })[Symbol.asyncIterator]()
    const nextLine = async () => JSON.parse(String((await lines.next()).value)) as Arrival
    await nextLine()
    const samples: number[] = []
    for (let round = 0; round < (input.rounds ?? 100); round++) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      const begun = now()
      update.run(1_000_000 + round, id)
      if (input.rows === 1) a.replica.store.notify()
      for (;;) {
        const { population, at } = await nextLine()
        if (population !== 1_000_000 + round) continue
        samples.push(at - begun)
        break
      }
    }
    other.stdin.end()
    application.close()
    await a.replica[Symbol.asyncDispose]()
    return { p50: quantile(samples, 0.5), p99: quantile(samples, 0.99), lockMs: a.lockMs }
  },

  /** The other side of `latency`: says what each change that was applied has left in the file, and when. */
  async arrivals() {
    const b = await open(input.other ?? '', 'b')
    await b.replica.engine.syncNow()
    const reader = new Database(input.other ?? '', { readonly: true })
    const read = reader.prepare('SELECT population FROM cities WHERE id = ?').pluck()
    const say = () => console.log(JSON.stringify({ at: now(), population: Number(read.get(input.rows)) }))
    b.replica.engine.on(({ type }) => {
      if (type === 'applied') say()
    })
    say()
    await new Promise((resolve) => process.stdin.once('end', resolve).resume())
    reader.close()
    await b.replica[Symbol.asyncDispose]()
    return {}
  },

  /** An idle live replica: memory, and the share of a core it takes over some seconds. */
  async idle() {
    const a = await open(input.file, 'a')
    await a.replica.engine.syncNow()
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    const before = process.cpuUsage()
    const begun = performance.now()
    await new Promise((resolve) => setTimeout(resolve, (input.rounds ?? 20) * 1_000))
    const { user, system } = process.cpuUsage(before)
    const core = (user + system) / 1_000 / (performance.now() - begun)
    const rss = Math.round(process.memoryUsage().rss / 1024 / 1024)
    await a.replica[Symbol.asyncDispose]()
    return { core, rss, maxRss: maxRssMiB() }
  },
}

favourMemory()
const run = WORKS[work]
if (run === undefined)
  throw new Error(`there is no work of this name; there are ${Object.keys(WORKS).join(', ')}`)
const { user, system } = process.cpuUsage()
const result = await run()
const used = process.cpuUsage({ user, system })
console.log(JSON.stringify({ ...result, cpuMs: Math.round((used.user + used.system) / 1_000) }))
process.exit(0)
