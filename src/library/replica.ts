import { TidemarkError } from '../kernel/errors.ts'
import type { IdentityGuard } from '../engine/identity.ts'
import type { Clock } from '../kernel/clock.ts'
import { AsyncDisposableStack } from '../kernel/disposable-stack.ts'
import { uuidV7, type Random } from '../kernel/random.ts'
import { fileTag } from '../machine/files.ts'
import { runFolder, type Folders } from '../machine/folders.ts'
import { guardOf } from '../machine/guard.ts'
import { takeLock } from '../machine/lock.ts'
import { transact, type Connection, type OpenOptions } from '../stores/sqlite/driver/driver.ts'
import { attachFile, openSqliteStore } from '../stores/sqlite/store/open.ts'
import type { SqliteStore } from '../stores/sqlite/store/store.ts'
import { takeTurns, type Turn } from '../stores/sqlite/store/turn.ts'
import type { AppDatabase } from './database/database.ts'

/** How a file comes under sync, where it is not yet. */
export interface Attaching {
  /** Absent: the space that the file is under sync with, else `default`. */
  readonly space?: string | undefined
  readonly tables?: readonly string[] | undefined
  readonly exclude?: readonly string[] | undefined
}

export interface ReplicaOptions {
  readonly app: AppDatabase
  readonly folders: Folders
  readonly clock: Clock
  readonly random: Random
  /** Milliseconds that a transaction of the application is waited for. */
  readonly waitMs: number
  readonly attaching: Attaching
  /** Called with each new connection of SQLite: registers functions and collations that the schema uses. */
  readonly setup?: OpenOptions['setup']
  /** Before the file is opened: throws where it must not be. */
  readonly inspect?: () => void
}

/** What a manager asks of a replica that others may share. */
export interface Asked {
  /** Who entered. */
  readonly user: object
  /** Absent: whatever space it is. */
  readonly space?: string | undefined
  /** The cloud that it speaks with, which is one for all managers. */
  readonly endpoint: string
  readonly signal?: AbortSignal | undefined
  /** Those before are done. */
  readonly begin?: () => void
}

/** The library's own tables in the application's file, on a connection of their own. */
export interface Book {
  read<T>(work: (connection: Connection) => T): Promise<T>
  /** One transaction. */
  write<T>(work: (connection: Connection) => T): Promise<T>
}

/** An attached file, open, under its lock. */
export interface OpenReplica {
  readonly file: string
  readonly space: string
  readonly store: SqliteStore
  readonly guard: IdentityGuard
  readonly book: Book
}

/**
 * One file of this process, shared by all managers on it: opened with the first need, under the lock that
 * `tidemark run` takes as well, and closed with the last of them. One operation at a time.
 */
