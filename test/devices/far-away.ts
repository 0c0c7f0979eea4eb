import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** A way to `url` on which every byte is late by `ms` in each direction, in order. */
export async function openFarAway(
  url: string,
  ms: number,
): Promise<{ readonly url: string } & AsyncDisposable> {
  const { hostname, port } = new URL(url)
  const sockets = new Set<Socket>()
  const late = (from: Socket, to: Socket): void => {
    from.on('data', (bytes) => setTimeout(() => void to.write(bytes), ms))
    from.on('end', () => setTimeout(() => to.end(), ms))
    from.on('error', () => to.destroy())
    from.on('close', () => {
      sockets.delete(from)
      setTimeout(() => to.destroy(), ms)
    })
    sockets.add(from)
  }
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    late(near, far)
    late(far, near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
