import { setTimeout as sleep } from 'node:timers/promises'

import { Http1Client, type Outcome, type RawRequest } from './http1-client.ts'
import { Http2Client } from './http2-client.ts'

/** Silence that counts as a hang: far more than a busy machine needs. */
const HANG_MS = 20_000
/** After it, time is moved on for those who wait on purpose. */
const SILENCE_MS = 15

/** What a request may wait for: moving the time on for it brings an answer. */
export type WaitsFor = 'pull' | 'body'
type Patience = { readonly [W in WaitsFor]: () => void }

/** One of a cloud's addresses, over one connection as long as that holds. */
export class HttpFront {
  readonly #open: () => Http1Client | Http2Client
  readonly #patience: Patience
  #client: Http1Client | Http2Client | null = null

  /** With a certificate it speaks HTTP/2. */
  constructor(url: string, ca: string | null, patience: Patience) {
    this.#open = () => (ca === null ? new Http1Client(url) : new Http2Client(url, ca))
    this.#patience = patience
  }

  /** Whether the connection that the last request went over still stands. */
  get isOpen(): boolean {
    return this.#client !== null && !this.#client.isOver
  }

  /** Moves the time on for what the request waits for. Rejects when there is no answer all the same. */
  async send(request: RawRequest, waitsFor: WaitsFor | null): Promise<Outcome> {
    if (!this.isOpen) this.#client = this.#open()
    const client = this.#client as Http1Client | Http2Client
    const answered = client.send(request)
    let isOver = false
    const finish = (): void => {
      isOver = true
    }
    answered.then(finish, finish)
    const watched = async (): Promise<'hang'> => {
      for (let waited = 0; waited < HANG_MS && !isOver; waited += SILENCE_MS) {
        await sleep(SILENCE_MS, undefined, { ref: false })
        if (waitsFor !== null && !isOver) this.#patience[waitsFor]()
      }
      return 'hang'
    }
    const outcome = await Promise.race([answered, watched()])
    if (outcome === 'hang') {
      if (isOver) return answered
      this.close()
      throw new Error('no answer: it hangs')
    }
    return outcome
  }

  close(): void {
    this.#client?.close()
    this.#client = null
  }
}
