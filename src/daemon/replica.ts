import { existsSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { SyncEngine } from '../engine/engine.ts'
import type { IdentityGuard } from '../engine/identity.ts'
import type { Provider } from '../engine/provider.ts'
import { adoptIdentity } from '../engine/reset.ts'
import type { Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { uuidV7, type Random } from '../kernel/random.ts'
import { nodeCodec } from '../providers/cloud/node-codec.ts'
import { createCloudProvider } from '../providers/cloud/provider.ts'
import type { SchemaTable } from '../protocol/schema.ts'
import { betterSqlite3 } from '../stores/sqlite/driver/better-sqlite3.ts'
import { quoteName, type Connection } from '../stores/sqlite/driver/driver.ts'
import { openIdentityGuard } from '../stores/sqlite/identity.ts'
import { createTables } from '../stores/sqlite/shape/ddl.ts'
import {
  attachFile as attachSqlite,
  detachFile as detachSqlite,
  inspectFile,
  openSqliteStore,
} from '../stores/sqlite/store/open.ts'
import type { SqliteStore } from '../stores/sqlite/store/store.ts'
import {
  addAttachment,
  canonicalPath,
  fileTag,
  findAttachment,
  readStatus,
  removeAttachment,
  writeStatus,
  type AttachmentStatus,
} from './attachments.ts'
import { deviceToken, type Credentials } from './device.ts'
import { makePrivateFolder, type Folders } from './folders.ts'
import { takeLock } from './lock.ts'

/** What every function here needs of the process. */
export interface Machine {
  readonly folders: Folders
  readonly clock: Clock
  readonly random: Random
}

/** One attached file with its engine, not started yet. */
export interface Replica extends AsyncDisposable {
  readonly file: string
  readonly space: string
  readonly store: SqliteStore
  readonly engine: SyncEngine
  readonly provider: Provider
  /** What an earlier process last knew of it. */
  readonly earlier: AttachmentStatus | null
}

/** What attaching would do. */
export interface AttachPlan {
  readonly file: string
  readonly tables: readonly { readonly name: string; readonly rows: number; readonly nullKeys: number }[]
  readonly refused: readonly { readonly table: string; readonly reason: string }[]
  readonly warnings: readonly { readonly table: string; readonly warning: string }[]
}

export interface TableNames {
  readonly tables?: readonly string[] | undefined
  readonly exclude?: readonly string[] | undefined
}

/** Where locks and sockets of running files lie. */
export const runFolder = (folders: Folders): string => makePrivateFolder(join(folders.data, 'run'))

/** A provider with this device's own token. */
export async function createProvider(machine: Machine, credentials: Credentials): Promise<Provider> {
  const { token, device } = await deviceToken(machine.folders, credentials, machine)
  return createCloudProvider({
    endpoint: credentials.endpoint,
    token,
    device,
    clock: machine.clock,
    codec: nodeCodec,
  })
}

/** Opens an attached file. The caller holds its lock (`runner.ts`). */
export async function openReplica(
  options: Machine & {
    readonly file: string
    readonly connection: Credentials
    readonly pollMs?: number | undefined
    readonly batchRows?: number | undefined
    readonly afterRestore?: 'rejoin' | 'overwrite' | undefined
  },
): Promise<Replica> {
  const { folders, clock, random, pollMs, batchRows, afterRestore } = options
  const file = requireFile(options.file)
  const store = openSqliteStore({ file, driver: betterSqlite3, clock, random })
  try {
    const { space } = await store.state()
    const provider = await createProvider(options, options.connection)
    const engine = new SyncEngine({
      store,
      provider,
      guard: guardOf(folders, file),
      clock,
      random,
      ...(pollMs === undefined ? {} : { pollMs }),
      ...(batchRows === undefined ? {} : { batchRows }),
      ...(afterRestore === undefined ? {} : { afterRestore }),
    })
    return {
      file,
      space,
      store,
      engine,
      provider,
      earlier: readStatus(folders, file),
      async [Symbol.asyncDispose]() {
        await engine[Symbol.asyncDispose]()
        await store[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await store[Symbol.asyncDispose]()
    throw error
  }
}

/** The store alone, to look at or to settle something. Safe beside a running engine: each call is a transaction. */
export async function openStoreOf(
  folders: Folders,
  file: string,
  options: { readonly lock?: boolean } = {},
): Promise<SqliteStore> {
  const path = requireFile(file)
  const lock = options.lock === true ? takeLock(runFolder(folders), fileTag(path)) : null
  try {
    const store = openSqliteStore({ file: path, driver: betterSqlite3 })
    if (lock === null) return store
    return {
      ...store,
      async [Symbol.asyncDispose]() {
        await store[Symbol.asyncDispose]()
        lock.release()
      },
    }
  } catch (error) {
    lock?.release()
    throw error
  }
}

/** What attaching a file would sync, and what not and why. Writes nothing. */
export function planAttach(file: string, names: TableNames): AttachPlan {
  const path = requireFile(file)
  const plan = namingFile(path, () => inspectFile({ file: path, driver: betterSqlite3, ...choiceOf(names) }))
  const connection = betterSqlite3.open(path, { readonly: true })
  try {
    const tables = plan.tables.map((name) => ({ name, ...countRows(connection, name) }))
    const unkeyed = tables.flatMap(({ name: table, nullKeys }) =>
      nullKeys === 0 ? [] : [{ table, warning: NULL_KEYS(nullKeys) }],
    )
    return { file: path, tables, refused: plan.refused, warnings: [...plan.warnings, ...unkeyed] }
  } finally {
    connection.close()
  }
}

const NULL_KEYS = (count: number): string =>
  `${count === 1 ? '1 row has' : `${count} rows have`} NULL in the key and ${count === 1 ? 'is' : 'are'} not synced: give them a key`

/** Rows with a whole key, and those with a NULL in it, which no other replica could tell apart. */
function countRows(
  connection: Connection,
  table: string,
): { readonly rows: number; readonly nullKeys: number } {
  const all = Number(connection.value(`SELECT count(*) FROM ${quoteName(table)}`))
  const key = connection
    .prepare('SELECT name FROM pragma_table_info(?) WHERE pk > 0 AND "notnull" = 0')
    .all(table)
    .map(([name]) => `${quoteName(String(name))} IS NULL`)
  if (key.length === 0) return { rows: all, nullKeys: 0 }
  const where = key.join(' OR ')
  const nullKeys = Number(connection.value(`SELECT count(*) FROM ${quoteName(table)} WHERE ${where}`))
  return { rows: all - nullKeys, nullKeys }
}

/**
 * Puts a file under sync with a space. Throws `needs_merge` when both hold rows and `merge` is not set,
 * `already_attached`, `nothing_to_sync`.
 */
export async function attachFile(
  options: Machine &
    TableNames & {
      readonly file: string
      readonly space: string
      readonly connection: Credentials
      readonly profile: string
      readonly merge: boolean
    },
): Promise<void> {
  const { folders, clock, random, space, profile, merge } = options
  const file = requireFile(options.file)
  const lock = takeLock(runFolder(folders), fileTag(file))
  try {
    if (
      !merge &&
      planAttach(file, options).tables.some(({ rows }) => rows > 0) &&
      (await countRecords(options, space)) > 0
    ) {
      throw new TidemarkError('needs_merge', undefined, { details: { space } })
    }
    const replica = uuidV7(clock.now(), random)
    await guardOf(folders, file).record(replica, 0)
    await attachSqlite({ file, driver: betterSqlite3, clock, random, space, replica, ...choiceOf(options) })
    addAttachment(folders, { file, space, profile, attachedAt: clock.now() })
  } finally {
    lock.release()
  }
}

/** The space that a file is under sync with by what lies in the file itself; null when it is not. */
export async function readSpace(file: string): Promise<string | null> {
  try {
    const path = requireFile(file)
    await using store = namingFile(path, () => openSqliteStore({ file: path, driver: betterSqlite3 }))
    return (await store.state()).space
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'not_attached') return null
    throw error
  }
}

/**
 * Goes on with a file that is under sync already but not listed on this machine: a copy, a restored or a moved file.
 * Whether it needs an identity of its own is found when its engine starts (I13). Throws `already_attached`.
 */
export async function resumeFile(
  options: Machine & { readonly file: string; readonly profile: string },
): Promise<void> {
  const { folders, clock, profile } = options
  const file = requireFile(options.file)
  const space = await readSpace(file)
  if (space === null) throw new TidemarkError('not_attached', undefined, { details: { file } })
  if (findAttachment(folders, file) !== undefined)
    throw new TidemarkError('already_attached', undefined, { details: { file, space } })
  addAttachment(folders, { file, space, profile, attachedAt: clock.now() })
}

/**
 * Joins the cloud anew with the next sync, under another identity: what the cloud has that is newer flows in, or,
 * with `overwrite`, the rows as they are here become edits and win. Both are durable when it resolves. Throws
 * `in_use`, and `unprocessable` for an overwrite with a file that never held the whole space.
 */
export async function rejoinFile(
  options: Machine & { readonly file: string; readonly overwrite: boolean },
): Promise<void> {
  const { folders, clock, random, overwrite } = options
  const file = requireFile(options.file)
  await using store = await openStoreOf(folders, file, { lock: true })
  const { replica, mutation, cursor } = await store.state()
  if (overwrite && cursor === null) {
    throw new TidemarkError(
      'unprocessable',
      'The file has not read its space whole yet: it cannot overwrite it',
      {
        details: { file },
      },
    )
  }
  const guard = guardOf(folders, file)
  const verdict = await guard.verdict(replica, mutation)
  if (overwrite) await store.startOverwrite()
  await adoptIdentity({ store, guard, clock, random })
  if (verdict === 'same' || verdict === 'restored') await guard.forget(replica)
  const earlier = readStatus(folders, file)
  writeStatus(folders, file, {
    state: earlier?.state ?? 'stopped',
    reason: earlier?.reason ?? '',
    lastSyncAt: earlier?.lastSyncAt ?? null,
    lastReset: { why: overwrite ? 'overwrite' : 'rejoin', at: clock.now() },
  })
}

/** Records of a space; 0 when there is no such space yet. */
async function countRecords(
  options: Machine & { readonly connection: Credentials },
  space: string,
): Promise<number> {
  const provider = await createProvider(options, options.connection)
  try {
    return (await provider.status(space, new AbortController().signal)).records
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'space_not_found') return 0
    throw error
  }
}

/** Takes a file off sync: nothing of Tidemark is left in it. Forgets an attachment whose file is gone. */
export async function detachFile(options: Machine & { readonly file: string }): Promise<void> {
  const { folders } = options
  const file = canonicalPath(options.file)
  if (!existsSync(file)) {
    if (findAttachment(folders, file) === undefined)
      throw new TidemarkError('file_not_found', undefined, { details: { file } })
    return removeAttachment(folders, file)
  }
  const lock = takeLock(runFolder(folders), fileTag(file))
  try {
    const store = openSqliteStore({ file, driver: betterSqlite3 })
    const { replica, mutation } = await store.state()
    await store[Symbol.asyncDispose]()
    const guard = guardOf(folders, file)
    const verdict = await guard.verdict(replica, mutation)
    detachSqlite({ file, driver: betterSqlite3 })
    // The identity of a copy is that of the file it was copied from, which goes on using it.
    if (verdict === 'same' || verdict === 'restored') await guard.forget(replica)
    removeAttachment(folders, file)
  } finally {
    lock.release()
  }
}

/**
 * Makes a new file with the tables of a space, attached and still empty: the first sync fills it. Throws
 * `file_exists`, `space_not_found`; leaves no file behind when it fails.
 */
export async function cloneSpace(
  options: Machine & {
    readonly space: string
    readonly file: string
    readonly connection: Credentials
    readonly profile: string
  },
): Promise<{ readonly tables: readonly string[]; readonly notes: readonly string[] }> {
  const { space, file } = options
  if (existsSync(file)) throw new TidemarkError('file_exists', undefined, { details: { file } })
  const provider = await createProvider(options, options.connection)
  const { tables } = await provider.readSchema(space, new AbortController().signal)
  if (tables.length === 0)
    throw new TidemarkError('space_not_found', 'The space has no tables yet', { details: { space } })
  try {
    const notes = makeTables(file, tables)
    await attachFile({ ...options, merge: true })
    return { tables: tables.map(({ name }) => name), notes }
  } catch (error) {
    for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${file}${end}`, { force: true })
    throw error
  }
}

function makeTables(file: string, tables: readonly SchemaTable[]): readonly string[] {
  using stack = new DisposableStack()
  const connection = stack.adopt(betterSqlite3.open(file, { create: true }), (one) => one.close())
  const sandbox = stack.adopt(betterSqlite3.open(':memory:', { create: true }), (one) => one.close())
  return createTables(connection, tables, sandbox)
}

function requireFile(file: string): string {
  const found = statSync(file, { throwIfNoEntry: false })
  if (found === undefined) throw new TidemarkError('file_not_found', undefined, { details: { file } })
  if (!found.isFile()) throw new TidemarkError('not_a_database', undefined, { details: { file } })
  return canonicalPath(file)
}

/** What is no database is said of the file by its name. */
function namingFile<T>(file: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof TidemarkError) || error.code !== 'not_a_database') throw error
    throw new TidemarkError('not_a_database', undefined, { details: { file }, cause: error })
  }
}

const guardOf = (folders: Folders, file: string): IdentityGuard =>
  openIdentityGuard({ folder: makePrivateFolder(join(folders.data, 'identities')), file })

const choiceOf = ({
  tables,
  exclude,
}: TableNames): { readonly tables?: readonly string[]; readonly exclude?: readonly string[] } => ({
  ...(tables === undefined ? {} : { tables }),
  ...(exclude === undefined ? {} : { exclude }),
})
