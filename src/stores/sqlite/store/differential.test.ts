import { expect, test } from 'vitest'

import { type Clock } from '../../../kernel/clock.ts'
import { keyOf } from '../../../kernel/keys.ts'
import { randomInt, seededRandom, type Random } from '../../../kernel/random.ts'
import { canonicalJson, type Encoded, type Fields } from '../../../kernel/values.ts'
import { changeOf } from '../../../engine/push.ts'
import { reconcileAnswers, reconcileRecords } from '../../../engine/reconcile.ts'
import type { ResolverSet } from '../../../engine/resolvers.ts'
import type { LocalRow, Publication, PublishResult, Store } from '../../../engine/store.ts'
import type { PushResult } from '../../../protocol/push.ts'
import type { Change, Cursor, WireRecord } from '../../../protocol/records.ts'
import type { SchemaTable } from '../../../protocol/schema.ts'
import { NOTES, SEATS, WORDS } from '../../../testing/store-contract/tables.ts'
import type { ContractStatements } from '../../../testing/store-contract/harness.ts'
import { MemoryDatabase } from '../../memory/database.ts'
import { openMemoryStore } from '../../memory/store.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { applicationOn, createSql, readRows, temporaryFile } from './harness.ts'
import { attachFile, openSqliteStore } from './open.ts'

/**
 * The same random life for two stores, this one and the one in memory, which the simulation proves against a model:
 * after each step everything that the port shows must be the same. Times apart, which the stores stamp themselves.
 */

/** A unique column that is part of nothing else, and one in two columns. */
const PAIRS: SchemaTable = {
  name: 'pairs',
  columns: [
    { name: 'id', type: 'TEXT' },
    { name: 'a', type: 'INTEGER' },
    { name: 'b', type: 'INTEGER' },
    { name: 'n', type: 'TEXT', notNull: true },
  ],
  key: ['id'],
  unique: [
    { claim: 'a', terms: [{ column: 'a' }], index: 'pairs_a' },
    { claim: 'ab', terms: [{ column: 'b' }, { column: 'n' }], index: 'pairs_bn' },
  ],
  foreignKeys: [],
}
const TABLES = [NOTES, PAIRS, SEATS, WORDS]

const clock: Clock = { now: () => 1, after: () => () => {} }

interface Side extends AsyncDisposable {
  readonly store: Store
  readonly app: ContractStatements
  rows(table: string): readonly Fields[]
  reopen(): Promise<void>
}

function openMemory(): Side {
  const database = new MemoryDatabase({ clock, tables: TABLES, foreignKeys: false })
  const random = seededRandom(1)
  const open = (): Store => openMemoryStore(database, { clock, random, space: 's', replica: 'a' })
  let store = open()
  return {
    get store() {
      return store
    },
    app: {
      insert: async (table, row) => void database.write((app) => app.insert(table, row)),
      update: async (table, where, set) => void database.write((app) => app.update(table, where, set)),
      remove: async (table, where) => void database.write((app) => app.remove(table, where)),
    },
    rows: (table) => database.rows(table),
    async reopen() {
      await store[Symbol.asyncDispose]()
      store = open()
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
    },
  }
}

async function openSqlite(): Promise<Side> {
  const { file, remove } = temporaryFile()
  const connection = betterSqlite3.open(file, { create: true })
  for (const table of TABLES) connection.exec(createSql(table))
  const settings = { file, driver: betterSqlite3, clock, random: seededRandom(1), clockExpression: '1000' }
  await attachFile({ ...settings, space: 's', replica: 'a' })
  let store = openSqliteStore(settings)
  // The test is of what is written, not of when it reaches the disk.
  connection.exec('PRAGMA synchronous = OFF')
  return {
    get store() {
      return store
    },
    app: applicationOn(connection),
    rows: (table) => readRows(connection, table),
    async reopen() {
      await store[Symbol.asyncDispose]()
      store = openSqliteStore(settings)
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
      connection.close()
      remove()
    },
  }
}

const KEYS = ['a', 'b', 'c', 'd', 'E']

function randomRow(table: string, id: string, random: Random): Fields {
  const int = (below: number): number => randomInt(random, below)
  const maybe = (value: Encoded): Encoded => (int(4) === 0 ? null : value)
  switch (table) {
    case 'notes':
      return { id, title: `t${int(3)}`, body: int(3) === 0 ? 'long text '.repeat(1 + int(3)) : `b${int(3)}` }
    case 'pairs':
      return { id, a: maybe(int(5)), b: maybe(int(3)), n: `n${int(2)}` }
    case 'seats':
      return { id, place: maybe(int(5)), label: int(8) === 0 ? null : `l${int(2)}` }
    default:
      return { word: id, meaning: `m${int(3)}` }
  }
}

