import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'

import { unpack, type Outcome, type RawRequest } from './http1-client.ts'

/** What HTTP/2 has not, or has as something else: its library throws where one of these is given. */
const NOT_IN_HTTP2 = new Set(['connection', 'keep-alive', 'transfer-encoding', 'expect', 'te', 'upgrade'])

/** One HTTP/2 session. */
export class Http2Client {
  readonly #session: ClientHttp2Session

  constructor(url: string, ca: string) {
    this.#session = connect(url, { ca })
    this.#session.on('error', () => {})
  }

  get isOver(): boolean {
    return this.#session.closed || this.#session.destroyed
  }

  async send({ method, path, headers, body, delivery }: RawRequest): Promise<Outcome> {
    // Which may stand several times, the library decides: the last one counts.
    const named = Object.fromEntries(headers.filter(([name]) => !NOT_IN_HTTP2.has(name)))
    const length = delivery === 'too short' && body !== null ? { 'content-length': `${body.length + 3}` } : {}
    const head = { ':method': method, ':path': path, ...named, ...length }
    const stream = this.#session.request(head, { endStream: body === null })
    const outcome = readAnswer(stream)
    if (body === null) {
      // The head is all there is.
    } else if (delivery === 'stalled') stream.write(body)
    else if (delivery === 'cut' || delivery === 'chunk cut') {
      stream.write(body.subarray(0, body.length >> 1))
      await new Promise((resolve) => setImmediate(resolve))
      stream.close(constants.NGHTTP2_CANCEL)
    } else {
      stream.write(body.subarray(0, body.length >> 1))
      stream.end(body.subarray(body.length >> 1))
    }
    const answer = await outcome
    stream.close(constants.NGHTTP2_CANCEL)
    return answer
  }

  close(): void {
    this.#session.destroy()
  }
}

function readAnswer(stream: ClientHttp2Stream): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let status = 0
    let headers = new Map<string, string>()
    const parts: Buffer[] = []
    stream.on('response', (head) => {
      status = head[':status'] ?? 0
      headers = new Map(Object.entries(head).map(([name, value]) => [name, String(value)]))
    })
    stream.on('data', (part: Buffer) => parts.push(part))
    stream.on('end', () => {
      if (status === 0) return
      try {
        resolve({ status, headers, text: unpack(Buffer.concat(parts), headers.get('content-encoding')) })
      } catch (error) {
        reject(error)
      }
    })
    stream.on('error', () => {})
    stream.on('close', () => resolve('closed'))
  })
}
