import { closeSync, existsSync, openSync, rmSync } from 'node:fs'

import { TidemarkError } from '../kernel/errors.ts'
import { MAX_SPACE_CHARS } from '../protocol/limits.ts'
import { isSpaceName } from '../protocol/space-name.ts'
import type { SchemaTable } from '../protocol/schema.ts'
import { betterSqlite3 } from '../stores/sqlite/driver/better-sqlite3.ts'
import { quoteName, type Connection } from '../stores/sqlite/driver/driver.ts'
import { isBookkeeping } from '../stores/sqlite/shape/refusals.ts'
import { createTables } from '../stores/sqlite/shape/ddl.ts'
import { detachFile as detachSqlite, inspectFile, openSqliteStore } from '../stores/sqlite/store/open.ts'
import type { TableChoice } from '../stores/sqlite/store/attach.ts'
import { addAttachment, findAttachment, removeAttachment } from './attachments.ts'
import { canonicalPath } from '../machine/files.ts'
import { askPatiently, type Asking } from './ask.ts'
import { borrowFile } from './borrow.ts'
import { createProvider } from '../machine/cloud.ts'
import type { Credentials } from '../machine/device.ts'
import { attachReplica } from '../machine/attach.ts'
import { guardOf } from '../machine/guard.ts'
import { removeFileLock } from '../machine/file-lock.ts'
import type { Machine } from '../machine/machine.ts'
import { requireFile } from './replica.ts'

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
  /** Tables of migration tools that are synced beside all others. */
  readonly bookkeeping?: readonly string[] | undefined
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
    Pick<Asking, 'signal' | 'patience'> &
    TableNames & {
      readonly file: string
      readonly space: string
      readonly connection: Credentials
      readonly profile: string
      readonly merge: boolean
    },
): Promise<void> {
  const { folders, clock, random, space, profile, merge } = options
  requireSpaceName(space)
  const file = requireFile(options.file)
  const lock = await borrowFile(folders, file, clock, options.signal)
  try {
    if (
      !merge &&
      planAttach(file, options).tables.some(({ rows }) => rows > 0) &&
      (await countRecords(options, space)) > 0
    ) {
      throw new TidemarkError('needs_merge', undefined, { details: { space } })
    }
    await attachReplica(folders, {
      file,
      driver: betterSqlite3,
      clock,
      random,
      space,
      ...choiceOf(options),
    }).catch((error: unknown) => {
      throw namedAfter(file, error)
    })
    addAttachment(folders, { file, space, profile, attachedAt: clock.now() })
  } finally {
    lock.release()
  }
}

/** Records of a space; 0 when there is no such space yet. */
async function countRecords(
  options: Machine & Asking & { readonly connection: Credentials },
  space: string,
): Promise<number> {
  const provider = await createProvider(options, options.connection)
  try {
    return (await askPatiently(options, (signal) => provider.status(space, signal))).records
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'space_not_found') return 0
    throw error
  }
}

/**
 * Takes a file off sync: nothing of Tidemark is left in it. Forgets an attachment whose file is gone. `journalRestored`
 * is false when another program has the file open and so keeps it in WAL mode.
 */
export async function detachFile(
  options: Machine & { readonly file: string },
): Promise<{ readonly journalRestored: boolean }> {
  const { folders, clock } = options
  const file = canonicalPath(options.file)
  if (!existsSync(file)) {
    if (findAttachment(folders, file) === undefined)
      throw new TidemarkError('file_not_found', undefined, { details: { file } })
    removeAttachment(folders, file)
    return { journalRestored: true }
  }
  const lock = await borrowFile(folders, file, clock)
  try {
    const store = openSqliteStore({ file, driver: betterSqlite3 })
    const { replica, mutation } = await store.state()
    await store[Symbol.asyncDispose]()
    const guard = guardOf(folders, file)
    const verdict = await guard.verdict(replica, mutation)
    const done = detachSqlite({ file, driver: betterSqlite3 })
    // The identity of a copy is that of the file it was copied from, which goes on using it.
    if (verdict === 'same' || verdict === 'restored') await guard.forget(replica)
    removeAttachment(folders, file)
    removeFileLock(file)
    return done
  } finally {
    lock.release()
  }
}

/**
 * Makes a new file with the tables of a space, attached and still empty: the first sync fills it. Throws
 * `file_exists`, `space_not_found`; leaves no file behind when it fails.
 */
export async function cloneSpace(
  options: Machine &
    Pick<Asking, 'signal' | 'patience'> & {
      readonly space: string
      readonly file: string
      readonly connection: Credentials
      readonly profile: string
    },
): Promise<{ readonly tables: readonly string[]; readonly notes: readonly string[] }> {
  const { space, file } = options
  requireSpaceName(space)
  if (existsSync(file)) throw new TidemarkError('file_exists', undefined, { details: { file } })
  const provider = await createProvider(options, options.connection)
  const { tables } = await askPatiently(options, (signal) => provider.readSchema(space, signal))
  if (tables.length === 0)
    throw new TidemarkError('space_not_found', 'The space has no tables yet', { details: { space } })
  claimPath(file)
  try {
    const notes = makeTables(file, tables)
    // The space has tables of migration tools only where somebody named them.
    const bookkeeping = tables.filter(({ name: table, columns }) =>
      isBookkeeping(
        table,
        columns.map(({ name }) => name),
      ),
    )
    await attachFile({ ...options, merge: true, bookkeeping: bookkeeping.map(({ name }) => name) })
    return { tables: tables.map(({ name }) => name), notes }
  } catch (error) {
    for (const end of ['', '-wal', '-shm', '-journal', '-tidemark']) rmSync(`${file}${end}`, { force: true })
    throw error
  }
}

/**
 * Makes the file, empty, unless another program did since it was looked for: what is taken away after a failure is
 * never somebody else's.
 */
function claimPath(file: string): void {
  try {
    closeSync(openSync(file, 'wx'))
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException
    if (code !== 'EEXIST') throw thrown
    throw new TidemarkError('file_exists', undefined, { details: { file }, cause: thrown })
  }
}

function makeTables(file: string, tables: readonly SchemaTable[]): readonly string[] {
  const connection = betterSqlite3.open(file, { create: true })
  try {
    const sandbox = betterSqlite3.open(':memory:', { create: true })
    try {
      return createTables(connection, tables, sandbox)
    } finally {
      sandbox.close()
    }
  } finally {
    connection.close()
  }
}

/** Throws `bad_usage`: nothing is attached to a space that the cloud will never take. */
function requireSpaceName(space: string): void {
  if (isSpaceName(space)) return
  throw new TidemarkError(
    'bad_usage',
    `the name of a space is up to ${MAX_SPACE_CHARS} letters, digits and . _ : -, and begins with a letter or digit`,
  )
}

/** What is no database, or cannot be read or written, is said of the file by its name. */
export function namingFile<T>(file: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw namedAfter(file, error)
  }
}

function namedAfter(file: string, error: unknown): unknown {
  if (!(error instanceof TidemarkError)) return error
  const { code } = error
  if (code !== 'not_a_database' && code !== 'no_access') return error
  return new TidemarkError(code, undefined, { details: { file }, cause: error })
}

const choiceOf = ({ tables, exclude, bookkeeping }: TableNames): TableChoice => ({
  ...(tables === undefined ? {} : { tables }),
  ...(exclude === undefined ? {} : { exclude }),
  ...(bookkeeping === undefined ? {} : { bookkeeping }),
})
