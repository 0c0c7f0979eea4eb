import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'

import type { Clock } from '../../kernel/clock.ts'
import { randomInt, seededRandom, type Random } from '../../kernel/random.ts'
import { del, hashOf, put, row, SPACE, START, T0 } from '../../testing/log-contract/harness.ts'
import type { PushRequest } from '../../protocol/push.ts'
import type { Change, Cursor } from '../../protocol/records.ts'
import type { Log } from './log.ts'
import { MemoryLog } from './memory.ts'
import { openSqliteLog } from './sqlite.ts'

/** One step on a log, drawn without looking at it: the same for every log. */
type Step = (log: Log, ids: Ids) => Promise<unknown>
/** What differs between logs: ids that each makes by itself. */
interface Ids {
  readonly epoch: string
  readonly generation: string
}

const REPLICAS = ['a', 'b', 'c'] as const
const TABLES = ['t', 'u', 'constructor'] as const

/** Draws steps that often hit: versions near the head, few keys, few values. */
class Draw {
  readonly #random: Random
  readonly #mutations = new Map<string, number>()
  readonly #sent: PushRequest[] = []
  /** A guess at the head, so that bases and cursors are sometimes right. */
  head = 0

  constructor(random: Random) {
    this.#random = random
  }

  step(): Step {
    const draw = this.#random.next()
    if (draw < 0.42) return this.#push()
    if (draw < 0.45) return this.#bulk()
    if (draw < 0.55) return this.#repeat()
    if (draw < 0.7) return this.#pull()
    if (draw < 0.75) return this.#parts()
    if (draw < 0.8) return this.#batch()
    if (draw < 0.84) return this.#collect()
    if (draw < 0.88) return this.#hydrate()
    if (draw < 0.9) return (log) => log.forgetReplica(SPACE, 'c')
    if (draw < 0.92) {
      const tables = [table('t', this.#pick(['mail', 'x'])), table('u', 'y')]
      return (log) => log.putSchema(SPACE, tables)
    }
    return (log) =>
      log
        .status(SPACE)
        .then(({ records, tombstones, replicas, floor, head }) => [
          records,
          tombstones,
          replicas,
          floor,
          head,
        ])
  }

  #pick<T>(list: readonly T[]): T {
    return list[randomInt(this.#random, list.length)] as T
  }

  #version(): number {
    return this.#random.next() < 0.3 ? 0 : randomInt(this.#random, this.head + 2)
  }

  #change(): Change {
    const key = `${randomInt(this.#random, 6)}`
    const base = this.#version()
    const claims =
      this.#random.next() < 0.4
        ? { claims: { [this.#pick(['i', '__proto__'])]: this.#pick(['v', 'w', 'x', null]) } }
        : {}
    const was = this.#random.next() < 0.15 ? { was: randomInt(this.#random, 50) } : {}
    const hlc = this.#random.next() < 0.2 ? 1 : T0 + randomInt(this.#random, 200_000_000)
    const extra = { table: this.#pick(TABLES), hlc, ...claims, ...was }
    if (this.#random.next() < 0.2) return del(key, base, extra)
    const names = ['x', 'y', 'z', 'mail', 'constructor'].filter(() => base === 0 || this.#random.next() < 0.4)
    const entries = names.map(
      (name) => [name, this.#pick([1, 2, null, 'é"\\', { $real: '1' }, 'a\0b'])] as const,
    )
    return put(
      key,
      base,
      Object.fromEntries(
        this.#random.next() < 0.03 ? [['x', 'a\0b']] : entries.filter(([, value]) => value !== 'a\0b'),
      ),
      extra,
    )
  }

  #request(replica: string, more: Partial<PushRequest> = {}): PushRequest {
    const mutation = (this.#mutations.get(replica) ?? 0) + 1
    const changes = Array.from({ length: 1 + randomInt(this.#random, 5) }, () => this.#change())
    const force = this.#random.next() < 0.2 ? { force: true } : {}
    this.head += changes.length >> 1
    return { space: 'n', replica, mutation, cursor: null, changes, ...force, ...more }
  }

  #push(): Step {
    const replica = this.#pick(REPLICAS)
    const request = this.#request(replica)
    this.#mutations.set(replica, request.mutation)
    this.#sent.push(request)
    return (log) => log.push(SPACE, { request, hash: hashOf(request) })
  }

  /** Many new rows at once, of which some may be there. */
  #bulk(): Step {
    const replica = this.#pick(REPLICAS)
    const [prefix, start, every] = [
      this.#pick(['p', 'q', 'r']),
      randomInt(this.#random, 150),
      this.#pick([1, 1, 2]),
    ]
    const odd = this.#random.next() < 0.2 ? randomInt(this.#random, 100) : -1
    const isUnique = this.#random.next() < 0.5
    const changes = Array.from({ length: 100 + randomInt(this.#random, 20) }, (_, at) => {
      const no = start + (at === odd ? 0 : at * every)
      const value = this.#random.next() < 0.01 ? 'v' : `${prefix}${no}`
      const claims = isUnique && at % 3 > 0 ? { claims: { i: at % 3 === 1 ? value : null } } : {}
      const fields = { x: this.#random.next() < 0.001 ? 'a\0b' : at }
      return put(`${prefix}${no}`, 0, fields, { table: this.#pick(['t', 'u']), ...claims })
    })
    const request = this.#request(replica, { changes })
    this.head += changes.length >> 1
    this.#mutations.set(replica, request.mutation)
    this.#sent.push(request)
    return (log) => log.push(SPACE, { request, hash: hashOf(request) })
  }

  #repeat(): Step {
    if (this.#sent.length === 0) return this.#push()
    const request = this.#pick(this.#sent.slice(-4))
    return (log) => log.push(SPACE, { request, hash: hashOf(request) })
  }

  #parts(): Step {
    const replica = this.#pick(REPLICAS)
    const of = 1 + randomInt(this.#random, 3)
    const attempt = `attempt-${randomInt(this.#random, 3)}`
    const parts = Array.from({ length: of }, (_, index) =>
      this.#request(replica, { part: { index, of, attempt } }),
    )
    const whole = this.#random.next() < 0.6
    if (whole) {
      this.#mutations.set(replica, parts[0]?.mutation ?? 1)
      this.#sent.push(...parts)
    }
    return async (log) => {
      const answers: unknown[] = []
      for (const request of whole ? parts : parts.slice(0, -1)) {
        answers.push(await log.push(SPACE, { request, hash: hashOf(request) }))
      }
      return answers
    }
  }

  #pull(): Step {
    const version = this.#version()
    const replica = this.#pick(REPLICAS)
    const limit = 1 + randomInt(this.#random, 5)
    const tables = this.#random.next() < 0.3 ? { tables: [this.#pick(TABLES), 'never'] } : {}
    const high = Math.max(version, this.#version())
    return (log, ids) => {
      const cursor: Cursor = { ...ids, version, high }
      return log.pull(SPACE, { space: 'n', replica, cursor, limit, ...tables })
    }
  }

  #batch(): Step {
    const time = START - 5 + randomInt(this.#random, 10)
    const rows = Array.from({ length: 3 }, () =>
      row(
        `${randomInt(this.#random, 6)}`,
        { x: randomInt(this.#random, 3), updated_at: time },
        this.#pick([time, null]),
        this.#pick(TABLES),
      ),
    )
    this.head++
    return (log) => log.batch(SPACE, rows)
  }

  #collect(): Step {
    const options = {
      liveSince: START - this.#pick([-1_000_000, 1]),
      retainSince: START - this.#pick([-2, 1_000_000]),
    }
    return (log) => log.collect(SPACE, options)
  }

  #hydrate(): Step {
    const replica = this.#pick(REPLICAS)
    const limit = 1 + randomInt(this.#random, 6)
    const tables = this.#random.next() < 0.5 ? undefined : [this.#pick(TABLES)]
    return async (log) => {
      const start = await log.startHydrate(SPACE, replica, tables)
      const page = await log.hydratePage(SPACE, null, limit, tables)
      const next = page.last === null ? null : await log.hydratePage(SPACE, page.last, limit, tables)
      return [start, page, next].map(
        (part) => part && ('lines' in part ? part.lines.map((line) => JSON.parse(line) as unknown) : part),
      )
    }
  }
}

const table = (name: string, unique: string) => ({
  name,
  columns: [{ name: 'id', type: '' }],
  key: ['id'],
  unique: [{ claim: 'i', terms: [{ column: unique }] }],
  foreignKeys: [],
})

/** The outcome of a step, with the ids that each log makes by itself taken out. */
async function outcome(step: Step, log: Log, ids: Ids): Promise<string> {
  const text = await step(log, ids).then(
    (answer) => JSON.stringify(answer ?? null, sortKeys),
    (error: { code?: string; details?: unknown }) =>
      `${error.code} ${JSON.stringify(error.details, sortKeys)}`,
  )
  for (const mark of MARKS) if (text.includes(mark)) seen.set(mark, (seen.get(mark) ?? 0) + 1)
  return text.replaceAll(ids.epoch, 'EPOCH').replaceAll(ids.generation, 'GENERATION')
}

/** What must have happened now and then, or agreeing says little. */
const MARKS = [
  '"status":"ok"',
  '"status":"conflict"',
  '"status":"taken"',
  '"status":"rejected"',
  '"lost":',
  '"current":{',
  '"current":null',
  '"staged":2',
  '"deleted":true',
  '"fieldVersions":',
  '"has_more":true',
  '"by":"batch"',
  'replica_forked',
  'unprocessable',
  'cursor_expired',
  'lost_history',
]
const seen = new Map<string, number>()

const sortKeys = (_: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value

describe('the logs agree', () => {
  for (let seed = 1; seed <= 40; seed++) {
    test(`memory and sqlite answer alike (seed ${seed})`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'tidemark-agree-'))
      const file = join(folder, 'cloud.db')
      let time = START
      const clock: Clock = { now: () => time, after: () => () => {} }
      const memory = new MemoryLog({ clock, random: seededRandom(seed) })
      const sqlite = await openSqliteLog({ file, clock })
      const random = seededRandom(seed)
      const draw = new Draw(random)
      const idsOf = async (log: Log): Promise<Ids> => {
        await log.ensureSpace(SPACE)
        const { epoch, generation } = await log.status(SPACE)
        return { epoch, generation: generation.id }
      }
      const ids = [await idsOf(memory), await idsOf(sqlite)] as const
      for (let at = 0; at < 120; at++) {
        const step = draw.step()
        expect(await outcome(step, sqlite, ids[1])).toBe(await outcome(step, memory, ids[0]))
        time += randomInt(random, 3)
      }
      const { head } = await sqlite.status(SPACE)
      expect(head).toBeGreaterThan(10)
      await sqlite[Symbol.asyncDispose]()
      checkFile(file)
      rmSync(folder, { recursive: true })
    })
  }

  test('on everything that there is to answer', () => {
    expect(MARKS.filter((mark) => (seen.get(mark) ?? 0) < 10)).toEqual([])
  })
})

/** What is kept twice in the file agrees with itself. */
function checkFile(file: string): void {
  const database = new Database(file, { readonly: true })
  expect(database.pragma('integrity_check', { simple: true })).toBe('ok')
  const counts = database.prepare('SELECT no, live, buried FROM tables ORDER BY no').raw().all()
  const counted = database
    .prepare(
      `SELECT no, count(records.id) FILTER (WHERE buried_at IS NULL), count(buried_at)
       FROM tables LEFT JOIN records ON tbl = no GROUP BY no ORDER BY no`,
    )
    .raw()
    .all()
  expect(counts).toEqual(counted)
  const claims = database.prepare('SELECT tbl, name, value, key FROM claims ORDER BY 1, 2, 3').raw().all()
  const held = database
    .prepare(
      `SELECT tbl, json_each.key, json_each.value ->> 0, records.key FROM records, json_each(records.claims)
       WHERE json_each.value ->> 0 IS NOT NULL ORDER BY 1, 2, 3`,
    )
    .raw()
    .all()
  expect(claims).toEqual(held)
  database.close()
}
