import { connect, type Socket } from 'node:net'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'

import { isOutOfStep, type Delivery } from './http-case.ts'

/** What came back, or how it ended without. */
export interface RawAnswer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
}
export type Outcome = RawAnswer | 'closed'

export interface RawRequest {
  readonly method: string
  readonly path: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer | null
  readonly delivery: Delivery
}

/** One connection that takes bytes as they are: a program's HTTP library would refuse to send most of them. */
export class Http1Client {
  readonly #socket: Socket
  readonly #host: string
  #received: Buffer = Buffer.alloc(0)
  #over = false
  #wake: (() => void) | null = null

  /** `host`: what its requests say for it. */
  constructor(url: string, host = 'localhost') {
    this.#host = host
    // Else each part waits for the one before it to be acknowledged.
    this.#socket = connect(Number(new URL(url).port), '127.0.0.1').setNoDelay()
    this.#socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake?.()
    })
    const end = (): void => {
      this.#over = true
      this.#wake?.()
    }
    this.#socket.on('close', end).on('end', end).on('error', end)
  }

  get isOver(): boolean {
    return this.#over
  }

  async send(request: RawRequest): Promise<Outcome> {
    await this.#write(request)
    if (request.body !== null && (request.delivery === 'cut' || request.delivery === 'chunk cut')) {
      await new Promise((resolve) => setImmediate(resolve))
      this.close()
      return 'closed'
    }
    const outcome = await this.#read(request.method)
    if (isOutOfStep(request.delivery) && request.body !== null) this.close()
    return outcome
  }

  close(): void {
    this.#over = true
    this.#socket.destroy()
    this.#wake?.()
  }

  async #write({ method, path, headers, body, delivery }: RawRequest): Promise<void> {
    const lines = [`${method} ${path} HTTP/1.1`, `host: ${this.#host}`]
    lines.push(...headers.map(([name, value]) => `${name}: ${value}`))
    if (body !== null) lines.push(...lengthLines(body.length, delivery))
    this.#socket.write(Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'))
    if (body === null) return
    if (delivery === 'chunked' || delivery === 'chunk cut') {
      const half = body.length >> 1
      const halves = delivery === 'chunked' ? [body.subarray(0, half), body.subarray(half)] : [body]
      for (const part of halves) {
        if (part.length === 0) continue
        this.#socket.write(`${part.length.toString(16)}\r\n`)
        if (delivery === 'chunk cut') this.#socket.write(part.subarray(0, half))
        else this.#socket.write(Buffer.concat([part, Buffer.from('\r\n')]))
      }
      if (delivery === 'chunked') this.#socket.write('0\r\n\r\n')
    } else if (delivery === 'no chunk') this.#socket.write('zz\r\n')
    else if (delivery === 'pieces') {
      const size = Math.max(1, Math.ceil(body.length / 5))
      for (let at = 0; at < body.length; at += size) {
        this.#socket.write(body.subarray(at, at + size))
        await new Promise((resolve) => setImmediate(resolve))
      }
    } else this.#socket.write(body)
  }

  /** Passes over what only announces an answer. */
  async #read(method: string): Promise<Outcome> {
    for (;;) {
      const head = await this.#until((bytes) => {
        const end = bytes.indexOf('\r\n\r\n')
        return end < 0 ? null : end + 4
      })
      if (head === null) return 'closed'
      const lines = head.toString('latin1').trimEnd().split('\r\n')
      const status = Number(lines[0]?.split(' ')[1])
      if (status >= 100 && status < 200) continue
      const headers = new Map(
        lines.slice(1).map((line) => {
          const colon = line.indexOf(':')
          return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
        }),
      )
      const body = await this.#readBody(method, status, headers)
      if (body === null) return 'closed'
      const text = unpack(body, headers.get('content-encoding'))
      if (headers.get('connection') === 'close') this.close()
      return { status, headers, text }
    }
  }

  async #readBody(
    method: string,
    status: number,
    headers: ReadonlyMap<string, string>,
  ): Promise<Buffer | null> {
    if (method === 'HEAD' || status === 204 || status === 304) return Buffer.alloc(0)
    const length = headers.get('content-length')
    if (length !== undefined)
      return this.#until((bytes) => (bytes.length < Number(length) ? null : Number(length)))
    const parts: Buffer[] = []
    for (;;) {
      const line = await this.#until((bytes) =>
        bytes.indexOf('\r\n') < 0 ? null : bytes.indexOf('\r\n') + 2,
      )
      if (line === null) return null
      const size = Number.parseInt(line.toString('latin1'), 16)
      const part = await this.#until((bytes) => (bytes.length < size + 2 ? null : size + 2))
      if (part === null) return null
      if (size === 0) return Buffer.concat(parts)
      parts.push(part.subarray(0, size))
    }
  }

  /** Takes as many of the received bytes as `measure` says once it says so; null when the connection is over before. */
  async #until(measure: (bytes: Buffer) => number | null): Promise<Buffer | null> {
    for (;;) {
      const length = measure(this.#received)
      if (length !== null) {
        const taken = this.#received.subarray(0, length)
        this.#received = this.#received.subarray(length)
        return taken
      }
      if (this.#over) return null
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = null
    }
  }
}

/** The text of an answer's body. Throws when it is not packed as it says. */
export function unpack(body: Buffer, encoding: string | undefined): string {
  if (encoding === undefined || body.length === 0) return body.toString()
  return (encoding === 'gzip' ? gunzipSync(body) : zstdDecompressSync(body)).toString()
}

function lengthLines(length: number, delivery: Delivery): readonly string[] {
  if (delivery === 'chunked' || delivery === 'chunk cut' || delivery === 'no chunk')
    return ['transfer-encoding: chunked']
  if (delivery === 'stalled' || delivery === 'cut') return [`content-length: ${length + 10}`]
  if (delivery === 'too short') return [`content-length: ${Math.max(0, length - 3)}`]
  if (delivery === 'two lengths') return [`content-length: ${length}`, 'transfer-encoding: chunked']
  return [`content-length: ${length}`]
}
