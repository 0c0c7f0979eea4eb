/**
 * Chance requests against a cloud: `npm run fuzz -- --cases 20000 --seed 1 --storage sqlite`.
 * `--case FILE` sends one again, which a run before has printed.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

import pg from 'pg'

import { startPostgres } from '../../postgres/server.ts'
import { openPostgres, STORAGES, type OpenStorage, type StorageName } from '../storages.ts'
import type { HttpCase, RouteName } from './http-case.ts'
import { CaseFailed, runCase, runRound, runSweep, type Counts } from './rounds.ts'

/** Cases against one cloud: what came before a failure stays small enough to be repeated. */
const ROUND = 500
/** Of each kind of fault that is put in everywhere, so many: more than there are. */
const ALL = 1_000

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '5000' },
    seed: { type: 'string', default: '1' },
    storage: { type: 'string', default: 'sqlite' },
    case: { type: 'string' },
  },
})

function storageOf(name: string): OpenStorage {
  if (Object.hasOwn(STORAGES, name)) return STORAGES[name as StorageName]
  throw new Error(`--storage is one of ${Object.keys(STORAGES).join(', ')}, postgres`)
}

/** A server of PostgreSQL with a database for each storage; they go with it. */
async function startDatabases(): Promise<{ readonly open: OpenStorage } & AsyncDisposable> {
  const server = await startPostgres({ flags: ['fsync=off'] })
  let made = 0
  return {
    async open() {
      const name = `fuzz_${++made}`
      const client = new pg.Client({ connectionString: server.url })
      await client.connect()
      await client.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8'`)
      await client.end()
      const url = new URL(server.url)
      url.pathname = `/${name}`
      return openPostgres({ url: url.href, async [Symbol.asyncDispose]() {} })
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

function wholeNumber(name: string, text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`--${name} is a whole number`)
  return number
}

async function fuzz(open: OpenStorage, seed: number, cases: number): Promise<void> {
  const totals = new Map<RouteName, Map<number | 'closed', number>>()
  const before = process.memoryUsage.rss()
  const add = (counts: Counts): void => {
    for (const [route, statuses] of counts) {
      const known = totals.get(route) ?? new Map<number | 'closed', number>()
      for (const [status, count] of statuses) known.set(status, (known.get(status) ?? 0) + count)
      totals.set(route, known)
    }
  }
  add(await runSweep(open, ALL))
  for (let done = 0, round = seed; done < cases; done += ROUND, round++) {
    add(await runRound(open, round, Math.min(ROUND, cases - done)))
    if (process.stderr.isTTY) process.stderr.write(`\r${done} cases`)
  }
  for (const [route, statuses] of [...totals].sort()) {
    const cells = [...statuses].sort().map(([status, count]) => `${status}: ${count}`)
    console.log(`${route.padEnd(18)} ${cells.join('  ')}`)
  }
  const mib = (bytes: number): number => Math.round(bytes / 2 ** 20)
  const peak = process.resourceUsage().maxRSS * 1_024
  console.log(
    `${cases} cases from seed ${seed}; ${mib(before)} MiB of memory before, ${mib(peak)} MiB at the most`,
  )
}

await using databases = values.storage === 'postgres' ? await startDatabases() : null
const open = databases?.open ?? storageOf(values.storage)
try {
  if (values.case !== undefined)
    console.log(await runCase(open, JSON.parse(readFileSync(values.case, 'utf8')) as HttpCase))
  else await fuzz(open, wholeNumber('seed', values.seed), wholeNumber('cases', values.cases))
} catch (error) {
  if (!(error instanceof CaseFailed)) throw error
  console.error(error.message)
  const alone = await runCase(open, error.kase).then(
    () => 'Alone it does not fail: repeat the whole round.',
    (alone: unknown) =>
      `It fails alone too (${alone instanceof Error ? alone.message : 'thrown'}): keep the line above in a file and repeat it with --case.`,
  )
  console.error(alone)
  process.exitCode = 1
}
