import type { Client } from 'pg'

import { backOffMs } from '../../../kernel/back-off.ts'
import type { Clock } from '../../../kernel/clock.ts'
import { TidemarkError } from '../../../kernel/errors.ts'
import type { Logger } from '../../../kernel/logger.ts'
import type { Random } from '../../../kernel/random.ts'
import type { Metrics } from '../../metrics.ts'
import type { Database } from '../../postgres/pool.ts'

/** A database that restarts is back in about a second; many nodes must not all try at the same time. */
const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 5_000
/** So often a node says something that it must hear itself. */
const PULSE_MS = 10_000
/** What the last words of a node that stops may take. */
const END_MS = 1_000

export interface LineOptions {
  readonly database: Database
  /** A plain name, which needs no quotes. */
  readonly channel: string
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  onPayload(payload: string): void
  /** It hears from here on; what was said before may have been missed. */
  onOpen(): void
  /** Time to say something, and to call `heardOwn` when it comes back. */
  onPulse(): void
}

/**
 * The one connection on which a node listens and speaks.
 *
 *     connecting ── listens ──> open ── ends, or does not hear itself ──> waiting ── time ──> connecting
 */
export class Line {
  readonly #options: LineOptions
  #client: Client | null = null
  #closed = false
  #failures = 0
  /** True from the first failure until it hears itself again: the log tells of it once. */
  #isOut = false
  /** What it said at the last pulse has not come back yet. */
  #awaitsOwn = false
  #cancelRetry = (): void => {}
  #cancelPulse = (): void => {}

  constructor(options: LineOptions) {
    this.#options = options
    void this.#connect()
  }

  get isOpen(): boolean {
    return this.#client !== null
  }

  /** False when it may not have been said; the line is then made anew. One call at a time. */
  async say(payloads: readonly string[]): Promise<boolean> {
    const client = this.#client
    if (client === null) return false
    try {
      // One statement is one transaction: it takes PostgreSQL's lock on its queue of notifications once.
      await client.query('SELECT pg_notify($1, said) FROM unnest($2::text[]) AS said', [
        this.#options.channel,
        payloads,
      ])
      this.#options.metrics.count('busMessages', { direction: 'sent' }, payloads.length)
      return true
    } catch (error) {
      this.#lose(client, error)
      return false
    }
  }

  heardOwn(): void {
    this.#awaitsOwn = false
    this.#failures = 0
    if (this.#isOut) this.#options.logger.warn('The other nodes are heard again')
    this.#isOut = false
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#cancelRetry()
    this.#cancelPulse()
    const client = this.#client
    this.#client = null
    if (client === null) return
    const cancel = this.#options.clock.after(END_MS, () => cut(client))
    await client.end().catch(() => {})
    cancel()
  }

  async #connect(): Promise<void> {
    const { database, channel, clock, metrics } = this.#options
    let client: Client | null = null
    try {
      client = await database.connect('tidemark bus')
      await client.query(`LISTEN ${channel}`)
    } catch (error) {
      if (client !== null) cut(client)
      this.#retry(error)
      return
    }
    if (this.#closed) return cut(client)
    const own = (this.#client = client)
    own.on('notification', ({ payload }) => {
      if (this.#client === own) this.#options.onPayload(payload ?? '')
    })
    own.on('end', () => this.#lose(own, null))
    if (this.#failures > 0) metrics.count('busReconnects', {})
    this.#awaitsOwn = false
    this.#cancelPulse = clock.after(0, () => this.#pulse(own))
    this.#options.onOpen()
  }

  /** A connection that is silently dead, or a pooler that forgets who listens, is known by what does not come back. */
  #pulse(client: Client): void {
    if (this.#awaitsOwn) return this.#lose(client, null)
    this.#awaitsOwn = true
    this.#cancelPulse = this.#options.clock.after(PULSE_MS, () => this.#pulse(client))
    this.#options.onPulse()
  }

  #lose(client: Client, error: unknown): void {
    if (this.#client !== client) return
    this.#client = null
    this.#cancelPulse()
    cut(client)
    this.#retry(error)
  }

  #retry(error: unknown): void {
    if (this.#closed) return
    const { clock, random, logger } = this.#options
    this.#failures++
    if (!this.#isOut)
      logger.warn('The other nodes are not heard; heads are looked at every few seconds', {
        code: error instanceof TidemarkError ? error.code : undefined,
      })
    this.#isOut = true
    const ms = backOffMs(this.#failures, random, { firstMs: FIRST_RETRY_MS, maxMs: MAX_RETRY_MS })
    this.#cancelRetry = clock.after(ms, () => void this.#connect())
  }
}

/** Ends it without waiting for a server that may not answer. */
function cut(client: Client): void {
  client.connection.stream.destroy()
}
