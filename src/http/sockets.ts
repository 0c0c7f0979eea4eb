import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export interface Sockets {
  /** How many are open. */
  readonly count: number
  /** Closes every connection as soon as it has no request under way. */
  closeWhenIdle(): void
  /** Calls `quiet` once, as soon as no request is under way on any of them. */
  whenQuiet(quiet: () => void): void
  destroyAll(): void
}

/** The open connections of a server, whatever it speaks over them. */
export function trackSockets(server: Server): Sockets {
  const open = new Set<Socket>()
  const answering = new Set<ServerResponse>()
  let onQuiet: (() => void) | null = null
  const tellQuiet = (): void => {
    if (answering.size > 0 || onQuiet === null) return
    const quiet = onQuiet
    onQuiet = null
    quiet()
  }
  const add = (socket: Socket): void => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  }
  server.on('connection', add)
  server.on('request', (_request, response: ServerResponse) => {
    answering.add(response)
    response.once('close', () => {
      answering.delete(response)
      tellQuiet()
    })
  })

  return {
    get count() {
      return open.size
    },
    closeWhenIdle() {
      // HTTP/1.1 only: a kept connection would otherwise hold the stop up until it times out.
      for (const response of answering) {
        if (response.req.httpVersionMajor === 1 && !response.headersSent)
          response.setHeader('connection', 'close')
      }
    },
    whenQuiet(quiet) {
      onQuiet = quiet
      tellQuiet()
    },
    destroyAll() {
      for (const socket of open) socket.destroy()
    },
  }
}
