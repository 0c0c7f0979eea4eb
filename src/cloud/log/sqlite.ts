import { randomUUID } from 'node:crypto'

import type Database from 'better-sqlite3'

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
import { joinSchemas, type SchemaAnswer, type SchemaTable } from '../../protocol/schema.ts'
import type { SpaceStatus } from '../../protocol/status.ts'
import { Acks, type Ack } from './acks.ts'
import { CommitTeller } from './commit-teller.ts'
import {
  acknowledgeHydrate,
  acknowledgePull,
  checkFloor,
  currentGeneration,
  tellGeneration,
} from './history.ts'
import type { OpenCopy, SpaceCopy } from './copy.ts'
import type { BatchRow, CommitListener, HydratePage, Log, PushInput } from './log.ts'
import type { Metrics } from '../metrics.ts'
import { checkSchemaSize } from './schema-size.ts'
import { collectChunk } from './sqlite/collect.ts'
import { openSpaceCopy } from './sqlite/copy.ts'
import { onStorage } from './sqlite/failure.ts'
import { limitSize, openCloudFile } from './sqlite/file.ts'
import { GroupCommit } from './sqlite/group-commit.ts'
import { importCopy } from './sqlite/import.ts'
import { lockCloudFile } from './sqlite/lock.ts'
import { Names } from './sqlite/names.ts'
import { readHydratePage, readPage } from './sqlite/pull.ts'
import { pushBatch, pushRequest } from './sqlite/push.ts'
import { rowToRecord } from './sqlite/records.ts'
import { LOG_MIGRATIONS } from './sqlite/schema.ts'
import {
  addSpace,
  beginGeneration,
  findStanding,
  readSpace,
  type Space,
  type Storage,
} from './sqlite/space.ts'
import { meterTouched } from './touched.ts'
import { prepareStatements, type ReplicaRow } from './sqlite/statements.ts'

export interface SqliteLogOptions {
  /** The cloud's file; made when it is not there, with its folder. */
  readonly file: string
  readonly clock: Clock
  /** The file grows no larger; past it pushes are answered `disk_full`. Absent: as large as the disk. */
  readonly maxBytes?: number
  readonly metrics?: Metrics
}

/**
 * Opens the log in one SQLite file. This process is then the only one that serves it (`in_use` otherwise), until
 * the log is disposed of. Every answer is of what is on the disk. Throws what `openCloudFile` throws.
 */
export async function openSqliteLog(options: SqliteLogOptions): Promise<Log> {
  const unlock = lockCloudFile(options.file)
  try {
    const database = openCloudFile(options.file, { name: 'log', migrations: LOG_MIGRATIONS })
    if (options.maxBytes !== undefined) limitSize(database, options.maxBytes)
    return new SqliteLog(database, options.clock, unlock, options.metrics)
  } catch (error) {
    unlock()
    throw error
  }
}

/** Weight of a change in a group commit, in characters: a guess, weighing each would cost as much as writing it. */
const CHANGE_WEIGHT = 256

class SqliteLog implements Log {
  readonly #database: Database.Database
  readonly #storage: Storage
  readonly #unlock: () => void
  readonly #queue: GroupCommit
  readonly #acks = new Acks()
  /** Spaces whose generation of this start has begun, or is about to. */
  readonly #begun = new Map<string, Promise<void>>()
  readonly #teller = new CommitTeller()
  #closed = false

  constructor(database: Database.Database, clock: Clock, unlock: () => void, metrics?: Metrics) {
    this.#database = database
    this.#unlock = unlock
    const statements = prepareStatements(database)
    const names = new Names(statements)
    this.#storage = { statements, names, now: () => clock.now() }
    this.#queue = new GroupCommit(database, () => names.forget(), metrics)
  }

