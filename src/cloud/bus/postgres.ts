import { randomUUID } from 'node:crypto'

import { sleep, type Clock } from '../../kernel/clock.ts'
import { silentLogger, type Logger } from '../../kernel/logger.ts'
import type { Random } from '../../kernel/random.ts'
import type { Bus, Subscriber } from '../bus.ts'
import { silentMetrics, type Metrics } from '../metrics.ts'
import type { Database } from '../postgres/pool.ts'
import { Line } from './postgres/line.ts'
import { readMessage, Untold } from './postgres/payload.ts'
import { startSweep, type Sweep } from './postgres/sweep.ts'
import { createSubscribers } from './subscribers.ts'

/** Its number is that of the form of the payloads. A channel belongs to one database, and so does the schema. */
const CHANNEL = 'tidemark_commits_1'
/** Commits of so many milliseconds are told together: each notification takes a lock of the whole server. */
const TOGETHER_MS = 5
/** What the last hints of a node that stops may take. */
const LAST_WORDS_MS = 1_000

const HEADS = {
  name: 'bus_heads',
  text: 'SELECT id, head FROM tidemark.spaces WHERE id = ANY($1)',
}

export interface PostgresBusOptions {
  /** Not closed with the bus. */
  readonly database: Database
  readonly clock: Clock
  readonly random: Random
  readonly logger?: Logger
  readonly metrics?: Metrics
}

/**
 * The bus of the nodes on one PostgreSQL, by LISTEN and NOTIFY on one connection of its own, apart from the pool: a
 * notification inside the commits would make them wait for each other, of all spaces. Joins by itself, and again
 * whenever the connection breaks; until then the sweep alone tells of other nodes.
 */
export function joinPostgresBus(options: PostgresBusOptions): Bus {
  return new PostgresBus(options)
}

class PostgresBus implements Bus {
  readonly #database: Database
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #metrics: Metrics
  readonly #node = randomUUID()
  readonly #subscribers = createSubscribers()
  readonly #untold = new Untold()
  readonly #closing = new AbortController()
  readonly #line: Line
  readonly #sweep: Sweep
  #speaking: Promise<void> | null = null

  constructor(options: PostgresBusOptions) {
    const { database, clock, random, logger = silentLogger, metrics = silentMetrics } = options
    this.#database = database
    this.#clock = clock
    this.#logger = logger
    this.#metrics = metrics
    this.#sweep = startSweep(clock, random, () => this.#look())
    this.#line = new Line({
      database,
      channel: CHANNEL,
      clock,
      random,
      logger,
      metrics,
      onPayload: (payload) => this.#hear(payload),
      onOpen: () => {
        this.#sweep.soon()
        this.#speak()
      },
      onPulse: () => {
        this.#untold.addNothing()
        this.#speak()
      },
    })
  }

  publish(space: string, head: number, writer: string | null): void {
    if (this.#closing.signal.aborted) return
    this.#untold.add(space, head, writer)
    this.#speak()
    this.#subscribers.tell(space, head, writer)
  }

  subscribe(subscriber: Subscriber): () => void {
    return this.#subscribers.add(subscriber)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    this.#sweep.stop()
    let cancel = (): void => {}
    const late = new Promise<void>((resolve) => (cancel = this.#clock.after(LAST_WORDS_MS, resolve)))
    await Promise.race([this.#speaking, late])
    cancel()
    await this.#line.close()
  }

  #speak(): void {
    if (this.#speaking !== null || !this.#line.isOpen || this.#untold.isEmpty) return
    this.#speaking = this.#sayAll().finally(() => {
      this.#speaking = null
      this.#speak()
    })
  }

  /** The first at once, what comes while it is said or soon after together. */
  async #sayAll(): Promise<void> {
    // What is published in the same turn goes with it.
    await Promise.resolve()
    while (!this.#untold.isEmpty && this.#line.isOpen) {
      // What may not have been heard can't be told apart any more from what was.
      if (!(await this.#line.say(this.#untold.take(this.#node)))) return this.#untold.addEverything()
      await sleep(this.#clock, TOGETHER_MS, this.#closing.signal).catch(() => {})
    }
  }

  #hear(payload: string): void {
    const message = readMessage(payload)
    if (message === null) return this.#logger.debug('A notification that no node has sent')
    if (message.node === this.#node) return this.#line.heardOwn()
    this.#metrics.count('busMessages', { direction: 'received' })
    if (message.hints === null) return this.#sweep.soon()
    if (this.#closing.signal.aborted) return
    for (const [space, head, writer] of message.hints) this.#subscribers.tell(space, head, writer)
  }

  /** Tells the heads of all spaces that somebody waits for: who has read as far is not woken by them. */
  async #look(): Promise<void> {
    const spaces = this.#subscribers.watched()
    if (spaces.length === 0) return
    this.#metrics.count('busSweeps', {})
    try {
      const rows = await this.#database.query<{ id: string; head: number }>(HEADS, [spaces])
      if (this.#closing.signal.aborted) return
      for (const { id, head } of rows) this.#subscribers.tell(id, head, null)
    } catch {
      // The next one comes soon; requests tell loudly enough that the database is away.
    }
  }
}
