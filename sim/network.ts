import { isErrorCode, TidemarkError, toTidemarkError } from '../src/kernel/errors.ts'
import type { Chance } from './chance.ts'
import { createOwner, type Owner, type Scheduler } from './scheduler.ts'

/** How one replica reaches the cloud just now. Changed by faults while messages are under way. */
export interface Link {
  readonly name: string
  /** Milliseconds one way, and how much chance adds. */
  latencyMs: number
  jitterMs: number
  /** Shares of messages. */
  dropRequest: number
  dropAnswer: number
  duplicate: number
  /** Answers and requests that arrive minutes late. */
  late: number
  /** Nothing passes. */
  cut: boolean
}

export const REQUEST_TIMEOUT_MS = 30_000

/** Counts of what the network did, for the coverage. */
export type Happened = (fault: string) => void

/** What answers requests: a cloud that can be down, and whose work dies with it. */
export interface Serving<H> {
  /** The process that answers just now; null while the cloud is down. */
  readonly process: ServingProcess<H> | null
}

export interface ServingProcess<H> {
  readonly handler: H
  readonly owner: Owner
  /** Calls back when the process dies: its connections break. */
  onDeath(run: () => void): () => void
}

type Answering<H, T> = (handler: H, gone: AbortSignal) => Promise<T>

/**
 * Messages between replicas and the cloud: each way may be lost, late, doubled or overtaken by a later one,
 * and the sender can't tell which (an answer that never comes ends in `network` after a time).
 */
export class Network {
  readonly #scheduler: Scheduler
  readonly #chance: Chance
  readonly #happened: Happened
  /** Messages under way belong to nobody's process: they arrive although the sender died. */
  readonly #air: Owner = createOwner('net')
  #calm = false

  constructor(scheduler: Scheduler, chance: Chance, happened: Happened) {
    this.#scheduler = scheduler
    this.#chance = chance
    this.#happened = happened
  }

  /** From now on nothing is lost, late or doubled. */
  heal(): void {
    this.#calm = true
  }