const keyColumnOf = (table: string): string => (table === 'words' ? 'word' : 'id')
const keyOfId = (table: string, id: string): string => keyOf([id], [table === 'words' ? 'NOCASE' : 'BINARY'])

const RESOLVERS: readonly ResolverSet[] = (['local', 'remote', 'wait'] as const).map((side) => ({
  default: { name: side, resolve: () => side },
}))

/** One step, done to either side alike; what it answers is compared. */
type Step = (side: Side) => Promise<unknown>

class Life {
  readonly #random: Random
  #version = 0
  #common = 0

  constructor(seed: number) {
    this.#random = seededRandom(seed)
  }

  int(below: number): number {
    return randomInt(this.#random, below)
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)] as T
  }

  next(inFlight: boolean, hydrating: boolean): { readonly name: string; readonly step: Step } {
    const roll = this.int(100)
    if (roll < 35) return this.#edit()
    if (inFlight)
      return roll < 70
        ? this.#acknowledge()
        : roll < 80
          ? this.#free()
          : roll < 85
            ? this.#adopt()
            : this.#edit()
    if (hydrating) return roll < 70 ? this.#pull(true) : this.#finish()
    if (roll < 60) return this.#pull(false)
    if (roll < 80) return this.#send()
    if (roll < 84) return this.#start()
    if (roll < 88) return this.#settle()
    if (roll < 91) return this.#quarantine()
    if (roll < 93) return this.#rebase()
    if (roll < 95) return { name: 'reopen', step: (side) => side.reopen() }
    if (roll < 97) return this.#imagesOnly()
    return { name: 'empty', step: (side) => publish(side.store, { records: [], merged: [], notes: [] }) }
  }

  #edit(): { readonly name: string; readonly step: Step } {
    const { name: table } = this.pick(TABLES)
    const id = this.pick(KEYS)
    const row = randomRow(table, id, this.#random)
    const column = this.pick(Object.keys(row))
    const kind = this.int(4)
    const where = { [keyColumnOf(table)]: id }
    const run = (app: ContractStatements): Promise<void> => {
      if (kind === 0) return app.remove(table, where)
      return kind === 1 ? app.update(table, where, { [column]: row[column] ?? null }) : app.insert(table, row)
    }
    return {
      name: `edit ${kind} ${table} ${id} ${column}`,
      step: ({ app }) =>
        run(app).then(
          () => 'done',
          () => 'refused',
        ),
    }
  }

  #record(): WireRecord {
    const { name: table } = this.pick(TABLES)
    const id = this.pick(KEYS)
    const version = ++this.#version
    const place = { table, key: keyOfId(table, id), version, hlc: version, by: 'b' }
    if (this.int(4) === 0) return { ...place, deleted: true }
    return { ...place, fields: randomRow(table, id, this.#random), since: [version, version] }
  }

  #records(): readonly WireRecord[] {
    // As they come staged: the last record of a key.
    const records = Array.from({ length: this.int(5) }, () => this.#record())
    return [...new Map(records.map((record) => [record.table + record.key, record])).values()]
  }

  #cursor(): Cursor {
    return { epoch: 'e', generation: 'g', version: this.#version, high: this.#version }
  }

  #pull(hydrate: boolean): { readonly name: string; readonly step: Step } {
    const records = hydrate ? this.#records().filter(({ deleted }) => deleted !== true) : this.#records()
    const resolvers = this.pick(RESOLVERS)
    const [last] = records.slice(-1)
    const cursor = this.#cursor()
    const floor = this.int(6) === 0 ? Math.max(0, this.#version - 10) : undefined
    const place = { head: cursor.version, table: last?.table ?? 'notes', key: last?.key ?? '["a"]' }
    const rest = hydrate ? { place } : { cursor, ...(floor === undefined ? {} : { floor }) }
    return {
      name: `pull ${resolvers.default.name} ${canonicalJson(records as unknown as Encoded)}`,
      step: ({ store }) => pull(store, records, resolvers, rest),
    }
  }

  #imagesOnly(): { readonly name: string; readonly step: Step } {
    const records = this.#records()
    return {
      name: 'images only',
      step: ({ store }) => publish(store, { records, merged: [], notes: [], imagesOnly: true }),
    }
  }

  #send(): { readonly name: string; readonly step: Step } {
    const rows = 1 + this.int(6)
    return {
      name: 'send',
      step: async ({ store }) => {
        // Each store has an order of its own: all are read, the same ones are sent.
        const dirty = (await store.readDirty({ rows: 1_000, bytes: 1e9 })).rows.map(changeOf)
        const changes = [...dirty].sort((a, b) => (a.table + a.key < b.table + b.key ? -1 : 1)).slice(0, rows)
        if (changes.length === 0) return 'nothing'
        const { mutation } = await store.state()
        await store.saveMutation({ number: mutation + 1, force: false, parts: [JSON.stringify({ changes })] })
        return changes.map((change) => shown(change))
      },
    }
  }

  #acknowledge(): { readonly name: string; readonly step: Step } {
    const resolvers = this.pick(RESOLVERS)
    const seed = this.int(1_000_000)
    const base = this.#version
    this.#version += 40
    return {
      name: `acknowledge ${resolvers.default.name}`,
      step: async ({ store }) => {
        const { inFlight } = await store.state()
        const changes = (inFlight?.parts ?? []).flatMap(
          (part) => (JSON.parse(part) as { changes: Change[] }).changes,
        )
        const random = seededRandom(seed)
        const answers = changes.map((change, at) => ({
          change,
          result: answerOf(change, base + at + 1, random),
        }))
        const touched = await store.readTouched(changes)
        const context = { tables: await tablesOf(store), resolvers }
        const { rows, records, merged, notes } = await reconcileAnswers(answers, touched, context)
        return publish(store, {
          acknowledge: { mutation: inFlight?.number ?? 0, rows },
          records,
          merged,
          notes,
        })
      },
    }
  }

  #free(): { readonly name: string; readonly step: Step } {
    return { name: 'free', step: async ({ store }) => store.freeMutation((await store.state()).mutation) }
  }

  #adopt(): { readonly name: string; readonly step: Step } {
    const replica = `r${this.int(1_000)}`
    return { name: 'adopt', step: ({ store }) => store.adopt(replica) }
  }

  #start(): { readonly name: string; readonly step: Step } {
    const cursor = this.#cursor()
    const sweep = this.int(2) === 0
    return {
      name: `hydrate, sweep ${sweep}`,
      step: ({ store }) => store.startHydrate({ cursor, tables: null, place: null, sweep }),
    }
  }

  #finish(): { readonly name: string; readonly step: Step } {
    return { name: 'finish', step: ({ store }) => store.finishHydrate(null) }
  }

  #rebase(): { readonly name: string; readonly step: Step } {
    const common = Math.max(0, this.#version - this.int(30))
    this.#common = common
    const cursor = { ...this.#cursor(), version: common, high: common }
    return { name: `rebase ${this.#common}`, step: ({ store }) => store.rebase(cursor, common, []) }
  }

  #settle(): { readonly name: string; readonly step: Step } {
    const at = this.int(10)
    const [agrees, kind] = [this.int(2) === 0, this.int(3)]
    return {
      name: `settle ${at}`,
      step: async ({ store }) => {
        const entries = (await store.listInbox({ open: true })).filter((entry) => entry.kind !== 'integrity')
        const entry = entries[at % Math.max(1, entries.length)]
        if (entry === undefined) return 'nothing'
        const { table, key } = entry
        const fields = kind === 0 ? entry.local : (entry.remote?.fields ?? null)
        const edit = kind === 2 ? {} : { edit: { table, key, fields } }
        const agree = agrees && entry.remote !== null ? { agree: entry.remote } : {}
        return store.settleInbox(entry.id, { status: 'resolved', choice: 'x', ...edit, ...agree }).then(
          () => 'done',
          (error: { readonly code: string }) => error.code,
        )
      },
    }
  }

  #quarantine(): { readonly name: string; readonly step: Step } {
    const [at, retries] = [this.int(10), this.int(2) === 0]
    const record = this.#record()
    return {
      name: `quarantine ${at}`,
      step: async ({ store }) => {
        const entries = [...(await store.listQuarantine(100))].sort((a, b) =>
          a.table + a.key < b.table + b.key ? -1 : 1,
        )
        const entry = entries[at % Math.max(1, entries.length)]
        if (entry === undefined) return 'nothing'
        const isMet = record.table === entry.table && record.key === entry.key
        const run = retries
          ? store.retryQuarantine(entry.id)
          : store.dropQuarantine(entry.id, isMet ? record : null)
        return run.catch((error: { readonly code: string }) => error.code)
      },
    }
  }
}