  async ensureSpace(id: string): Promise<void> {
    if (this.#begun.has(id)) return this.#use(id)
    await this.#free()
    if (this.#read(() => this.#storage.statements.findSpace.get(id)) !== undefined) return
    const isNew = await this.#write(() => addSpace(this.#storage, id, randomUUID))
    if (isNew) this.#begun.set(id, Promise.resolve())
  }

  async push(id: string, input: PushInput): Promise<PushAnswer> {
    await this.#use(id)
    const { changes, replica, cursor } = input.request
    const answer = await this.#write(
      () => pushRequest(this.#storage, id, input),
      input.bytes ?? changes.length * CHANGE_WEIGHT,
    )
    if (cursor !== null) this.#acks.drop(id, replica)
    this.#teller.tell(id, answer.head, replica)
    return answer
  }

  async pull(id: string, request: PullRequest): Promise<PullAnswer> {
    await this.#use(id)
    const { names, statements } = this.#storage
    const { page, row } = this.#read(() => ({
      page: readPage(this.#storage, id, request, ({ no }) => {
        const legend = { tables: names.tables(no).byNumber, writers: names.writersByNumber() }
        return (row) => rowToRecord(row, legend)
      }),
      row: statements.findReplica.get(readSpace(this.#storage, id).no, request.replica),
    }))
    const { no, floor, schema } = page.space
    await this.#acknowledge(id, no, request, row)
    const { next, more } = page
    const generation = tellGeneration(page.space, request.cursor)
    return {
      ...about(page.space),
      generation,
      floor,
      schema,
      records: [...page.records],
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
    await this.#use(id)
    return this.#write(() => {
      const { statements, now } = this.#storage
      const space = readSpace(this.#storage, id)
      if (resume !== undefined) checkFloor(space, resume.head)
      const head = resume?.head ?? space.head
      const before =
        this.#acks.find(id, replica)?.acked ?? statements.findReplica.get(space.no, replica)?.[3] ?? null
      const acked = acknowledgeHydrate(before, space, Math.min(head, space.head))
      statements.seeReplica.run(space.no, replica, acked, now())
      this.#acks.drop(id, replica)
      const asked = tables === undefined ? null : new Set(tables)
      const rows = statements.listTables.all(space.no).filter(([, name]) => asked === null || asked.has(name))
      const count = rows.reduce((sum, [, , live]) => sum + live, 0)
      const generation = tellGeneration(space, null)
      return { ...about(space), generation, head, floor: space.floor, schema: space.schema, count }
    })
  }

  async hydratePage(
    id: string,
    after: { readonly table: string; readonly key: string } | null,
    limit: number,
    tables?: readonly string[],
  ): Promise<HydratePage> {
    await this.#use(id)
    return this.#read(() => readHydratePage(this.#storage, id, after, limit, tables))
  }

  async read(id: string, request: ReadRequest): Promise<ReadAnswer> {
    await this.#use(id)
    return this.#read(() => {
      const { no } = readSpace(this.#storage, id)
      const meter = meterTouched()
      const find = (table: string, key: string) =>
        findStanding(this.#storage, no, table, key, meter)?.record ?? null
      return { records: request.records.map(({ table, key }) => find(table, key)) }
    })
  }

  async readSchema(id: string): Promise<SchemaAnswer> {
    await this.#use(id)
    return this.#read(() => {
      const { no, schema } = readSpace(this.#storage, id)
      return { schema, tables: this.#readTables(no) }
    })
  }

