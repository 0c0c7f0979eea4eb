import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface SwallowingProxy extends AsyncDisposable {
  readonly url: string
  /**
   * The next request that holds `text` reaches the database, and nobody hears the answer: once that is complete, the
   * connection breaks. Fulfilled then.
   */
  swallow(text: string): Promise<void>
}

/** The end of every answer: ReadyForQuery, its length, and outside of any transaction. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])

/** Between nodes and a PostgreSQL, as networks are. */
export async function startSwallowingProxy(target: string): Promise<SwallowingProxy> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let wanted: { readonly text: string; readonly done: () => void } | null = null
  const server = createServer((client) => {
    const database = connect(Number(port), hostname)
    let done: (() => void) | null = null
    let last = Buffer.alloc(0)
    const end = (): void => {
      client.destroy()
      database.destroy()
    }
    for (const socket of [client, database]) {
      sockets.add(socket)
      socket.on('error', end)
      socket.on('close', end)
      socket.on('close', () => sockets.delete(socket))
    }
    client.on('data', (bytes: Buffer) => {
      if (wanted !== null && bytes.includes(wanted.text)) {
        done = wanted.done
        wanted = null
      }
      database.write(bytes)
    })
    database.on('data', (bytes: Buffer) => {
      if (done === null) return void client.write(bytes)
      last = Buffer.concat([last, bytes]).subarray(-READY.length)
      if (!last.equals(READY)) return
      end()
      done()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    swallow: (text) => new Promise((resolve) => (wanted = { text, done: resolve })),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
