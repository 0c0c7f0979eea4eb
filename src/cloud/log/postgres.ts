import { randomUUID } from 'node:crypto'

import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type {
  HydratePlace,
  HydrateStart,
  PullAnswer,
  PullRequest,
  ReadAnswer,
  ReadRequest,
} from '../../protocol/pull.ts'
import type { PushAnswer } from '../../protocol/push.ts'
import type { SchemaAnswer, SchemaTable } from '../../protocol/schema.ts'
import type { SpaceStatus } from '../../protocol/status.ts'
import type { Database } from '../postgres/pool.ts'
import { Acks, type Ack } from './acks.ts'
import { silentMetrics, type Metrics } from '../metrics.ts'
import { CommitTeller } from './commit-teller.ts'
import { acknowledgePull, tellGeneration } from './history.ts'
import type { OpenCopy, SpaceCopy } from './copy.ts'
import type { BatchRow, CommitListener, HydratePage, Log, PushInput } from './log.ts'
import { openSpaceCopy } from './postgres/copy.ts'
import { importCopy } from './postgres/import.ts'
import { pushPart } from './postgres/parts.ts'
import { createPulls, type Pulls } from './postgres/pulls.ts'
import { PushQueue } from './postgres/push-queue.ts'
import { pushBatch, type PushItem } from './postgres/push.ts'
import { readHydratePage, readPage, type Page } from './postgres/reads.ts'
import { Histories, inThisLife, newestOf, type About, type Storage } from './postgres/space.ts'
import {
  collectChunk,
  forgetReplica,
  putSchema,
  startHydrate,
  writeAck,
  writeAcks,
} from './postgres/upkeep.ts'
import { readView } from './postgres/view.ts'

export interface PostgresLogOptions {
  /** Migrated, and disposed of by who opened it. */
  readonly database: Database
  readonly clock: Clock
  readonly metrics?: Metrics
  /** Told after the schema of a space has risen. */
  readonly onSchema?: (space: string) => void
}

/** Weight of a change in a group, in characters: a guess, weighing each would cost as much as writing it. */
const CHANGE_WEIGHT = 256
/** How long what pulls acknowledge waits to be written with others. */
const ACK_EVERY_MS = 5_000

const STATUS = {
  name: 'tidemark status',
  text: `SELECT ((tidemark.view_1(ARRAY[s.id], '{}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0)).about)::json ->> 0 AS about,
      (SELECT count(*) FROM tidemark.replicas r WHERE r.space = s.no) AS replicas,
      (SELECT coalesce(sum(live), 0)::bigint FROM tidemark.tables t WHERE t.space = s.no) AS records,
      (SELECT coalesce(sum(buried), 0)::bigint FROM tidemark.tables t WHERE t.space = s.no) AS tombstones
    FROM tidemark.spaces s WHERE s.id = $1`,
}

/** The log in a PostgreSQL database, which any number of nodes may share. */
export function openPostgresLog(options: PostgresLogOptions): Log {
  const { database, clock, metrics = silentMetrics, onSchema = () => {} } = options
  const storage = { database, clock, metrics, newId: randomUUID, histories: new Histories() }
  return new PostgresLog(storage, onSchema)
}

const weigh = ({ bytes, staged, request }: PushItem): number =>
  staged.reduce((sum, part) => sum + part.bytes, bytes ?? request.changes.length * CHANGE_WEIGHT)

class PostgresLog implements Log {
  readonly #storage: Storage
  readonly #queue: PushQueue
  readonly #pulls: Pulls
  readonly #acks = new Acks()
  readonly #teller = new CommitTeller()
  #cancelAcks: (() => void) | null = null
  readonly #onSchema: (space: string) => void
  #closed = false

  constructor(storage: Storage, onSchema: (space: string) => void) {
    this.#storage = storage
    this.#onSchema = onSchema
    this.#queue = new PushQueue(storage)
    this.#pulls = createPulls(storage.database)
  }

  async ensureSpace(id: string): Promise<void> {
    this.#checkOpen()
    const { database, newId } = this.#storage
    await database.query('SELECT tidemark.ensure_space_1($1, $2, $3)', [id, newId(), newId()])
  }

