import { TidemarkError } from '../kernel/errors.ts'
import type { IdentityGuard } from '../engine/identity.ts'
import type { Clock } from '../kernel/clock.ts'
import { AsyncDisposableStack } from '../kernel/disposable-stack.ts'
import type { Random } from '../kernel/random.ts'
import { attachReplica } from '../machine/attach.ts'
import { lockFile } from '../machine/file-lock.ts'
import { placeOf } from '../machine/files.ts'
import type { Folders } from '../machine/folders.ts'
import { guardOf } from '../machine/guard.ts'
import type { Driver, OpenOptions } from '../stores/sqlite/driver/driver.ts'
import { openSqliteStore } from '../stores/sqlite/store/open.ts'
import type { SqliteStore } from '../stores/sqlite/store/store.ts'
import { takeTurns, type Turn } from '../stores/sqlite/store/turn.ts'
import { throwIfAborted, untilAborted } from './aborting.ts'
import { openBook, type Book } from './book.ts'
import type { AppDatabase } from './database/database.ts'
import { requireUnopened } from './database/open.ts'
import type { Live } from './live.ts'
import { enterAll } from './enter-all.ts'
import { DEFAULT_SPACE, requireSpace, spaceOf } from './space.ts'

/** How a file comes under sync, where it is not yet. */
export interface Attaching {
  /** Absent: the space that the file is under sync with, else `default`. */
  readonly space?: string | undefined
  readonly tables?: readonly string[] | undefined
  readonly exclude?: readonly string[] | undefined
}

/** Who uses a replica, with what of the application's. */
export interface Member {
  readonly app: AppDatabase
  readonly attaching: Attaching
  /** Called with each new connection of SQLite: registers functions and collations that the schema uses. */
  readonly setup?: OpenOptions['setup']
}

export interface ReplicaOptions {
  readonly file: string
  readonly driver: Driver
  readonly folders: Folders
  readonly clock: Clock
  readonly random: Random
  /** Milliseconds that a transaction of the application is waited for. */
  readonly waitMs: number
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

/** An attached file, open, under its lock. */
export interface OpenReplica {
  readonly file: string
  /** Which file it was when it was opened. */
  readonly place: string | null
  readonly space: string
  readonly store: SqliteStore
  readonly guard: IdentityGuard
  readonly book: Book
}

/** Begins what goes on between operations; null: not yet. */
export type StartLive = (open: OpenReplica) => Promise<Live | null>

/**
 * One file of this process, shared by all managers on it: opened with the first need, under the lock that
 * `tidemark run` takes as well, and closed with the last of them. One operation at a time.
 */
export class Replica {
  readonly #options: ReplicaOptions
  readonly #closing = new AbortController()
  #open: Promise<OpenReplica> | null = null
  #owned = new AsyncDisposableStack()
  readonly #members = new Map<object, Member>()
  /** Those who leave, until nothing of theirs is at work: their applications are still not written under. */
  readonly #leaving = new Set<Member>()
  /** With which cloud each member syncs. */
  readonly #clouds = new Map<object, string>()
  /** What a manager counts as failed, for who looks at the same file without one. */
  maxRetries: number | null = null
  /** What goes on between operations, by who wants it; that of the first is at work. */
  readonly #wanted = new Map<object, StartLive>()
  #live: Live | null = null
  #last: Promise<unknown> = Promise.resolve()
  /** Those who look: nothing is closed under them. */
  readonly #looks = new Set<Promise<unknown>>()
  /** How often we have the file open ourselves. */
  #openings = 0

  constructor(options: ReplicaOptions) {
    this.#options = options
  }

  get file(): string {
    return this.#options.file
  }

  /** Aborts when the last manager goes. */
  get #signal(): AbortSignal {
    return this.#closing.signal
  }

  /** Throws `unprocessable` for another copy of SQLite than that of the others: neither sees the other's locks. */
  enter(user: object, member: Member): this {
    if (member.app.handle !== null && member.app.driver !== this.#options.driver) {
      throw new TidemarkError(
        'unprocessable',
        'The file is used in this process by another SQLite library, or another copy of it; neither sees the locks of the other',
        { details: { file: this.file } },
      )
    }
    this.#members.set(user, member)
    return this
  }

