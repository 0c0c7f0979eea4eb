import { createHash } from 'node:crypto'

import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { MAX_KEY_BYTES, utf8Bytes } from '../../kernel/keys.ts'
import { uuidV7, type Random } from '../../kernel/random.ts'
import { canonicalJson, type Encoded } from '../../kernel/values.ts'
import { MAX_ROW_BYTES } from '../../protocol/limits.ts'
import type { SchemaTable } from '../../protocol/schema.ts'
import type {
  DirtyLimit,
  DirtyRows,
  LocalRow,
  ReplicaState,
  Store,
  StoreCounts,
  StoreSchema,
} from '../../engine/store.ts'
import type { MemoryDatabase } from './database.ts'
import type { MemoryFile } from './file.ts'
import { quarantine, withhold } from './holding.ts'
import { finishHydrate, startHydrate } from './hydrate.ts'
import { countHeld, dropQuarantined, listInbox, retryQuarantined, settleEntry } from './inbox.ts'
import { dropIdleMark, isDirty, isHeld, readLocalRow } from './local-row.ts'
import { noteIntegrity } from './notes.ts'
import { publish } from './publish.ts'
import { adopt, rebase } from './rebase.ts'
import type { MemoryTable } from './table.ts'

export interface MemoryStoreOptions {
  readonly clock: Clock
  readonly random: Random
  /** Needed when the file was never attached; else what the file says counts. */
  readonly space?: string
  readonly replica?: string
  /** Tables that are not synced. */
  readonly exclude?: readonly string[]
  /**
   * Called before each method's transaction with the method's name, and after its commit with `name:done`. A
   * simulation crashes here: a promise that never settles is a process that never came back.
   */
  readonly step?: (name: string) => Promise<void>
}

/**
 * A store on a `MemoryDatabase`. The first opening attaches the file; what was in it is marked. Everything durable
 * is in the database, so that a store thrown away and opened anew is a restarted process.
 */
export function openMemoryStore(database: MemoryDatabase, options: MemoryStoreOptions): Store {
  const { clock, random, step } = options
  const watching = new Set<() => void>()
  let closed = false
  attach(database, options)

  /** One method: atomic, because its transaction is one synchronous step between two awaits. */
  async function perform<T>(name: string, work: (file: MemoryFile) => T): Promise<T> {
    await step?.(name)
    await Promise.resolve()
    if (closed) throw new TidemarkError('aborted', 'the store was closed')
    const { file } = database
    const { result } = file.transact(() => work(file))
    await step?.(`${name}:done`)
    return result
  }

  return {
    state: () => perform('state', readState),
    schema: () => perform('schema', readSchema),
    readDirty: (limit) => perform('readDirty', (file) => readDirty(file, limit, random)),
    readTouched: (rows) =>
      perform('readTouched', (file) =>
        rows.flatMap(({ table: name, key }): LocalRow[] => {
          const table = file.synced(name)
          if (table === undefined) return []
          dropIdleMark(file, table, key)
          return isDirty(file, table, key) || isHeld(file, table, key) ? [readLocalRow(file, table, key)] : []
        }),
      ),

    saveMutation: (mutation) =>
      perform('saveMutation', (file) => {
        const { inFlight, mutation: last } = file.replica
        if (inFlight !== null) throw new TidemarkError('invariant', 'a mutation is in flight already')
        if (mutation.number !== last + 1)
          throw new TidemarkError('invariant', 'mutation numbers count up by one')
        file.setReplica({ inFlight: mutation, mutation: mutation.number })
      }),
    freeMutation: (number) =>
      perform('freeMutation', (file) => {
        if (file.replica.inFlight?.number !== number)
          throw new TidemarkError('invariant', 'this mutation is not in flight')
        file.setReplica({ inFlight: null, mutation: number - 1 })
      }),
    publish: (publication) => perform('publish', (file) => publish(file, publication, random)),

    startHydrate: (hydrate) => perform('startHydrate', (file) => startHydrate(file, hydrate)),
    finishHydrate: (cursor) =>
      perform('finishHydrate', (file) => {
        const { deleted, touched } = finishHydrate(file, cursor)
        noteIntegrity(file, touched, random)
        return { deleted }
      }),
    saveCursor: (cursor, generations) =>
      perform('saveCursor', (file) => file.setReplica({ cursor, generations })),
    adopt: (replica) => perform('adopt', (file) => adopt(file, replica)),
    rebase: (cursor, common, generations) =>
      perform('rebase', (file) => ({ offered: rebase(file, cursor, common, generations) })),
    startOverwrite: () =>
      perform('startOverwrite', (file) => file.setReplica({ overwriting: file.meta.get().covered })),
    savePublishedSchema: (fingerprint) =>
      perform('savePublishedSchema', (file) => file.setReplica({ publishedSchema: fingerprint })),

    counts: () => perform('counts', readCounts),
    listParked: (limit) =>
      perform('listParked', (file) =>
        file
          .syncedTables()
          .flatMap((table) => [...table.parked.keys()].sort().map((key) => ({ table, key })))
          .slice(0, limit)
          .flatMap(({ table, key }) => {
            const { parked } = table.state(key)
            return parked === null
              ? []
              : [{ table: table.name, key, record: parked.record, reason: parked.reason }]
          }),
      ),

    listInbox: (filter) => perform('listInbox', (file) => listInbox(file, filter)),
    readInbox: (id) => perform('readInbox', (file) => file.inbox.get(id)?.entry ?? null),
    settleInbox: async (id, settlement) => {
      await perform('settleInbox', (file) => settleEntry(file, id, settlement))
      database.notify()
    },
    listQuarantine: (limit) =>
      perform('listQuarantine', (file) =>
        [...file.quarantine.entries()]
          .map(([, entry]) => entry)
          .reverse()
          .slice(0, limit),
      ),
    retryQuarantine: async (id) => {
      const done = await perform('retryQuarantine', (file) => retryQuarantined(file, id))
      database.notify()
      return done
    },
    dropQuarantine: (id, record) =>
      perform('dropQuarantine', (file) => dropQuarantined(file, id, record, random)),

    watch(changed) {
      const stop = database.onWrite(() => {
        void Promise.resolve().then(() => {
          if (watching.has(stop)) changed()
        })
      })
      watching.add(stop)
      return () => {
        watching.delete(stop)
        stop()
      }
    },

    async [Symbol.asyncDispose]() {
      closed = true
      for (const stop of watching) stop()
      watching.clear()
      await Promise.resolve()
    },
  }

  function attach(to: MemoryDatabase, { space, replica, exclude }: MemoryStoreOptions): void {
    const { file } = to
    if (file.meta.get().replica !== null) return
    const fresh: Omit<ReplicaState, 'covered'> = {
      replica: replica ?? uuidV7(clock.now(), random),
      space: space ?? 'default',
      mutation: 0,
      inFlight: null,
      cursor: null,
      generations: [],
      asides: [],
      hydrating: null,
      publishedSchema: null,
      overwriting: null,
    }
    file.transact(() => file.setMeta({ replica: fresh, excluded: exclude ?? [] }))
  }
}