  async push(id: string, input: PushInput): Promise<PushAnswer> {
    this.#checkOpen()
    const { request } = input
    const part =
      request.part === undefined || request.part.of === 1 ? null : await pushPart(this.#storage, id, input)
    if (part !== null && 'answer' in part) return part.answer
    const item = part?.item ?? { ...input, staged: [], changes: request.changes }
    const answer = await this.#queue.push(id, item, weigh(item))
    if (request.cursor !== null) this.#acks.drop(id, request.replica)
    this.#teller.tell(id, answer.head, request.replica)
    return answer
  }

  async pull(id: string, request: PullRequest): Promise<PullAnswer> {
    this.#checkOpen()
    const page = await readPage(this.#storage, this.#pulls, id, request)
    await this.#acknowledge(id, request, page)
    const { space, records, next, more } = page
    return {
      ...newestOf(space),
      generation: tellGeneration(space, request.cursor),
      floor: space.floor,
      schema: space.schema,
      records,
      next,
      has_more: more,
    }
  }

  async startHydrate(
    id: string,
    replica: string,
    tables?: readonly string[],
    resume?: HydratePlace,
  ): Promise<HydrateStart> {
    this.#checkOpen()
    const waiting = this.#acks.find(id, replica)?.acked ?? null
    const start = await this.#queue.inTurn(id, () =>
      startHydrate(this.#storage, id, replica, { tables, resume }, waiting),
    )
    this.#acks.drop(id, replica)
    return start
  }

  async hydratePage(
    id: string,
    after: { readonly table: string; readonly key: string } | null,
    limit: number,
    tables?: readonly string[],
  ): Promise<HydratePage> {
    this.#checkOpen()
    return readHydratePage(this.#storage, id, after, limit, tables)
  }

  async read(id: string, request: ReadRequest): Promise<ReadAnswer> {
    this.#checkOpen()
    const { database } = this.#storage
    const reads = { rows: request.records, claims: [] }
    const view = await inThisLife(this.#storage, id, () => readView(database, id, [], reads))
    return { records: view.standings.map((standing) => standing?.record ?? null) }
  }

  async readSchema(id: string): Promise<SchemaAnswer> {
    this.#checkOpen()
    const { database } = this.#storage
    const { about, schema } = await inThisLife(this.#storage, id, () =>
      readView(database, id, null, { rows: [], claims: [] }),
    )
    return { schema: about.schema, tables: [...schema] }
  }

  async putSchema(id: string, told: readonly SchemaTable[]): Promise<SchemaAnswer> {
    this.#checkOpen()
    const { risen, ...answer } = await this.#queue.inTurn(id, () => putSchema(this.#storage, id, told))
    if (risen) this.#onSchema(id)
    return answer
  }

  async status(id: string): Promise<Omit<SpaceStatus, 'space'>> {
    this.#checkOpen()
    const { database, histories } = this.#storage
    interface Row {
      readonly about: string
      readonly replicas: number
      readonly records: number
      readonly tombstones: number
    }
    const { about, row } = await inThisLife(this.#storage, id, async () => {
      const [row] = await database.query<Row>(STATUS, [id])
      return row === undefined ? null : { about: JSON.parse(row.about) as About, row }
    })
    const space = await histories.read(database, id, about)
    const { records, tombstones, replicas } = row
    return { ...newestOf(space), floor: space.floor, schema: space.schema, records, tombstones, replicas }
  }

  async batch(id: string, rows: readonly BatchRow[]): Promise<readonly boolean[]> {
    this.#checkOpen()
    const { head, stands } = await this.#queue.alone(id, (rounds) =>
      pushBatch(this.#storage, rounds, id, rows),
    )
    this.#teller.tell(id, head, null)
    return stands
  }

  async collect(
    id: string,
    options: { readonly liveSince: number; readonly retainSince: number },
  ): Promise<number> {
    this.#checkOpen()
    await this.#writeAcks()
    for (let dropped = 0; ;) {
      const chunk = await this.#queue.inTurn(id, () => collectChunk(this.#storage, id, options))
      dropped += chunk.dropped
      if (!chunk.more) return dropped
    }
  }

  async forgetReplica(id: string, replica: string): Promise<void> {
    this.#checkOpen()
    this.#acks.drop(id, replica)
    await this.#queue.inTurn(id, () => forgetReplica(this.#storage, id, replica))
  }

  async copySpace(id: string): Promise<OpenCopy> {
    this.#checkOpen()
    // Its generation of this life of the database is part of it.
    await this.readSchema(id)
    return openSpaceCopy(this.#storage, id)
  }

  async importSpace(id: string, copy: SpaceCopy): Promise<void> {
    this.#checkOpen()
    await importCopy(this.#storage, id, copy)
    this.#teller.tell(id, copy.space.head, null)
  }

  onCommit(listener: CommitListener): () => void {
    return this.#teller.add(listener)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#cancelAcks?.()
    await this.#queue.drain()
    // Acknowledgements that are not written only hold tombstones longer.
    await this.#writeAcks().catch(() => {})
    // After the last commits are told.
    this.#teller.close()
  }

  #checkOpen(): void {
    if (this.#closed) throw new TidemarkError('unavailable')
  }

  /** What a pull acknowledges: written at once only where it must be. */
  async #acknowledge(id: string, request: PullRequest, { reader }: Page): Promise<void> {
    const { replica } = request
    const before = this.#acks.find(id, replica)?.acked ?? reader?.acked ?? null
    const ack: Ack = { acked: acknowledgePull(before, request), seen: this.#storage.clock.now() }
    if (this.#acks.keep(id, replica, ack, reader)) return this.#planAcks()
    await writeAck(this.#storage, id, replica, ack)
    this.#acks.drop(id, replica)
  }

  #planAcks(): void {
    // What a pull that outlived the log acknowledges only holds tombstones longer.
    if (this.#closed) return
    this.#cancelAcks ??= this.#storage.clock.after(ACK_EVERY_MS, () => {
      this.#cancelAcks = null
      // They wait for the next time.
      this.#writeAcks().catch(() => this.#planAcks())
    })
  }

  async #writeAcks(): Promise<void> {
    const lists = this.#acks.spaces().map((space) => ({ space, acks: this.#acks.list(space) }))
    await writeAcks(
      this.#storage,
      lists.flatMap(({ space, acks }) => acks.map(([replica, ack]) => ({ space, replica, ack }))),
    )
    for (const { space, acks } of lists) this.#acks.settle(space, acks)
  }
}
