import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a proxy does with a request: lets it through, answers itself, or cuts the connection. */
export type Fault =
  | 'pass'
  /** Before the cloud hears of it. */
  | 'cut'
  /** The cloud has done it, and nobody hears of that. */
  | 'lose'
  /** After so many bytes of the answer. */
  | { readonly cutAfter: number }
  | { readonly status: number; readonly retryAfter?: string }

export interface FaultyProxy extends AsyncDisposable {
  readonly url: string
  /** Paths that were asked for, in order. */
  readonly asked: readonly string[]
  /** Decides about every request from now on; `count` is how often its path was asked for since. */
  decide(fault: (path: string, count: number) => Fault): void
}

/** A reverse proxy in front of a cloud, as many stand there, that fails when told to. */
export async function startFaultyProxy(target: string): Promise<FaultyProxy> {
  const { hostname, port } = new URL(target)
  const asked: string[] = []
  let counts = new Map<string, number>()
  let fault: (path: string, count: number) => Fault = () => 'pass'
  const server = createServer((incoming, outgoing) => {
    const path = (incoming.url ?? '').split('?')[0] ?? ''
    asked.push(path)
    const count = (counts.get(path) ?? 0) + 1
    counts.set(path, count)
    const verdict = fault(path, count)
    if (verdict === 'cut') return void incoming.socket.destroy()
    if (typeof verdict === 'object' && 'status' in verdict) return refuse(incoming, outgoing, verdict)
    pass({ hostname, port }, incoming, outgoing, verdict)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    decide(next) {
      fault = next
      counts = new Map()
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

function refuse(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { status, retryAfter }: { readonly status: number; readonly retryAfter?: string },
): void {
  incoming.resume()
  incoming.once('end', () => {
    outgoing.writeHead(status, retryAfter === undefined ? {} : { 'retry-after': retryAfter })
    outgoing.end('no upstream')
  })
}

function pass(
  target: { readonly hostname: string; readonly port: string },
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  verdict: 'pass' | 'lose' | { readonly cutAfter: number },
): void {
  const { method, url, headers } = incoming
  const onward = request({ ...target, method, path: url, headers }, (answer) => {
    if (verdict === 'lose') return void incoming.socket.destroy()
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
    let left = typeof verdict === 'object' ? verdict.cutAfter : Infinity
    answer.on('data', (bytes: Buffer) => {
      left -= bytes.length
      if (left <= 0) return void outgoing.write(bytes, () => incoming.socket.destroy())
      outgoing.write(bytes)
    })
    answer.on('end', () => outgoing.end())
    answer.on('error', () => incoming.socket.destroy())
  })
  onward.on('error', () => incoming.socket.destroy())
  incoming.on('error', () => onward.destroy())
  incoming.pipe(onward)
}
