import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { installCapture } from '../src/stores/sqlite/capture/capture.ts'
import { betterSqlite3 } from '../src/stores/sqlite/driver/better-sqlite3.ts'
import type { Connection } from '../src/stores/sqlite/driver/driver.ts'
import { readShapes } from '../src/stores/sqlite/shape/read.ts'
import { makeCities, quantile } from './rig.ts'

const ROWS = 50_000
const SINGLE = 2_000
const ROUNDS = 5

interface CaptureCost {
  readonly work: string
  readonly ratio: number
  readonly target: string
}

/** What an application's writes cost with capture, against the same without: medians of paired rounds. */
export function measureCapture(): readonly CaptureCost[] {
  const targets = {
    'bulk insert': '≤ 1.6 ×',
    'bulk update': '≤ 1.8 ×',
    'autocommit insert': '≤ 1.6 ×',
    'autocommit update': '≤ 1.8 ×',
  }
  const ratios = new Map<string, number[]>()
  for (let round = 0; round < ROUNDS; round++) {
    const plain = measureOnce(false)
    const captured = measureOnce(true)
    for (const [work, ms] of captured) {
      const ratio = ms / (plain.get(work) ?? ms)
      ratios.set(work, [...(ratios.get(work) ?? []), ratio])
    }
  }
  return Object.entries(targets).map(([work, target]) => ({
    work,
    ratio: quantile(ratios.get(work) ?? [], 0.5),
    target,
  }))
}

function measureOnce(withCapture: boolean): ReadonlyMap<string, number> {
  const file = join(tmpdir(), `tidemark-capture-${process.pid}.db`)
  const clean = () =>
    ['', '-wal', '-shm', '-journal'].forEach((end) => rmSync(`${file}${end}`, { force: true }))
  clean()
  makeCities(file, ROWS)
  const connection = betterSqlite3.open(file)
  try {
    connection.exec('PRAGMA journal_mode = WAL')
    if (withCapture) installCapture(connection, readShapes(connection).shapes.values())
    return runWorks(connection)
  } finally {
    connection.close()
    clean()
  }
}

function runWorks(connection: Connection): ReadonlyMap<string, number> {
  const insert = connection.prepare('INSERT INTO cities VALUES (?, ?, ?, ?, ?, ?, ?)')
  const update = connection.prepare('UPDATE cities SET population = population + 1 WHERE id = ?')
  const ids = connection
    .prepare('SELECT id FROM cities ORDER BY id')
    .all()
    .map(([id]) => id as bigint)
  const add = (id: bigint) => insert.run(id, 'A new city', 'AD', '02', 1052n, 1.65362, 42.57952)
  const base = 1_000_000_000n
  const time = (work: () => void): number => {
    const begun = performance.now()
    work()
    return performance.now() - begun
  }
  const bulk = (work: () => void) =>
    time(() => {
      connection.exec('BEGIN')
      work()
      connection.exec('COMMIT')
    })
  return new Map([
    ['bulk insert', bulk(() => ids.forEach((_, at) => add(base + BigInt(at))))],
    ['bulk update', bulk(() => ids.forEach((id) => update.run(id)))],
    [
      'autocommit insert',
      time(() => {
        for (let at = 0; at < SINGLE; at++) add(base * 2n + BigInt(at))
      }),
    ],
    [
      'autocommit update',
      time(() => {
        for (let at = 0; at < SINGLE; at++) update.run(ids[at] ?? 0n)
      }),
    ],
  ])
}
