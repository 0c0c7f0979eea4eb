import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { uuidV7, type Random } from '../../kernel/random.ts'
import { MAX_PULL_BYTES } from '../../protocol/limits.ts'
import type {
  HydratePlace,
  HydrateStart,
  PullAnswer,
  PullRequest,
  ReadAnswer,
  ReadRequest,
} from '../../protocol/pull.ts'
import type { PushAnswer } from '../../protocol/push.ts'
import type { Change, Cursor, WireRecord } from '../../protocol/records.ts'
import { joinSchemas, type SchemaAnswer, type SchemaTable } from '../../protocol/schema.ts'
import type { SpaceStatus } from '../../protocol/status.ts'
import { decideBatch } from './batch.ts'
import { checkFloor, checkHistory, acknowledgePull, currentGeneration, tellGeneration } from './history.ts'
import { keepAnswer, repeatAnswer } from './kept-answer.ts'
import type { OpenCopy, SpaceCopy } from './copy.ts'
import type { BatchRow, CommitListener, HydratePage, Log, PushInput } from './log.ts'
import { copyImage, imageOfCopy, isEmptyImage } from './memory-copy.ts'
import { readPage, tableFilter } from './memory-page.ts'
import { MEMORY_RULES, type MemoryRules } from './memory-rules.ts'
import { MemorySpace, type MemoryReplica, type RowPlace, type SpaceImage } from './memory-space.ts'
import { checkSchemaSize } from './schema-size.ts'
import { admitTurn, weighPart } from './turns.ts'

export interface MemoryLogOptions {
  readonly clock: Clock
  readonly random: Random
  /** Awaited where a database's transactions may interleave; absent: they do not. */
  readonly yield?: (point: YieldPoint) => Promise<void>
  /** Other steps than the right ones, to show that a test notices. */
  readonly rules?: Partial<MemoryRules>
}

/** Before a transaction, between its reads and its decision, before it commits, and before it is answered. */
export type YieldPoint = 'begin' | 'decide' | 'commit' | 'answer'

/** Everything that is committed, as a file would hold it. */
export interface MemorySnapshot {
  readonly spaces: ReadonlyMap<string, SpaceImage>
}

const NEW_REPLICA: MemoryReplica = {
  acked: null,
  seen: 0,
  last: { number: 0, hashes: [] },
  answer: '[]',
  staged: [],
}

/**
 * The log in memory: real, and the one that the simulation runs. Its writing transactions hold the space's lock
 * across the yields, as a database's do, so that an order that only luck keeps is found out.
 */
export class MemoryLog implements Log {
  readonly #clock: Clock
  readonly #random: Random
  readonly #yield: (point: YieldPoint) => Promise<void>
  readonly #rules: MemoryRules
  readonly #spaces: Map<string, MemorySpace>
  /** Spaces whose generation of this start has begun. */
  readonly #begun = new Set<string>()
  readonly #locks = new Map<string, Promise<void>>()
  readonly #listeners = new Set<CommitListener>()

  constructor(options: MemoryLogOptions, snapshot?: MemorySnapshot) {
    this.#clock = options.clock
    this.#random = options.random
    this.#yield = options.yield ?? (async () => {})
    this.#rules = { ...MEMORY_RULES, ...options.rules }
    this.#spaces = new Map([...(snapshot?.spaces ?? [])].map(([id, image]) => [id, new MemorySpace(image)]))
  }

  /** Opens what was kept, as a server opens the file it finds: a new generation begins. */
  static restore(snapshot: MemorySnapshot, options: MemoryLogOptions): MemoryLog {
    return new MemoryLog(options, snapshot)
  }

