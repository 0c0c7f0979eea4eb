import { connect, createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

export interface Balancer extends AsyncDisposable {
  readonly port: number
  /** Breaks all connections off that go through it. */
  cut(): void
}

/**
 * One address for several ports of this machine, by turns: each connection goes to the next that takes it. What has
 * begun is never sent a second time: when its node dies, the connection breaks.
 */
export async function startBalancer(targets: () => readonly number[]): Promise<Balancer> {
  let turn = 0
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): Socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    return socket.once('close', () => sockets.delete(socket))
  }
  // Half-closed connections stay so on both sides: an answer may still come.
  const server = createServer({ allowHalfOpen: true }, (incoming) => {
    keep(incoming)
    incoming.pause()
    const ports = targets()
    const first = turn++
    const next = (tries: number): void => {
      const port = ports[(first + tries) % ports.length]
      if (port === undefined || tries === ports.length) return void incoming.destroy()
      const outgoing = keep(connect({ port, host: '127.0.0.1', allowHalfOpen: true }))
      outgoing.once('error', () => {
        if (outgoing.connecting || outgoing.remotePort === undefined) next(tries + 1)
      })
      outgoing.once('connect', () => {
        incoming.pipe(outgoing).pipe(incoming)
        // An end is passed on behind what came before it; only a connection that broke breaks the other.
        outgoing.once('close', (broken) => broken && incoming.destroy())
        incoming.once('close', () => outgoing.destroy())
      })
    }
    next(0)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      cut()
      await closed
    },
  }
}
