import type { SyncResult } from '../../engine/waiters.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { toSystemError } from '../../machine/failures.ts'
import type { Machine } from '../../machine/machine.ts'
import type { Attachment } from '../attachments.ts'
import type { RunningReplica } from '../runner.ts'
import { HostedFile, type EngineSettings, type HostingEvent } from './hosted-file.ts'

export interface HostingOptions {
  readonly machine: Machine
  /** The files to host, as they are listed now. */
  readonly list: () => readonly Attachment[]
  /** How files of a profile are synced now; null: not. */
  readonly settingsOf: (profile: string) => EngineSettings | null
  readonly tell: (event: HostingEvent) => void
  /** The list cannot be read: what was hosted stays so. */
  readonly unreadable: (error: TidemarkError) => void
}

/** Keeps a changing list of files in step: by `tidemark run`, and by the daemon. No file keeps another from anything (I9). */
export class Hosting implements AsyncDisposable {
  readonly #options: HostingOptions
  readonly #files = new Map<string, HostedFile>()
  /** Files that are no longer listed and not closed yet. */
  readonly #leaving = new Set<Promise<void>>()
  #closed = false

  constructor(options: HostingOptions) {
    this.#options = options
    this.follow()
  }

  /** Looks at list and settings, and does what they say now. */
  follow(): void {
    if (this.#closed) return
    const { machine, list, settingsOf, tell, unreadable } = this.#options
    let listed: readonly Attachment[]
    try {
      listed = list()
    } catch (thrown) {
      return unreadable(toSystemError(thrown))
    }
    const names = new Set(listed.map(({ file }) => file))
    for (const [name, hosted] of this.#files) {
      if (names.has(name)) continue
      this.#files.delete(name)
      const left = hosted.close(0).finally(() => this.#leaving.delete(left))
      this.#leaving.add(left)
    }
    for (const { file, profile } of listed) {
      const settings = settingsOf(profile)
      const hosted = this.#files.get(file)
      if (hosted !== undefined) hosted.update(settings)
      else
        this.#files.set(
          file,
          new HostedFile({ machine, file, settings, tell, returned: () => this.follow() }),
        )
    }
  }

  /** The engine of a file; null while it has none. */
  running(file: string): RunningReplica | null {
    return this.#files.get(file)?.running ?? null
  }

  /** What keeps a file from being opened; null: nothing that is known. */
  failure(file: string): TidemarkError | null {
    return this.#files.get(file)?.failure ?? null
  }

  /** What keeps each file from being opened, once that is known; null: nothing does. */
  async settled(): Promise<ReadonlyMap<string, TidemarkError | null>> {
    const entries = [...this.#files].map(async ([file, hosted]) => [file, await hosted.settled()] as const)
    return new Map(await Promise.all(entries))
  }

  /** One whole cycle of a file. Rejects with what keeps it from that, and `not_attached`. */
  async syncNow(file: string, signal: AbortSignal): Promise<SyncResult> {
    const hosted = this.#files.get(file)
    if (hosted === undefined) throw new TidemarkError('not_attached', undefined, { details: { file } })
    return hosted.syncNow(signal)
  }

  /** Time has passed unseen, as in sleep. */
  awake(): void {
    for (const hosted of this.#files.values()) hosted.awake()
  }

  /** Ends all at once; a push under way is finished, but for `drainMs` at the most. */
  async close(drainMs: number): Promise<void> {
    this.#closed = true
    const all = [...this.#files.values()].map((hosted) => hosted.close(drainMs))
    this.#files.clear()
    await Promise.all([...all, ...this.#leaving])
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(0)
  }
}