/** What the cloud may say to a change. */
function answerOf(change: Change, version: number, random: Random): PushResult {
  const roll = randomInt(random, 10)
  const { table, key } = change
  const id = (JSON.parse(key) as readonly [string])[0]
  const other: WireRecord = {
    table,
    key,
    version: version + 40,
    hlc: version,
    by: 'b',
    fields: randomRow(table, id, random),
  }
  if (roll < 5) return { status: 'ok', version }
  if (roll === 5) {
    const current = { ...other, version, fields: { ...other.fields, ...change.fields } }
    return change.op === 'delete' ? { status: 'ok', version } : { status: 'ok', version, current }
  }
  if (roll === 6) return { status: 'conflict', current: other }
  if (roll === 7) return { status: 'conflict', current: null }
  if (roll === 8) return { status: 'rejected', code: 'c', message: 'm' }
  // Stores name their claims themselves.
  const [[index] = []] = Object.entries(change.claims ?? {}).sort(([, a], [, b]) =>
    String(a) < String(b) ? -1 : 1,
  )
  return index === undefined
    ? { status: 'ok', version }
    : { status: 'taken', index, by: '["z"]', current: null }
}

const tablesOf = async (store: Store): Promise<ReadonlyMap<string, SchemaTable>> =>
  new Map((await store.schema()).tables.map((table) => [table.name, table]))