  async putSchema(id: string, told: readonly SchemaTable[]): Promise<SchemaAnswer> {
    await this.#use(id)
    return this.#write(() => {
      const { no, schema } = readSpace(this.#storage, id)
      const known = this.#readTables(no)
      const tables = [...checkSchemaSize(joinSchemas(known, told))]
      const text = JSON.stringify(tables)
      if (text === JSON.stringify(known)) return { schema, tables }
      this.#storage.statements.writeSchema.run(schema + 1, text, no)
      return { schema: schema + 1, tables }
    })
  }

  async status(id: string): Promise<Omit<SpaceStatus, 'space'>> {
    await this.#use(id)
    return this.#read(() => {
      const { statements } = this.#storage
      const space = readSpace(this.#storage, id)
      const tables = statements.listTables.all(space.no)
      return {
        ...about(space),
        floor: space.floor,
        schema: space.schema,
        records: tables.reduce((sum, [, , live]) => sum + live, 0),
        tombstones: tables.reduce((sum, [, , , buried]) => sum + buried, 0),
        replicas: statements.countReplicas.get(space.no) ?? 0,
      }
    })
  }

  async batch(id: string, rows: readonly BatchRow[]): Promise<readonly boolean[]> {
    await this.#use(id)
    const { head, stands } = await this.#write(
      () => pushBatch(this.#storage, id, rows),
      rows.length * CHANGE_WEIGHT,
    )
    this.#teller.tell(id, head, null)
    return stands
  }

  async collect(
    id: string,
    options: { readonly liveSince: number; readonly retainSince: number },
  ): Promise<number> {
    await this.#use(id)
    let dropped = 0
    for (;;) {
      const acks = this.#acks.list(id)
      const chunk = await this.#write(() => {
        this.#writeAcks(id, acks)
        return collectChunk(this.#storage, id, options)
      })
      this.#acks.settle(id, acks)
      dropped += chunk.dropped
      if (!chunk.more) return dropped
    }
  }

  async forgetReplica(id: string, replica: string): Promise<void> {
    await this.#use(id)
    await this.#write(() => {
      const { no } = readSpace(this.#storage, id)
      this.#acks.drop(id, replica)
      this.#storage.statements.dropReplica.run(no, replica)
      this.#storage.statements.dropStaged.run(no, replica)
    })
  }

  async copySpace(id: string): Promise<OpenCopy> {
    await this.#use(id)
    return openSpaceCopy(this.#database.name, id)
  }

  async importSpace(id: string, copy: SpaceCopy): Promise<void> {
    await this.#free()
    const check = (): void => {
      if (this.#closed) throw new TidemarkError('unavailable')
    }
    check()
    await this.#queue.addAlone(() => importCopy(this.#storage, id, copy, { newId: randomUUID, check }))
    this.#begun.set(id, Promise.resolve())
    this.#teller.tell(id, copy.space.head, null)
  }

  onCommit(listener: CommitListener): () => void {
    return this.#teller.add(listener)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#teller.close()
    try {
      await this.#queue.add(() =>
        this.#acks.spaces().forEach((space) => this.#writeAcks(space, this.#acks.list(space))),
      )
    } catch {
      // Acknowledgements that are not written only hold tombstones longer.
    } finally {
      await this.#queue.drain()
      this.#database.close()
      this.#unlock()
    }
  }

  /** What answers from a space waits until its generation of this start is on the disk. */
  #use(id: string): Promise<void> {
    if (this.#closed) return Promise.reject(new TidemarkError('unavailable'))
    if (this.#queue.alone !== null) return this.#free().then(() => this.#use(id))
    const known = this.#begun.get(id)
    if (known !== undefined) return known
    const begun = this.#queue.add(() => beginGeneration(this.#storage, id, randomUUID))
    this.#begun.set(id, begun)
    begun.catch(() => this.#begun.delete(id))
    return begun
  }

  /** While an import has the connection, nobody else may read on it. */
  async #free(): Promise<void> {
    while (this.#queue.alone !== null) await this.#queue.alone
  }

  #write<T>(run: () => T, weight?: number): Promise<T> {
    if (this.#closed) return Promise.reject(new TidemarkError('unavailable'))
    return this.#queue.add(run, weight)
  }

  /** Several reads as one, of one moment (I4). */
  #read<T>(run: () => T): T {
    if (this.#closed) throw new TidemarkError('unavailable')
    return onStorage(() => {
      this.#database.exec('BEGIN')
      try {
        return run()
      } finally {
        this.#database.exec('COMMIT')
      }
    })
  }

  #readTables(space: number): SchemaTable[] {
    return JSON.parse(this.#storage.statements.readSchema.get(space) ?? '[]') as SchemaTable[]
  }

  /** What a pull acknowledges: written at once only where it must be. */
  async #acknowledge(
    id: string,
    no: number,
    request: PullRequest,
    row: ReplicaRow | undefined,
  ): Promise<void> {
    const { replica } = request
    const before = this.#acks.find(id, replica)?.acked ?? row?.[3] ?? null
    const ack = { acked: acknowledgePull(before, request), seen: this.#storage.now() }
    if (this.#acks.keep(id, replica, ack, row === undefined ? null : { acked: row[3], seen: row[4] })) return
    await this.#write(() => this.#storage.statements.seeReplica.run(no, replica, ack.acked, ack.seen))
    this.#acks.drop(id, replica)
  }

  #writeAcks(id: string, acks: readonly (readonly [replica: string, ack: Ack])[]): void {
    if (acks.length === 0) return
    const { no } = readSpace(this.#storage, id)
    for (const [replica, { acked, seen }] of acks)
      this.#storage.statements.seeReplica.run(no, replica, acked, seen)
  }
}

const about = (space: Space) => ({
  epoch: space.epoch,
  generation: currentGeneration(space),
  head: space.head,
})
