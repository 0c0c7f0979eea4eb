import { describe, expect, test } from 'vitest'

import type { Log } from '../../cloud/log/log.ts'
import { randomInt, seededRandom, type Random } from '../../kernel/random.ts'
import type { Fields } from '../../kernel/values.ts'
import type { PushResult } from '../../protocol/push.ts'
import type { Change, WireRecord } from '../../protocol/records.ts'
import { hydrateAll, put, del, Reader, SPACE, START, T0, type OpenLog } from './harness.ts'

interface Row {
  readonly version: number
  readonly fields: Fields | null
}

/** A replica without edits of its own beyond the push under way: it holds exactly what the log told it. */
class Mirror {
  readonly rows = new Map<string, Row>()
  readonly reader: Reader
  readonly #random: Random

  constructor(log: Log, id: string, random: Random) {
    this.reader = new Reader(log, id)
    this.#random = random
  }

  async push(keys: number): Promise<void> {
    const changes = new Map<string, Change>()
    for (let count = 1 + randomInt(this.#random, 4); count > 0; count--) {
      const name = `${randomInt(this.#random, keys)}`
      changes.set(name, this.#draw(name))
    }
    const list = [...changes.values()]
    const { results } = await this.reader.push(list, { force: this.#random.next() < 0.2 })
    expect(results).toHaveLength(list.length)
    const request = this.reader.lastRequest
    if (request !== null && this.#random.next() < 0.3) {
      const statuses = (list: readonly PushResult[]) =>
        list.map((result) => [result.status, versionOrNull(result)])
      expect(statuses((await this.reader.send(request)).results)).toEqual(statuses(results))
    }
    for (const [at, change] of list.entries()) this.#settle(change, results[at] as PushResult)
  }

  #draw(name: string): Change {
    const row = this.rows.get(`["${name}"]`)
    const hlc = T0 + randomInt(this.#random, 1_000_000)
    const value = randomInt(this.#random, 1_000)
    const base = row?.version ?? 0
    if (row === undefined || row.fields === null)
      return put(name, base, { x: value, y: value, z: value }, { hlc })
    if (this.#random.next() < 0.2) return del(name, base, { hlc })
    const column = ['x', 'y', 'z'][randomInt(this.#random, 3)] ?? 'x'
    return put(name, base, { [column]: value }, { hlc })
  }

  #settle(change: Change, result: PushResult): void {
    if (result.status === 'ok' && result.current === undefined) {
      const before = this.rows.get(change.key)?.fields ?? null
      const fields = change.op === 'delete' ? null : { ...before, ...change.fields }
      this.rows.set(change.key, { version: result.version, fields })
    } else if (result.status !== 'rejected' && result.current !== undefined && result.current !== null) {
      this.apply(result.current)
    }
  }

  async pull(limit: number): Promise<void> {
    const before = this.reader.cursor?.version ?? 0
    const answer = await this.reader.pull({ limit })
    let last = before
    for (const record of answer.records) {
      expect(record.version).toBeGreaterThan(last)
      last = record.version
      this.apply(record)
    }
    expect(answer.next).toBeGreaterThanOrEqual(last)
    expect(answer.has_more ? answer.next : answer.head).toBe(answer.next)
  }

  apply(record: WireRecord): void {
    const version = this.rows.get(record.key)?.version ?? 0
    if (record.version >= version)
      this.rows.set(record.key, { version: record.version, fields: record.fields ?? null })
  }

  live(): readonly (readonly [string, number, Fields])[] {
    return [...this.rows].flatMap(([key, { version, fields }]) =>
      fields === null ? [] : [[key, version, fields] as const],
    )
  }
}

/** Replicas that push and pull at the same time, at random. Rejects when one of them missed anything. */
export async function runModel(open: OpenLog, seed: number): Promise<void> {
  await using harness = await open(START)
  const { log } = harness
  await log.ensureSpace(SPACE)
  const random = seededRandom(seed)
  const keys = 3 + randomInt(random, 30)
  const mirrors = Array.from(
    { length: 4 },
    (_, at) => new Mirror(log, `r${at}`, seededRandom(seed * 100 + at)),
  )
  for (const { reader } of mirrors) await reader.start()
  await Promise.all(
    mirrors.map(async (mirror) => {
      for (let step = 0; step < 25; step++) {
        if (random.next() < 0.5) await mirror.push(keys)
        else await mirror.pull(1 + randomInt(random, 5))
      }
    }),
  )
  const rows = await hydrateAll(log)
  const truth = rows.map(({ key, version, fields }) => [key, version, fields ?? {}] as const)
  for (const mirror of mirrors) {
    for (const record of await mirror.reader.pullAll({ limit: 7 })) mirror.apply(record)
    expect([...mirror.live()].sort(byKey)).toEqual([...truth].sort(byKey))
  }
}

export function modelContract(open: OpenLog, seeds: number): void {
  describe('many replicas at once', () => {
    for (let seed = 1; seed <= seeds; seed++) {
      test(`I2, I4: everybody ends with what the log holds (seed ${seed})`, () => runModel(open, seed))
    }
  })
}

const versionOrNull = (result: PushResult): number | null => (result.status === 'ok' ? result.version : null)

const byKey = (a: readonly [string, ...unknown[]], b: readonly [string, ...unknown[]]): number =>
  a[0] < b[0] ? -1 : 1