function readState(file: MemoryFile): ReplicaState {
  return { ...file.replica, covered: file.meta.get().covered }
}

/** Schemas of tables never change in place, so that the same ones have the same fingerprint. */
const fingerprints = new WeakMap<SchemaTable, string>()

function readSchema(file: MemoryFile): StoreSchema {
  const tables = file.syncedTables().map(({ schema }) => schema)
  return { tables, fingerprint: sha256(tables.map(fingerprintOf).join()), refused: [] }
}

function fingerprintOf(table: SchemaTable): string {
  const known = fingerprints.get(table)
  if (known !== undefined) return known
  // A schema is plain JSON, optional properties absent.
  const made = sha256(canonicalJson(JSON.parse(JSON.stringify(table)) as Encoded))
  fingerprints.set(table, made)
  return made
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)

function readDirty(file: MemoryFile, limit: DirtyLimit, random: Random): DirtyRows {
  const { after } = limit
  const asked = limit.tables === undefined ? null : new Set(limit.tables)
  let isBehind = after === undefined
  const rows: LocalRow[] = []
  let bytes = 0
  let refused = 0
  for (const table of file.syncedTables()) {
    if (asked !== null && !asked.has(table.name)) continue
    for (const key of table.marks.keys()) {
      if (!isBehind) {
        isBehind = after?.table === table.name && after.key === key
        continue
      }
      dropIdleMark(file, table, key)
      if (!isDirty(file, table, key)) continue
      const row = readLocalRow(file, table, key)
      if (refuseOversized(file, table, row, random)) {
        refused++
        continue
      }
      const isFull = rows.length >= limit.rows || (rows.length > 0 && bytes >= limit.bytes)
      if (isFull) return { rows, more: true, refused }
      rows.push(row)
      bytes += bytesOf(row)
    }
  }
  return { rows, more: !isBehind, refused }
}

const bytesOf = ({ fields, changed }: LocalRow): number =>
  fields === null
    ? 0
    : utf8Bytes(JSON.stringify(Object.fromEntries(changed.map((name) => [name, fields[name] ?? null]))))

/** A row past the limits of the wire would stop every other one: it is set apart (I9). */
function refuseOversized(file: MemoryFile, table: MemoryTable, row: LocalRow, random: Random): boolean {
  const { key } = row
  const message =
    utf8Bytes(key) > MAX_KEY_BYTES
      ? `the key is longer than ${MAX_KEY_BYTES} bytes`
      : bytesOf(row) > MAX_ROW_BYTES
        ? `the row is larger than ${MAX_ROW_BYTES} bytes`
        : null
  if (message === null) return false
  const op = row.fields === null ? 'delete' : 'put'
  quarantine(file, { table: table.name, key, op, code: 'payload_too_large', message }, random)
  withhold(table, key, file.time)
  return true
}

function readCounts(file: MemoryFile): StoreCounts {
  const tables = file.syncedTables()
  const marked = tables.filter(({ marks }) => marks.size > 0)
  return {
    pending: Object.fromEntries(marked.map(({ name, marks }) => [name, marks.size])),
    parked: tables.reduce((sum, { parked }) => sum + parked.size, 0),
    quarantined: file.quarantine.size,
    held: countHeld(file),
    openConflicts: listInbox(file, { open: true }).length,
    nullKeys: tables.reduce((sum, { unkeyed }) => sum + unkeyed.size, 0),
  }
}