async function pull(
  store: Store,
  records: readonly WireRecord[],
  resolvers: ResolverSet,
  rest: Partial<Publication>,
): Promise<unknown> {
  const touched = await store.readTouched(records)
  const context = { tables: await tablesOf(store), resolvers }
  const reconciled = await reconcileRecords(records, touched, context)
  return publish(store, { ...reconciled, ...rest })
}

async function publish(store: Store, publication: Publication): Promise<unknown> {
  const result: PublishResult = await store.publish(publication)
  return result.status === 'done' ? { ...result, lockMs: 0 } : result.status
}

/** A change or a row without its times, and without the stores' own names of claims. */
function shown(row: Change | LocalRow): unknown {
  const { claims = {}, ...rest } = row
  const plain = JSON.parse(JSON.stringify({ ...rest, claims: Object.values(claims).map(String).sort() })) as {
    [name: string]: unknown
  }
  delete plain['hlc']
  delete plain['at']
  if (Array.isArray(plain['changed'])) plain['changed'].sort()
  return plain
}

const byText = (items: readonly unknown[]): readonly string[] =>
  items.map((item) => JSON.stringify(sorted(item))).sort()

/** With the keys of objects in one order. */
function sorted(item: unknown): unknown {
  if (Array.isArray(item)) return item.map(sorted)
  if (typeof item !== 'object' || item === null) return item
  return Object.fromEntries(
    Object.entries(item)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => [name, sorted(value)]),
  )
}

/** Everything that the port shows of a store. */
async function portrait(side: Side): Promise<unknown> {
  const { store } = side
  const places = TABLES.flatMap(({ name: table }) => KEYS.map((id) => ({ table, key: keyOfId(table, id) })))
  const { publishedSchema: _, ...state } = await store.state()
  const { pending: __, ...counts } = await store.counts()
  return {
    touched: byText((await store.readTouched(places)).map(shown)),
    dirty: byText((await store.readDirty({ rows: 1_000, bytes: 1e9 })).rows.map(shown)),
    rows: TABLES.map(({ name }) => byText(side.rows(name))),
    parked: byText(
      (await store.listParked(100)).map(({ table, key, record: { version, fields } }) => ({
        table,
        key,
        version,
        fields,
      })),
    ),
    inbox: byText(
      (await store.listInbox({})).map(({ id: ___, at: ____, reason: _____, remote, ...entry }) => ({
        ...entry,
        remote: remote?.fields ?? remote?.version ?? null,
      })),
    ),
    quarantine: byText((await store.listQuarantine(100)).map(({ id: ___, at: ____, ...entry }) => entry)),
    counts,
    state: { ...state, inFlight: state.inFlight === null ? null : state.inFlight.number },
  }
}

async function live(seed: number, steps: number): Promise<void> {
  await using memory = openMemory()
  await using sqlite = await openSqlite()
  const life = new Life(seed)
  const names: string[] = []
  for (let at = 0; at < steps; at++) {
    const { inFlight, hydrating } = await memory.store.state()
    const { name, step } = life.next(inFlight !== null, hydrating !== null)
    names.push(name)
    const [expected, actual] = [await step(memory), await step(sqlite)]
    const story = `seed ${seed}, step ${at}:\n${names.slice(-8).join('\n')}`
    expect(sorted(actual), story).toEqual(sorted(expected))
    expect(await portrait(sqlite), story).toEqual(await portrait(memory))
  }
}

const [from, count] = (process.env['TIDEMARK_LIVES'] ?? '1,6').split(',').map(Number) as [number, number]

test('I1, I2: a random life is the same in memory and in a file', async () => {
  for (let seed = from; seed < from + count; seed++) await live(seed, 120)
})
