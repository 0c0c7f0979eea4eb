import { randomInt, seededRandom, type Random } from '../../src/kernel/random.ts'
import { canonicalJson } from '../../src/kernel/values.ts'
import { changeOf } from '../../src/engine/push.ts'
import { reconcileAnswers } from '../../src/engine/reconcile.ts'
import type { ResolverSet } from '../../src/engine/resolvers.ts'
import type { Change, Cursor, WireRecord } from '../../src/protocol/records.ts'
import type { ContractStatements } from '../../src/testing/store-contract/harness.ts'
import { answerOf, publish, pull, tablesOf } from './cloud.ts'
import { shown } from './portrait.ts'
import { keyColumnOf, keyOfId, KEYS, randomRow, TABLES, type Side } from './sides.ts'

const RESOLVERS: readonly ResolverSet[] = (['local', 'remote', 'wait'] as const).map((side) => ({
  default: { name: side, resolve: () => side },
}))

/** One step, done to either side alike; what it answers is compared. */
export type Step = (side: Side) => Promise<unknown>

export class Life {
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
      name: `pull ${resolvers.default.name} ${canonicalJson(records)}`,
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
