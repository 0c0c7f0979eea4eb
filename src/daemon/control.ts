import { createConnection, createServer, type Server } from 'node:net'
import { rmSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { tmpdir } from 'node:os'

import { TidemarkError, toTidemarkError, isErrorCode } from '../kernel/errors.ts'

/**
 * How a command reaches the process that already works on a file: one JSON line each way over a local socket
 * in the private data folder (a named pipe on Windows). Commands are few and carry no row values.
 */
export type ControlRequest = { readonly command: 'status' | 'now' | 'pause' | 'resume' }

const MAX_LINE_CHARS = 1_000_000
/** Longest path of a Unix socket that every system takes. */
const MAX_SOCKET_PATH = 100

/** Where the socket of a lock name lies. */
export function socketPath(folder: string, name: string): string {
  if (process.platform === 'win32')
    return `\\\\.\\pipe\\tidemark-${createHash('sha256').update(folder).digest('hex').slice(0, 8)}-${name}`
  const path = join(folder, `${name}.sock`)
  if (path.length <= MAX_SOCKET_PATH) return path
  // The temporary folder is shared: the name cannot be guessed without the folder's path, and the mode is 0600.
  const tag = createHash('sha256').update(path).digest('hex').slice(0, 24)
  return join(tmpdir(), `tidemark-${tag}.sock`)
}

/** Serves commands until closed. The holder of the lock calls this, so an old socket is a dead one's. */
export function serveControl(
  path: string,
  answer: (request: ControlRequest) => Promise<unknown>,
): Promise<Server> {
  if (process.platform !== 'win32') rmSync(path, { force: true })
  const server = createServer((socket) => {
    let text = ''
    socket.setEncoding('utf8')
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.length > MAX_LINE_CHARS) socket.destroy()
      const end = text.indexOf('\n')
      if (end < 0) return
      const line = text.slice(0, end)
      text = ''
      answerLine(line, answer).then(
        (result) => socket.end(`${JSON.stringify({ result })}\n`),
        (error: unknown) => socket.end(`${JSON.stringify({ error: toTidemarkError(error) })}\n`),
      )
    })
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const mask = process.umask(0o177)
    server.listen(path, () => {
      process.umask(mask)
      server.unref()
      resolve(server)
    })
  })
}

async function answerLine(
  line: string,
  answer: (request: ControlRequest) => Promise<unknown>,
): Promise<unknown> {
  const request: unknown = JSON.parse(line)
  const command =
    typeof request === 'object' && request !== null
      ? (request as { readonly command?: unknown }).command
      : null
  if (command === 'status' || command === 'now' || command === 'pause' || command === 'resume')
    return answer({ command })
  throw new TidemarkError('bad_usage', 'the running process does not know this command')
}

/** Asks the process that serves `path`; null when none does. Rejects with the process's own error. */
export function askControl(path: string, request: ControlRequest): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path)
    let text = ''
    socket.setEncoding('utf8')
    socket.once('error', () => resolve(null))
    socket.once('connect', () => socket.write(`${JSON.stringify(request)}\n`))
    socket.on('data', (chunk: string) => (text += chunk))
    socket.once('end', () => {
      try {
        const answer = JSON.parse(text) as {
          readonly result?: unknown
          readonly error?: { readonly code?: unknown; readonly message?: string }
        }
        if (answer.error === undefined) return resolve(answer.result ?? null)
        const code = isErrorCode(answer.error.code) ? answer.error.code : 'internal'
        reject(new TidemarkError(code, answer.error.message))
      } catch {
        resolve(null)
      }
    })
  })
}
