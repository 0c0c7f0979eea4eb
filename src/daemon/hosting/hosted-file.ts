import type { EngineEvent } from '../../engine/engine.ts'
import { WORKING } from '../../engine/machine.ts'
import type { SyncResult } from '../../engine/waiters.ts'
import { sleep } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { Credentials } from '../../machine/device.ts'
import { toSystemError } from '../../machine/failures.ts'
import type { Machine } from '../../machine/machine.ts'
import { openReplica } from '../replica.ts'
import { runReplica, type RunningReplica } from '../runner.ts'
import { drain } from './drain.ts'

/** How often a file that could not be opened is tried again, in milliseconds. */
const REOPEN_MS = 1_000

/** How a file is to be synced; null where it is not: then it has no engine. */
export interface EngineSettings {
  readonly connection: Credentials
  readonly pollMs: number
  readonly batchRows?: number | undefined
  readonly otherSpace?: 'join' | undefined
}

/** What happens to a hosted file. A failure is told once, until another one comes or the file could be opened. */
export type HostingEvent =
  | { readonly type: 'opened'; readonly file: string; readonly endpoint: string }
  | { readonly type: 'failed'; readonly file: string; readonly error: TidemarkError }
  | { readonly type: 'replaced'; readonly file: string }
  | { readonly type: 'engine'; readonly file: string; readonly event: EngineEvent }

/**
 * Keeps one file in step for as long as it is hosted, whatever becomes of the file and of the settings:
 *
 *            settings, nobody else at work                       replaced, settings changed
 *   ┌──────┐ ────────────────────▶ ┌─────────┐ ──────▶ ┌──────┐ ───────────────────────────▶ (idle)
 *   │ idle │                       │ opening │         │ open │
 *   └──────┘ ◀──────────────────── └─────────┘ ◀────── └──────┘
 *      ▲        sync off, lent          │ fails: again after a second, or as soon as something changes
 *      └────────────────────────────────┘
 */
export class HostedFile implements AsyncDisposable {
  readonly file: string
  readonly #machine: Machine
  readonly #tell: (event: HostingEvent) => void
  readonly #returned: () => void
  /** Aborted when anything changes that the loop has to look at. */
  #turn = new AbortController()
  #settings: EngineSettings | null
  /** Commands that work on the file now. */
  #lent = 0
  #closed = false
  #running: RunningReplica | null = null
  #failure: TidemarkError | null = null
  /** Settled once it is open, has failed, or has nothing to do. */
  #settled = createSettling()
  /** Told once the file is closed. */
  #idle: (() => void)[] = []
  readonly #loop: Promise<void>

  constructor(options: {
    readonly machine: Machine
    readonly file: string
    readonly settings: EngineSettings | null
    readonly tell: (event: HostingEvent) => void
    /** A command is through that had the file: it may have detached it. */
    readonly returned?: () => void
  }) {
    this.file = options.file
    this.#machine = options.machine
    this.#settings = options.settings
    this.#tell = options.tell
    this.#returned = options.returned ?? (() => {})
    this.#loop = this.#run()
  }

  /** Null while it is not open. */
  get running(): RunningReplica | null {
    return this.#running
  }

  get failure(): TidemarkError | null {
    return this.#failure
  }

  /** Resolves once it is known whether the file can be opened; with the failure, or null. */
  async settled(): Promise<TidemarkError | null> {
    await this.#settled.promise
    return this.#failure
  }

  /** New settings take the place of the old ones at once; the same ones change nothing. */
  update(settings: EngineSettings | null): void {
    if (isSame(settings, this.#settings)) return
    this.#settings = settings
    this.#change()
  }

  /** One whole cycle that begins now. Rejects with what keeps the file from being synced. */
  async syncNow(signal: AbortSignal): Promise<SyncResult> {
    const failure = await this.settled()
    if (this.#running !== null) return this.#running.syncNow({ signal })
    throw failure ?? new TidemarkError('in_use', 'A command is at work on this file')
  }

  /** Time has passed unseen: what waits begins at once, and what was under way begins again. */
  awake(): void {
    const engine = this.#running?.replica.engine
    if (engine === undefined) return this.#change()
    if (engine.phase === 'paused') return
    if (!WORKING.has(engine.phase)) return engine.wake(true)
    // A request that was under way may have nobody left at its other end, and would notice only by and by.
    engine.pause()
    void engine.resume().catch((thrown: unknown) => this.#fail(toSystemError(thrown)))
  }

  /** A push under way is finished, but for `drainMs` at the most. */
  async close(drainMs: number): Promise<void> {
    this.#closed = true
    const engine = this.#running?.replica.engine
    if (engine !== undefined) await drain(engine, this.#machine.clock, drainMs)
    this.#change()
    await this.#loop
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(0)
  }

  #change(): void {
    this.#turn.abort()
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      this.#turn = new AbortController()
      const { signal } = this.#turn
      if (this.#settings === null || this.#lent > 0) {
        this.#failure = null
        this.#settled.resolve()
        for (const tell of this.#idle.splice(0)) tell()
        await untilAborted(signal)
        this.#settled = createSettling()
        continue
      }
      const running = await this.#open(this.#settings, signal)
      if (running === null) {
        await sleep(this.#machine.clock, REOPEN_MS, signal).catch(() => {})
        continue
      }
      const changed = untilAborted(signal).then(() => false)
      const isReplaced = await Promise.race([changed, running.replaced.then(() => true)])
      this.#running = null
      this.#settled = createSettling()
      try {
        await running[Symbol.asyncDispose]()
      } catch (thrown) {
        this.#fail(toSystemError(thrown))
      }
      if (isReplaced && !this.#closed) this.#tell({ type: 'replaced', file: this.file })
    }
    this.#settled.resolve()
    for (const tell of this.#idle.splice(0)) tell()
  }

  /** Null where it can't be opened, and where something changed meanwhile. */
  async #open(settings: EngineSettings, signal: AbortSignal): Promise<RunningReplica | null> {
    const { folders, clock } = this.#machine
    const { file } = this
    try {
      const running = await runReplica(
        folders,
        () => openReplica({ ...this.#machine, ...settings, file, signal }),
        file,
        clock,
        {
          listener: (event) => this.#tell({ type: 'engine', file, event }),
          release: (gone) => this.#lend(gone),
        },
      )
      this.#running = running
      this.#failure = null
      this.#tell({ type: 'opened', file, endpoint: settings.connection.endpoint })
      this.#settled.resolve()
      return running
    } catch (thrown) {
      if (!signal.aborted) this.#fail(toSystemError(thrown))
      return null
    }
  }

  /** Resolves once the file is closed; it stays so until `gone`. */
  async #lend(gone: AbortSignal): Promise<void> {
    this.#lent++
    gone.addEventListener(
      'abort',
      () => {
        this.#returned()
        this.#lent--
        this.#change()
      },
      { once: true },
    )
    const closed = new Promise<void>((resolve) => this.#idle.push(resolve))
    this.#change()
    await closed
  }

  #fail(error: TidemarkError): void {
    const isNew = this.#failure?.code !== error.code
    this.#failure = error
    this.#settled.resolve()
    if (isNew) this.#tell({ type: 'failed', file: this.file, error })
  }
}

interface Settling {
  readonly promise: Promise<void>
  readonly resolve: () => void
}

const createSettling = (): Settling => Promise.withResolvers<void>()

const isSame = (one: EngineSettings | null, other: EngineSettings | null): boolean =>
  JSON.stringify(one) === JSON.stringify(other)

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
