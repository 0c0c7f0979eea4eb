import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

import Database from 'better-sqlite3'

import { makeSample } from '../src/cli/sample.ts'
import { BUILT } from './build.ts'

const MAIN = join(BUILT, 'src/cli/main.js')
const CLIENT = join(BUILT, 'bench/client.js')
const runFile = promisify(execFile)

/** A cloud as people run it: tokens, durable log, HTTP on loopback, each node in a process of its own. */
export interface Rig extends AsyncDisposable {
  readonly folder: string
  /** Of the first node. */
  readonly url: string
  readonly nodes: readonly Node[]
  readonly token: string
  makeToken(): Promise<string>
  readonly cloudPid: number
  /** Runs one piece of work in a fresh client process; answers what it printed. */
  client<T>(work: string, input: object): Promise<T>
}

export interface Node {
  readonly url: string
  readonly pid: number
  stop(): Promise<void>
}

/** With `database` so many nodes on a PostgreSQL, else one on a file of its own. */
export async function startRig(
  options: { readonly database?: string; readonly nodes?: number } = {},
): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-bench-'))
  const home = join(folder, 'cloud')
  const place = options.database === undefined ? [] : ['--database', options.database]
  const nodes = [await startNode(home, place)]
  while (nodes.length < (options.nodes ?? 1)) nodes.push(await startNode(home, place))
  const [first] = nodes as [Node]
  const command = ['--home', home, 'cloud', ...place, 'token', 'create']
  const makeToken = async () => (await runFile(process.execPath, [MAIN, ...command])).stdout.trim()
  const token = await makeToken()
  return {
    folder,
    url: first.url,
    nodes,
    token,
    makeToken,
    cloudPid: first.pid,
    async client<T>(work: string, input: object): Promise<T> {
      const args = [CLIENT, work, JSON.stringify({ url: first.url, token, folder, ...input })]
      const result = await runFile(process.execPath, args, { maxBuffer: 64 * 1024 * 1024 })
      return JSON.parse(result.stdout.trim().split('\n').at(-1) ?? 'null') as T
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node.stop()))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function startNode(home: string, place: readonly string[]): Promise<Node> {
  // The load comes from one address and with one token.
  const rates = ['--token-rate', '0', '--address-rate', '0']
  const args = ['--home', home, '--json', 'cloud', ...place, '--port', '0', ...rates]
  const node = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const gone = new Promise<void>((resolve) => node.once('exit', () => resolve()))
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: node.stdout }).once('line', resolve)
    node.once('exit', (code) => reject(new Error(`the cloud ended with ${code}`)))
  })
  return {
    url: (JSON.parse(line) as { readonly url: string }).url,
    pid: node.pid ?? 0,
    async stop() {
      node.kill('SIGTERM')
      await gone
    },
  }
}

const CITIES = `CREATE TABLE cities (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT NOT NULL,
  admin TEXT, population INTEGER NOT NULL, latitude REAL NOT NULL, longitude REAL NOT NULL
)`

/** A file of `rows` real city records, 7 columns; past 135,233 they repeat under other ids. */
export function makeCities(file: string, rows: number): void {
  const source = `${file}.source`
  makeSample(source)
  const database = new Database(file)
  database.exec(CITIES)
  database.prepare('ATTACH ? AS source').run(source)
  const add = database.prepare(
    'INSERT INTO cities SELECT id + ? * 100000000, name, country, admin, population, latitude, longitude FROM source.cities ORDER BY id LIMIT ?',
  )
  for (let have = 0, copy = 0; have < rows; copy++) have += add.run(copy, rows - have).changes
  database.close()
  rmSync(source)
}

/** Rows of text, about 400 characters each: places in order, a dozen to a note. */
export function makeNotes(file: string, rows: number): void {
  const source = `${file}.source`
  makeSample(source)
  const database = new Database(file)
  database.exec('CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT NOT NULL, body TEXT NOT NULL)')
  database.prepare('ATTACH ? AS source').run(source)
  database
    .prepare(
      `INSERT INTO notes SELECT id, name, group_concat(name || ' in ' || country || ', population ' || population, '; ')
         OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND 11 FOLLOWING) FROM source.cities ORDER BY id LIMIT ?`,
    )
    .run(rows)
  database.close()
  rmSync(source)
}

/** What this machine does with the same rows and no sync at all: rows a second of prepared INSERT and of SELECT. */
export function measurePlain(file: string): { readonly insert: number; readonly select: number } {
  const source = new Database(file, { readonly: true })
  const select = source.prepare('SELECT * FROM cities').raw().safeIntegers(true)
  const readBegun = performance.now()
  const rows = select.all() as unknown[][]
  const readMs = performance.now() - readBegun
  const target = new Database(`${file}.plain`)
  target.pragma('journal_mode = WAL')
  target.exec(CITIES)
  const insert = target.prepare('INSERT INTO cities VALUES (?, ?, ?, ?, ?, ?, ?)')
  const writeBegun = performance.now()
  target.transaction(() => rows.forEach((row) => insert.run(...row)))()
  const writeMs = performance.now() - writeBegun
  source.close()
  target.close()
  for (const end of ['', '-wal', '-shm']) rmSync(`${file}.plain${end}`, { force: true })
  return {
    insert: Math.round((rows.length / writeMs) * 1_000),
    select: Math.round((rows.length / readMs) * 1_000),
  }
}

/** The value below which this share of the sorted samples lies. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