  /** Sends a request; resolves with the answer's own copy. `owner` is the process that waits for it. */
  call<H, T>(
    owner: Owner,
    link: Link,
    serving: Serving<H>,
    label: string,
    work: Answering<H, T>,
    signal: AbortSignal,
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal.aborted) return reject(new TidemarkError('aborted'))
      const request = this.#open(owner, label, signal, timeoutMs, reject)
      const deliver = () => {
        const process = link.cut ? null : serving.process
        if (process === null)
          return link.cut ? undefined : this.#break(owner, link, label, request, 'The connection was refused')
        const undead = process.onDeath(() =>
          this.#break(owner, link, label, request, 'The connection was reset'),
        )
        const gone = new AbortController()
        let answered = false
        request.ends.push(() => (answered ? undefined : this.#hangUp(process.owner, link, label, gone)))
        work(process.handler, gone.signal).then(
          (answer) => {
            answered = true
            undead()
            const text = JSON.stringify(answer)
            this.#answer(owner, link, label, () => request.end(() => resolve(JSON.parse(text) as T)))
          },
          (thrown: unknown) => {
            answered = true
            undead()
            const error = overTheWire(toTidemarkError(thrown))
            this.#answer(owner, link, `${label} ${error.code}`, () => request.end(() => reject(error)))
          },
        )
      }
      this.#request(link, label, deliver)
    })
  }

  /**
   * Opens a stream of texts. Each piece is asked for when the reader wants it, may be late, and the stream may
   * break between any two.
   */
  async *stream<H>(
    owner: Owner,
    link: Link,
    serving: Serving<H>,
    label: string,
    open: Answering<H, AsyncIterator<string>>,
    signal: AbortSignal,
  ): AsyncGenerator<string> {
    let pieces: AsyncIterator<string> | null = null
    let broken = false
    const first = async (handler: H, gone: AbortSignal): Promise<string | null> => {
      pieces = await open(handler, gone)
      return nextPiece(pieces)
    }
    const next = async (): Promise<string | null> => (pieces === null ? null : nextPiece(pieces))
    const process = serving.process
    // A piece is asked for once: what may be doubled is a request, not a part of a stream.
    const calm = { ...link, duplicate: 0 }
    for (let at = 0; ; at++) {
      calm.cut = link.cut
      broken ||= at > 0 && serving.process !== process
      if (broken) throw new TidemarkError('network', 'The stream broke')
      const piece: string | null = await this.call(
        owner,
        calm,
        serving,
        `${label} ${at}`,
        at === 0 ? first : next,
        signal,
      )
      if (piece === null) return
      yield piece
    }
  }

  #open(
    owner: Owner,
    label: string,
    signal: AbortSignal,
    timeoutMs: number,
    reject: (error: TidemarkError) => void,
  ): OpenRequest {
    const ends: (() => void)[] = []
    let open = true
    const request: OpenRequest = {
      ends,
      end(finish) {
        if (!open) return
        open = false
        for (const run of ends) run()
        finish()
      },
      fail: (code, message) => request.end(() => reject(new TidemarkError(code, message))),
    }
    const onAbort = () => request.fail('aborted', 'Stopped on request')
    signal.addEventListener('abort', onAbort, { once: true })
    ends.push(() => signal.removeEventListener('abort', onAbort))
    const timeout = () => request.fail('network', 'The answer did not come in time')
    ends.push(this.#scheduler.after(owner, timeoutMs, `${label} timeout`, timeout))
    return request
  }

  #break(owner: Owner, link: Link, label: string, request: OpenRequest, message: string): void {
    if (!owner.alive) return
    this.#scheduler.after(owner, this.#delay(link), `${label} broken`, () => request.fail('network', message))
  }

  /** The cloud learns that nobody waits any more, some time after. */
  #hangUp(server: Owner, link: Link, label: string, gone: AbortController): void {
    if (server.alive) this.#scheduler.after(server, link.latencyMs, `${label} hung up`, () => gone.abort())
  }

  #request(link: Link, label: string, deliver: () => void): void {
    if (link.cut) return this.#happened('net-cut')
    if (this.#chanceOf(link.dropRequest)) return this.#happened('net-request-lost')
    this.#scheduler.after(this.#air, this.#delay(link), `${link.name} ${label} →`, deliver)
    if (this.#chanceOf(link.duplicate)) {
      this.#happened('net-doubled')
      const later = this.#delay(link) + this.#chance.int(20_000)
      this.#scheduler.after(this.#air, later, `${link.name} ${label} → again`, deliver)
    }
  }

  #answer(owner: Owner, link: Link, label: string, arrive: () => void): void {
    if (!owner.alive) return this.#happened('net-answer-to-the-dead')
    if (link.cut) return this.#happened('net-cut')
    if (this.#chanceOf(link.dropAnswer)) return this.#happened('net-answer-lost')
    this.#scheduler.after(owner, this.#delay(link), `${label} ←`, arrive)
  }

  #delay(link: Link): number {
    const delay = link.latencyMs + this.#chance.int(link.jitterMs + 1)
    if (!this.#chanceOf(link.late)) return delay
    this.#happened('net-late')
    return delay + this.#chance.int(90_000)
  }

  #chanceOf(share: number): boolean {
    return !this.#calm && this.#chance.odds(share)
  }
}

interface OpenRequest {
  /** Run once when the request is over, whatever way. */
  readonly ends: (() => void)[]
  end(finish: () => void): void
  fail(code: 'aborted' | 'network', message: string): void
}

async function nextPiece(pieces: AsyncIterator<string>): Promise<string | null> {
  const next = await pieces.next()
  return next.done === true ? null : next.value
}

/** An error as it looks on the other side of the wire. */
function overTheWire(error: TidemarkError): TidemarkError {
  const wire = JSON.parse(JSON.stringify(error)) as {
    code: string
    message: string
    details: { [key: string]: unknown }
  }
  const code = isErrorCode(wire.code) ? wire.code : 'internal'
  const retryAfterMs = error.retryAfterMs
  return new TidemarkError(code, wire.message, {
    details: wire.details,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}