  /** The last one closes: what is at work is cancelled first, and has ended when it resolves. */
  async leave(user: object): Promise<void> {
    this.#clouds.delete(user)
    if (this.#wanted.has(user)) this.keepLive(user, null)
    const member = this.#members.get(user)
    if (member === undefined) return
    this.#members.delete(user)
    this.#leaving.add(member)
    try {
      await (this.#members.size > 0 ? this.#last : this.#leaveLast())
    } finally {
      this.#leaving.delete(member)
    }
  }

  async #leaveLast(): Promise<void> {
    this.#closing.abort(new TidemarkError('aborted', 'the manager was closed'))
    if (SHARED.get(this.file) === this) SHARED.delete(this.file)
    const before = CLOSING.get(this.file)
    const closed = Promise.all([this.#close(), before?.catch(() => {})])
    CLOSING.set(this.file, closed)
    await closed.finally(() => {
      if (CLOSING.get(this.file) === closed) CLOSING.delete(this.file)
    })
  }

  async #close(): Promise<void> {
    await this.#last.catch(() => {})
    await this.#stopLive()
    await Promise.allSettled(this.#looks)
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
    const either = AbortSignal.any(signal === undefined ? [this.#signal] : [this.#signal, signal])
    const before = this.#last
    const mine = (async () => {
      await before
      throwIfAborted(either)
      begin?.()
      await this.#stopLive()
      await this.#renew()
      const replica = await this.open(user)
      requireSpace(replica.space, space)
      this.#requireCloud(user, endpoint)
      return work(replica, either)
    })()
    this.#last = mine.catch(() => {}).then(() => this.#startLive())
    // A caller that gives up need not wait for those before it.
    return untilAborted(mine, either)
  }

  /**
   * From the next operation on `start` keeps the file in step between two of them; null: no longer. One at a time, for
   * whoever wanted it first.
   */
  keepLive(user: object, start: StartLive | null): void {
    if (start === null) this.#wanted.delete(user)
    else this.#wanted.set(user, start)
    this.#last = this.#last.then(() => this.#stopLive()).then(() => this.#startLive())
  }

  async #startLive(): Promise<void> {
    const [start] = this.#wanted.values()
    if (start === undefined || this.#live !== null || this.#signal.aborted) return
    const open = await this.#open?.catch(() => null)
    if (open !== undefined && open !== null) this.#live = await start(open).catch(() => null)
  }

  async #stopLive(): Promise<void> {
    const live = this.#live
    this.#live = null
    // What comes after it, closing for one, is not held up by how it ended.
    await live?.stop().catch(() => {})
  }

  /**
   * Looks at the file, or settles something in it, at once and without its lock: each step is a transaction. Null where
   * the file is not under sync.
   */
  async look<T>(user: object, work: (open: OpenReplica | null) => Promise<T> | T): Promise<T> {
    throwIfAborted(this.#signal)
    const look = this.#look(user, work)
    this.#looks.add(look)
    try {
      return await look
    } finally {
      this.#looks.delete(look)
    }
  }

  async #look<T>(user: object, work: (open: OpenReplica | null) => Promise<T> | T): Promise<T> {
    // Where another process has the lock, so that it cannot be opened, it can still be looked at.
    const shared = await this.#open?.catch(() => null)
    if (shared !== undefined && shared !== null) return work(shared)
    await CLOSING.get(this.file)?.catch(() => {})
    await using stack = new AsyncDisposableStack()
    let open: OpenReplica | null = null
    try {
      open = await this.#openParts(stack, this.#memberOf(user))
    } catch (error) {
      if (!isNotAttached(error)) throw error
    }
    return await work(open)
  }

  /** The space that the file is under sync with; null where it is with none. Waits for nobody. */
  async readSpace(user: object): Promise<string | null> {
    const shared = await this.#open?.catch(() => null)
    if (shared !== undefined && shared !== null) return shared.space
    const { setup } = this.#memberOf(user)
    const { file, driver } = this.#options
    this.#requireUnopened()
    return spaceOf(file, driver, setup)
  }

  /** The file under its lock; puts it under sync where it is not yet. */
  open(user: object): Promise<OpenReplica> {
    throwIfAborted(this.#signal)
    this.#open ??= this.#openNow(this.#memberOf(user)).catch((error: unknown) => {
      this.#open = null
      throw error
    })
    return this.#open
  }

  #memberOf(user: object): Member {
    const member = this.#members.get(user)
    if (member === undefined) throw new TidemarkError('aborted', 'The manager was closed')
    return member
  }

  #requireCloud(user: object, endpoint: string): void {
    for (const [other, theirs] of this.#clouds) {
      if (other === user || theirs === endpoint) continue
      throw new TidemarkError('in_use', 'Another manager of this process syncs the file with another cloud', {
        details: { file: this.file },
      })
    }
    this.#clouds.set(user, endpoint)
  }

  /** Lets go of a file that another one has taken the place of. */
  async #renew(): Promise<void> {
    const open = await this.#open?.catch(() => null)
    const place = placeOf(this.file)
    // One that is gone for a moment is not another one yet.
    if (open === undefined || open === null || place === null || place === open.place) return
    const owned = this.#owned
    this.#owned = new AsyncDisposableStack()
    this.#open = null
    await Promise.allSettled(this.#looks)
    await owned.disposeAsync()
  }

  async #openNow(member: Member): Promise<OpenReplica> {
    await CLOSING.get(this.file)?.catch(() => {})
    const { folders } = this.#options
    await using stack = new AsyncDisposableStack()
    const lock = lockFile(folders, this.file)
    stack.defer(() => lock.release())
    const open = await this.#openParts(stack, member).catch(async (error: unknown) => {
      if (!isNotAttached(error)) throw error
      await this.#attach(member)
      return this.#openParts(stack, member)
    })
    this.#owned.use(stack.move())
    return open
  }

  /** Where nobody gave a connection, nobody but we may have one: which library has it cannot be told. */
  #requireUnopened(): void {
    if (this.#openings > 0) return
    const isGiven = this.#apps.some(({ handle }) => handle !== null)
    if (!isGiven) requireUnopened(this.file)
  }

  /** Throws `not_attached`. */
  async #openParts(stack: AsyncDisposableStack, member: Member): Promise<OpenReplica> {
    const access = this.#access(stack, member)
    const place = placeOf(this.file)
    const store = stack.use(await access.turn(() => openSqliteStore(access)))
    const { space } = await store.state()
    const book = stack.adopt(openBook(access), (one) => one.close())
    return { file: this.file, place, space, store, guard: guardOf(this.#options.folders, this.file), book }
  }

  async #attach(member: Member): Promise<void> {
    await using stack = new AsyncDisposableStack()
    const { folders } = this.#options
    const { space = DEFAULT_SPACE, tables, exclude } = member.attaching
    await attachReplica(folders, {
      ...this.#access(stack, member),
      space,
      // Who names tables means those.
      ...(tables === undefined ? { tools: member.app.tools } : { tables }),
      ...(exclude === undefined ? {} : { exclude }),
    })
  }

  #access(stack: AsyncDisposableStack, { setup }: Member): Access {
    const { file, driver, clock, random, waitMs } = this.#options
    this.#requireUnopened()
    this.#openings++
    stack.defer(() => void this.#openings--)
    const { turn } = stack.use(
      takeTurns({
        file,
        driver,
        clock,
        setup,
        waitMs,
        signal: this.#signal,
        enter: (attempt) => enterAll(this.#apps, attempt),
        isInside: () => this.#apps.some(({ isInside }) => isInside?.() === true),
      }),
    )
    return { file, driver, clock, random, turn, ...(setup === undefined ? {} : { setup }) }
  }

  /** What the members gave, each once. */
  get #apps(): readonly AppDatabase[] {
    const all = [...this.#members.values(), ...this.#leaving]
    return [...new Map(all.map(({ app }) => [app.handle, app])).values()]
  }
}

const isNotAttached = (error: unknown): boolean =>
  error instanceof TidemarkError && error.code === 'not_attached'

type Access = Parameters<typeof openSqliteStore>[0] & {
  readonly file: string
  readonly driver: Driver
  readonly clock: Clock
  readonly random: Random
  readonly turn: Turn
}

/** The files that managers of this process have, and those that are being closed. */
const SHARED = new Map<string, Replica>()
const CLOSING = new Map<string, Promise<unknown>>()

/** The replica of this file, one for all; `leave` gives it back. */
export function shareReplica(
  options: Omit<ReplicaOptions, 'driver' | 'file'>,
  user: object,
  member: Member,
): Replica {
  const { file, driver } = member.app
  const shared = SHARED.get(file)
  if (shared !== undefined) return shared.enter(user, member)
  const replica = new Replica({ ...options, file, driver }).enter(user, member)
  SHARED.set(file, replica)
  return replica
}
