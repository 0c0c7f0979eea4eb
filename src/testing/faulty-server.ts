import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** A request as a `FaultyServer` received it, the body as it was on the line. */
export interface ReceivedRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** What it returns is waited for; what it throws cuts the connection. */
export type Answerer = (request: ReceivedRequest, response: ServerResponse) => unknown

/** A real HTTP server that answers as a test tells it to: late, torn, wrong or never. */
export interface FaultyServer extends AsyncDisposable {
  readonly url: string
  readonly requests: readonly ReceivedRequest[]
  /** Connections opened since the start. */
  readonly connections: number
  /** Connections that are open now. */
  readonly open: number
  /** How requests are answered from now on. */
  answerWith(answer: Answerer): void
}

export async function startFaultyServer(answer: Answerer): Promise<FaultyServer> {
  const requests: ReceivedRequest[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  let answerer = answer
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('error', () => {})
    response.on('error', () => {})
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      const received = { method, url, headers, body: Buffer.concat(chunks) }
      requests.push(received)
      void Promise.resolve(answerer(received, response)).catch(() => response.destroy())
    })
  })
  server.on('connection', (socket) => {
    connections++
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    get connections() {
      return connections
    },
    get open() {
      return sockets.size
    },
    answerWith(next) {
      answerer = next
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Answers with JSON. */
export function jsonAnswer(
  value: unknown,
  status = 200,
  headers: { readonly [name: string]: string } = {},
): Answerer {
  return (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers })
    response.end(JSON.stringify(value))
  }
}