export class Replica {
  readonly #options: ReplicaOptions
  readonly #closing = new AbortController()
  #open: Promise<OpenReplica> | null = null
  #owned = new AsyncDisposableStack()
  /** Who has it, and with which cloud each syncs. */
  readonly #users = new Map<object, string | null>()
  /** What a manager counts as failed, for who looks at the same file without one. */
  maxRetries: number | null = null
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: ReplicaOptions) {
    this.#options = options
  }

  get file(): string {
    return this.#options.app.file
  }

  /** Aborts when the last manager goes. */
  get signal(): AbortSignal {
    return this.#closing.signal
  }

  enter(user: object): this {
    this.#users.set(user, null)
    return this
  }

  /** The last one closes: what is at work is cancelled first, and has ended when it resolves. */
  async leave(user: object): Promise<void> {
    if (!this.#users.delete(user) || this.#users.size > 0) return
    this.#closing.abort(new TidemarkError('aborted', 'the manager was closed'))
    if (SHARED.get(this.file) === this) SHARED.delete(this.file)
    const closed = this.#close()
    CLOSING.set(this.file, closed)
    await closed.finally(() => {
      if (CLOSING.get(this.file) === closed) CLOSING.delete(this.file)
    })
  }

  async #close(): Promise<void> {
    await this.#last.catch(() => {})
    await this.#open?.catch(() => {})
    await this.#owned.disposeAsync()
  }

  /**
   * Does `work` when those that asked before are done. Throws `in_use` where another process works on the file, and
   * `already_attached` for another space.
   */
  async perform<T>(
    { user, space, endpoint, signal, begin }: Asked,
    work: (replica: OpenReplica, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const either = AbortSignal.any(signal === undefined ? [this.signal] : [this.signal, signal])
    const before = this.#last
    const mine = (async () => {
      await before
      throwIfAborted(either)
      begin?.()
      const replica = await this.open()
      requireSpace(replica.space, space)
      this.#requireCloud(user, endpoint)
      return work(replica, either)
    })()
    this.#last = mine.catch(() => {})
    // A caller that gives up need not wait for those before it.
    return untilAborted(mine, either)
  }

  /**
   * Looks at the file, or settles something in it, at once and without its lock: each step is a transaction. Null where
   * the file is not under sync.
   */
  async look<T>(work: (open: OpenReplica | null) => Promise<T> | T): Promise<T> {
    throwIfAborted(this.signal)
    if (this.#open !== null) return work(await this.#open)
    await using stack = new AsyncDisposableStack()
    let open: OpenReplica | null = null
    try {
      open = await this.#openParts(stack)
    } catch (error) {
      if (!isNotAttached(error)) throw error
    }
    return await work(open)
  }

  /** The store itself, for what may be looked at while an operation is at work. */
  open(): Promise<OpenReplica> {
    throwIfAborted(this.signal)
    this.#open ??= this.#openNow().catch((error: unknown) => {
      this.#open = null
      throw error
    })
    return this.#open
  }

  #requireCloud(user: object, endpoint: string): void {
    for (const [other, theirs] of this.#users) {
      if (other === user || theirs === null || theirs === endpoint) continue
      throw new TidemarkError('in_use', 'Another manager of this process syncs the file with another cloud', {
        details: { file: this.file },
      })
    }
    this.#users.set(user, endpoint)
  }

  async #openNow(): Promise<OpenReplica> {
    await CLOSING.get(this.file)?.catch(() => {})
    const { folders, inspect } = this.#options
    await using stack = new AsyncDisposableStack()
    const lock = takeLock(runFolder(folders), fileTag(this.file))
    stack.defer(() => lock.release())
    inspect?.()
    const open = await this.#openParts(stack).catch(async (error: unknown) => {
      if (!isNotAttached(error)) throw error
      await this.#attach()
      return this.#openParts(stack)
    })
    this.#owned.use(stack.move())
    return open
  }

  /** Throws `not_attached`. */
  async #openParts(stack: AsyncDisposableStack): Promise<OpenReplica> {
    const { folders } = this.#options
    const access = this.#access(stack)
    const store = stack.use(await access.turn(() => openSqliteStore(access)))
    const { space } = await store.state()
    const book = stack.adopt(openBook(access), (one) => one.close())
    return { file: this.file, space, store, guard: guardOf(folders, this.file), book }
  }

  async #attach(): Promise<void> {
    await using stack = new AsyncDisposableStack()
    const { app, folders, clock, random, attaching } = this.#options
    const { space = DEFAULT_SPACE, tables, exclude } = attaching
    const { tools } = app
    const replica = uuidV7(clock.now(), random)
    await guardOf(folders, this.file).record(replica, 0)
    await attachFile({
      ...this.#access(stack),
      space,
      replica,
      // Who names tables means those.
      ...(tables === undefined ? { tools } : { tables }),
      ...(exclude === undefined ? {} : { exclude }),
    })
  }

  #access(stack: AsyncDisposableStack): Access {
    const { app, clock, random, waitMs, setup } = this.#options
    const { file, driver, enter } = app
    const { turn } = stack.use(
      takeTurns({ file, driver, clock, waitMs, ...(enter === undefined ? {} : { enter }) }),
    )
    return { file, driver, clock, random, turn, ...(setup === undefined ? {} : { setup }) }
  }
}

const isNotAttached = (error: unknown): boolean =>
  error instanceof TidemarkError && error.code === 'not_attached'

type Access = Parameters<typeof openSqliteStore>[0] & {
  readonly file: string
  readonly driver: AppDatabase['driver']
  readonly clock: Clock
  readonly random: Random
  readonly turn: Turn
}

/** The space that a file is put under sync with where none is named. */
export const DEFAULT_SPACE = 'default'

function requireSpace(space: string, wanted: string | undefined): void {
  if (wanted === undefined || wanted === space) return
  throw new TidemarkError(
    'already_attached',
    'The file is under sync with another space; take it off first with `tidemark detach FILE`',
    { details: { space, wanted } },
  )
}

function openBook({ file, driver, turn }: Access): Book & { close(): void } {
  let connection: Connection | null = null
  const open = (): Connection => (connection ??= driver.open(file))
  return {
    async read(work) {
      await Promise.resolve()
      return work(open())
    },
    write: (work) => turn(() => transact(open(), 'immediate', () => work(open()))),
    close: () => connection?.close(),
  }
}

function throwIfAborted(signal: AbortSignal): void {
  if (!signal.aborted) return
  const { reason } = signal as { readonly reason: unknown }
  throw reason instanceof TidemarkError ? reason : new TidemarkError('aborted', undefined, { cause: reason })
}

/** Settles as `work` does, or rejects when the signal aborts: the work itself is told by the same signal. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      try {
        throwIfAborted(signal)
      } catch (error) {
        reject(error)
      }
    }
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}

/** The files that managers of this process have, and those that are being closed. */
const SHARED = new Map<string, Replica>()
const CLOSING = new Map<string, Promise<void>>()

/** The replica of this file, one for all; `leave` gives it back. */
export function shareReplica(options: ReplicaOptions, user: object): Replica {
  const { file } = options.app
  const shared = SHARED.get(file)
  if (shared !== undefined) return shared.enter(user)
  const replica = new Replica(options).enter(user)
  SHARED.set(file, replica)
  return replica
}