  /** What is committed now. Transactions under way are not in it, as after a crash. */
  snapshot(): MemorySnapshot {
    return { spaces: new Map([...this.#spaces].map(([id, space]) => [id, space.image()])) }
  }

  async ensureSpace(id: string): Promise<void> {
    if (this.#spaces.has(id)) return
    const generation = { id: this.#newId(), start: 0 }
    this.#spaces.set(
      id,
      new MemorySpace({
        epoch: this.#newId(),
        generations: [generation],
        head: 0,
        floor: 0,
        schema: 0,
        tables: [],
        rows: new Map(),
        replicas: new Map(),
      }),
    )
    this.#begun.add(id)
  }

  async push(id: string, { request, hash }: PushInput): Promise<PushAnswer> {
    return this.#write(
      id,
      async (space): Promise<PushAnswer> => {
        const { cursor } = request
        const replica = space.replicas.get(request.replica) ?? NEW_REPLICA
        const bytes = (): number => weighPart(JSON.stringify(request.changes).length, request.changes.length)
        const judged = this.#rules.judgeTurn(replica.last, replica.staged, request, hash, bytes)
        const turn = admitTurn(judged, request, replica.last, space)
        const read = (table: string, key: string): WireRecord | null =>
          space.standing(table, key)?.record ?? null
        if (turn.kind === 'replay')
          return { ...about(space, cursor), results: [...repeatAnswer(replica.answer, read)] }
        if (turn.kind === 'staged') return { ...about(space, cursor), staged: turn.parts, results: [] }
        await this.#yield('decide')
        if (turn.kind === 'stage') {
          const { of, attempt } = request.part ?? { of: 1, attempt: '' }
          const part = { hash, of, attempt, bytes: bytes(), changes: request.changes }
          const staged = [...(turn.fresh ? [] : replica.staged), part]
          await this.#yield('commit')
          space.replicas.set(request.replica, { ...replica, seen: this.#clock.now(), staged })
          return { ...about(space, cursor), staged: turn.index + 1, results: [] }
        }
        const parts = turn.hashes.length > 1 ? replica.staged : []
        const changes: readonly Change[] = [...parts.flatMap((part) => part.changes), ...request.changes]
        const decision = this.#rules.decide(
          { replica: request.replica, force: request.force === true, changes },
          {
            head: this.#rules.headForWriting({ id, head: space.head }, changes.length),
            floor: space.floor,
            now: this.#clock.now(),
            standing: (table, key) => space.standing(table, key),
            holder: (table, index, value) => space.holder(table, index, value),
          },
        )
        await this.#yield('commit')
        space.write(decision.writes, this.#clock.now())
        space.head = Math.max(space.head, decision.head)
        space.replicas.set(request.replica, {
          last: { number: request.mutation, hashes: turn.hashes },
          answer: keepAnswer(decision.results, changes),
          acked: request.cursor?.version ?? replica.acked,
          seen: this.#clock.now(),
          staged: [],
        })
        return { ...about(space, cursor), results: [...decision.results] }
      },
      request.replica,
    )
  }

  async pull(id: string, request: PullRequest): Promise<PullAnswer> {
    const space = this.#find(id)
    await this.#yield('begin')
    checkHistory(space, request.cursor)
    checkFloor(space, request.cursor.version)
    const [page, now] = await this.#rules.readSnapshot(
      () => readPage(space, request),
      () => ({ ...about(space, request.cursor), floor: space.floor, schema: space.schema }),
      () => this.#yield('begin'),
    )
    const replica = space.replicas.get(request.replica) ?? NEW_REPLICA
    const acked = acknowledgePull(replica.acked, request)
    space.replicas.set(request.replica, { ...replica, acked, seen: this.#clock.now() })
    const next = page.more ? (page.records.at(-1)?.version ?? request.cursor.version) : now.head
    return { ...now, records: page.records, next, has_more: page.more }
  }

  async startHydrate(
    id: string,
    replica: string,
    tables?: readonly string[],
    resume?: HydratePlace,
  ): Promise<HydrateStart> {
    const space = this.#find(id)
    await this.#yield('begin')
    if (resume !== undefined) checkFloor(space, resume.head)
    const head = resume?.head ?? space.head
    const before = space.replicas.get(replica)
    const acked = this.#rules.acknowledgeHydrate(before?.acked ?? null, space, Math.min(head, space.head))
    space.replicas.set(replica, { ...(before ?? NEW_REPLICA), acked, seen: this.#clock.now() })
    let count = 0
    const isAsked = tableFilter(tables)
    for (const { table } of space.inOrder(null)) if (isAsked(table)) count++
    return { ...about(space, null), head, floor: space.floor, schema: space.schema, count }
  }

  async hydratePage(
    id: string,
    after: RowPlace | null,
    limit: number,
    tables?: readonly string[],
  ): Promise<HydratePage> {
    const space = this.#find(id)
    await this.#yield('begin')
    const isAsked = tableFilter(tables)
    const lines: string[] = []
    let last: RowPlace | null = null
    let bytes = 0
    for (const record of space.inOrder(after)) {
      if (!isAsked(record.table)) continue
      if (lines.length >= limit || bytes >= MAX_PULL_BYTES) break
      const line = JSON.stringify(record)
      lines.push(line)
      bytes += line.length
      last = { table: record.table, key: record.key }
    }
    return { head: space.head, lines, last }
  }

  async read(id: string, request: ReadRequest): Promise<ReadAnswer> {
    const space = this.#find(id)
    await this.#yield('begin')
    return { records: request.records.map(({ table, key }) => space.standing(table, key)?.record ?? null) }
  }

  async readSchema(id: string): Promise<SchemaAnswer> {
    const { schema, tables } = this.#find(id)
    return { schema, tables: [...tables] }
  }

  async putSchema(id: string, told: readonly SchemaTable[]): Promise<SchemaAnswer> {
    return this.#write(id, async (space) => {
      const tables = checkSchemaSize(joinSchemas(space.tables, told))
      await this.#yield('commit')
      if (JSON.stringify(tables) !== JSON.stringify(space.tables)) {
        space.tables = tables
        space.schema++
      }
      return { schema: space.schema, tables: [...tables] }
    })
  }

  async status(id: string): Promise<Omit<SpaceStatus, 'space'>> {
    const space = this.#find(id)
    const tombstones = [...space.tombstones()].length
    return {
      epoch: space.epoch,
      generation: currentGeneration(space),
      head: space.head,
      floor: space.floor,
      schema: space.schema,
      records: space.size - tombstones,
      tombstones,
      replicas: space.replicas.size,
    }
  }

  async batch(id: string, rows: readonly BatchRow[]): Promise<readonly boolean[]> {
    return this.#write(id, async (space) => {
      await this.#yield('decide')
      const view = {
        head: this.#rules.headForWriting({ id, head: space.head }, rows.length),
        floor: space.floor,
        now: this.#clock.now(),
        standing: (table: string, key: string) => space.standing(table, key),
        holder: () => null,
      }
      const { head, writes, stands } = decideBatch(rows, view, space.tables)
      await this.#yield('commit')
      space.write(writes, this.#clock.now())
      space.head = Math.max(space.head, head)
      return stands
    })
  }

  async collect(
    id: string,
    options: { readonly liveSince: number; readonly retainSince: number },
  ): Promise<number> {
    return this.#write(id, async (space) => {
      const released = this.#rules.releasedVersion(space.replicas.values(), options.liveSince, space)
      const gone = [...space.tombstones()]
        .filter(({ record, buriedAt }) => record.version <= released || buriedAt < options.retainSince)
        .map(({ record }) => record)
      await this.#yield('commit')
      space.drop(gone)
      space.floor = gone.reduce((floor, { version }) => Math.max(floor, version), space.floor)
      for (const [replica, kept] of space.replicas) {
        if (kept.seen < options.liveSince && kept.staged.length > 0) {
          space.replicas.set(replica, { ...kept, staged: [] })
        }
      }
      return gone.length
    })
  }

  async forgetReplica(id: string, replica: string): Promise<void> {
    await this.#write(id, async (space) => {
      space.replicas.delete(replica)
    })
  }

  async copySpace(id: string): Promise<OpenCopy> {
    return copyImage(this.#find(id).image())
  }

  async importSpace(id: string, copy: SpaceCopy): Promise<void> {
    const image = await imageOfCopy(copy, this.#newId())
    const release = await this.#lock(id)
    try {
      if (!isEmptyImage(this.#spaces.get(id)?.image())) throw new TidemarkError('space_not_empty')
      await this.#yield('commit')
      this.#spaces.set(id, new MemorySpace(image))
      this.#begun.add(id)
    } finally {
      release()
    }
    for (const listener of this.#listeners) listener(id, image.head, null)
  }

  onCommit(listener: CommitListener): () => void {
    const own: CommitListener = (space, head, writer) => listener(space, head, writer)
    this.#listeners.add(own)
    return () => this.#listeners.delete(own)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear()
  }

  /** One writing transaction: under the space's lock from its first read until it is committed. */
  async #write<T>(
    id: string,
    run: (space: MemorySpace) => Promise<T>,
    writer: string | null = null,
  ): Promise<T> {
    this.#find(id)
    await this.#yield('begin')
    const release = await this.#rules.lock(() => this.#lock(id))
    // An import may have taken its place meanwhile.
    const space = this.#find(id)
    const { head } = space
    let result: T
    try {
      result = await run(space)
    } finally {
      release()
    }
    if (space.head > head) for (const listener of this.#listeners) listener(id, space.head, writer)
    await this.#yield('answer')
    return result
  }

  async #lock(id: string): Promise<() => void> {
    const before = this.#locks.get(id) ?? Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#locks.set(
      id,
      before.then(() => promise),
    )
    await before
    return resolve
  }

  #find(id: string): MemorySpace {
    const space = this.#spaces.get(id)
    if (space === undefined) throw new TidemarkError('space_not_found')
    if (!this.#begun.has(id)) {
      this.#begun.add(id)
      space.generations = [...space.generations, { id: this.#newId(), start: space.head }]
    }
    return space
  }

  #newId(): string {
    return uuidV7(this.#clock.now(), this.#random)
  }
}

/** What an answer says of the space to the reader with this cursor. */
const about = (space: MemorySpace, cursor: Cursor | null) => ({
  epoch: space.epoch,
  generation: tellGeneration(space, cursor),
  head: space.head,
})
