import type Database from 'better-sqlite3'

import type { TidemarkError } from '../../../kernel/errors.ts'
import { silentMetrics, type Metrics } from '../../metrics.ts'
import { toStorageError } from './failure.ts'
import { nextTurn } from '../next-turn.ts'

/** Jobs of one transaction: bounds how long everything else waits for it. */
const MAX_JOBS = 64
/** Weight of one transaction, in characters of changes. */
const MAX_WEIGHT = 4 * 1024 * 1024

interface Job {
  readonly run: () => unknown
  /** `run` answers a promise, and has a transaction of its own until that is settled. */
  readonly alone: boolean
  readonly weight: number
  readonly done: (result: unknown) => void
  readonly failed: (error: TidemarkError) => void
}

/**
 * Writing transactions, several in one commit: what one turn of the event loop brings shares the wait for the
 * disk. Each job has a savepoint of its own, so that one that throws takes nothing else with it; each is
 * answered only once the commit is on the disk.
 */
export class GroupCommit {
  readonly #database: Database.Database
  /** Forgets what was read or noted inside a transaction that was undone. */
  readonly #forget: () => void
  readonly #metrics: Metrics
  #queue: Job[] = []
  #due = false
  #alone: Promise<unknown> | null = null
  #idle: (() => void)[] = []

  constructor(database: Database.Database, forget: () => void, metrics: Metrics = silentMetrics) {
    this.#database = database
    this.#metrics = metrics
    metrics.watch('commitQueue', {}, () => this.#queue.length)
    this.#forget = forget
  }

  /** Resolves with what `run` returned when it is durable; rejects, with nothing done, when it or the disk failed. */
  add<T>(run: () => T, weight = 0): Promise<T> {
    return this.#enqueue<T>(run, weight, false)
  }

  /**
   * The same for work that waits for something outside. Nothing else is written meanwhile, nor may anything be read
   * on this connection: see `alone`.
   */
  addAlone<T>(run: () => Promise<T>): Promise<T> {
    return this.#enqueue<T>(run, 0, true)
  }

  /** Settled when what has the connection for itself now has ended, one way or another; null: nothing has. */
  get alone(): Promise<unknown> | null {
    return this.#alone
  }

  #enqueue<T>(run: () => unknown, weight: number, alone: boolean): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ run, alone, weight, done: resolve as (result: unknown) => void, failed: reject })
      this.#schedule()
    })
  }

  /** Resolves when nothing waits any more. */
  drain(): Promise<void> {
    if (!this.#due) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  #schedule(): void {
    if (this.#due) return
    this.#due = true
    nextTurn(() => {
      const [first] = this.#queue
      if (first?.alone === true) {
        this.#queue.shift()
        this.#alone = this.#commitAlone(first).finally(() => {
          this.#alone = null
          this.#goOn()
        })
        return
      }
      this.#commit(this.#take())
      this.#goOn()
    })
  }

  #goOn(): void {
    this.#due = false
    if (this.#queue.length > 0) return this.#schedule()
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** Never rejects. */
  async #commitAlone(job: Job): Promise<void> {
    try {
      this.#database.exec('BEGIN IMMEDIATE')
      const result = await job.run()
      this.#database.exec('COMMIT')
      job.done(result)
    } catch (thrown) {
      try {
        this.#undo('ROLLBACK')
      } catch {
        // The next transaction says what is wrong with the connection.
      }
      job.failed(toStorageError(thrown))
    }
  }

  #take(): readonly Job[] {
    let weight = 0
    let count = 0
    for (const job of this.#queue) {
      weight += job.weight
      if (job.alone || (count > 0 && (count >= MAX_JOBS || weight > MAX_WEIGHT))) break
      count++
    }
    return this.#queue.splice(0, count)
  }

  #commit(jobs: readonly Job[]): void {
    const answers: (() => void)[] = []
    const endTime = this.#metrics.time('commitSeconds', {})
    try {
      this.#database.exec('BEGIN IMMEDIATE')
      for (const job of jobs) answers.push(this.#runApart(job))
      this.#database.exec('COMMIT')
    } catch (thrown) {
      const error = toStorageError(thrown)
      try {
        this.#undo('ROLLBACK')
      } catch {
        // The next transaction says what is wrong with the connection.
      }
      // A job too large for the room that is left must not take the small ones with it for ever.
      if (jobs.length > 1 && error.code === 'disk_full') for (const job of jobs) this.#commit([job])
      else for (const job of jobs) job.failed(error)
      return
    }
    endTime()
    this.#metrics.observe('commitJobs', {}, jobs.length)
    for (const answer of answers) answer()
  }

  /** One job in a savepoint. Throws when the whole transaction is lost. */
  #runApart(job: Job): () => void {
    this.#database.exec('SAVEPOINT job')
    try {
      const result = job.run()
      this.#database.exec('RELEASE job')
      return () => job.done(result)
    } catch (thrown) {
      const error = toStorageError(thrown)
      // Out of room, SQLite may have undone everything by itself.
      if (error.code === 'disk_full' || !this.#database.inTransaction) throw error
      this.#undo('ROLLBACK TO job; RELEASE job')
      return () => job.failed(error)
    }
  }

  #undo(sql: string): void {
    this.#forget()
    if (this.#database.inTransaction) this.#database.exec(sql)
  }
}
