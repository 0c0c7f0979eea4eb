import { createConnection, createServer, type Socket } from 'node:net'
import { rmSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { tmpdir } from 'node:os'

import { TidemarkError, toTidemarkError, isErrorCode } from '../kernel/errors.ts'

/**
 * How a command reaches the process that already works on a file, or the daemon: one JSON line each way over a local
 * socket in the private data folder (a named pipe on Windows). Commands are few and carry no row values.
 */
export type ControlRequest = {
  /**
   * `release`: the process lets the file go, answers, and takes it back once the connection that asked is closed,
   * however it closes. `stop`: the daemon ends.
   */
  readonly command: 'status' | 'now' | 'pause' | 'resume' | 'release' | 'stop'
}

const COMMANDS: ReadonlySet<unknown> = new Set<ControlRequest['command']>([
  'status',
  'now',
  'pause',
  'resume',
  'release',
  'stop',
])

/** Answers a command; `gone` is aborted once whoever asked closed the connection. */
export type ControlAnswer = (request: ControlRequest, gone: AbortSignal) => Promise<unknown>

export interface ControlServer {
  /** Takes no more commands. */
  stop(): void
  /** Those that came are answered, but for releases: who asked for one is still at work. */
  answered(): Promise<void>
}

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

/** Serves commands until it is stopped. The holder of the lock calls this, so an old socket is a dead one's. */
export function serveControl(path: string, answer: ControlAnswer): Promise<ControlServer> {
  if (process.platform !== 'win32') rmSync(path, { force: true })
  const answering = new Set<Promise<void>>()
  const server = createServer((socket) => {
    readLine(socket, (line) => {
      const request = parseRequest(line)
      const isLease = request?.command === 'release'
      // Who holds a file back for its own work does not hold this process.
      if (isLease) socket.unref()
      const done = answerTo(socket, request, answer)
      if (isLease) return
      answering.add(done)
      void done.finally(() => answering.delete(done))
    })
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const mask = process.umask(0o177)
    server.listen(path, () => {
      process.umask(mask)
      server.unref()
      resolve({
        stop: () => void server.close(),
        answered: async () => void (await Promise.allSettled(answering)),
      })
    })
  })
}

/** The first line of a connection; what is too long for a command ends it. */
function readLine(socket: Socket, take: (line: string) => void): void {
  let text = ''
  let taken = false
  socket.setEncoding('utf8')
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: string) => {
    if (taken) return
    text += chunk
    if (text.length > MAX_LINE_CHARS) return void socket.destroy()
    const end = text.indexOf('\n')
    if (end < 0) return
    taken = true
    take(text.slice(0, end))
  })
}

/** Writes the answer; ends the connection, but for a release, which lasts as long as the connection. */
async function answerTo(
  socket: Socket,
  request: ControlRequest | null,
  answer: ControlAnswer,
): Promise<void> {
  const gone = new AbortController()
  socket.once('close', () => gone.abort())
  let line: string
  let ends = true
  try {
    if (request === null)
      throw new TidemarkError('bad_usage', 'the running process does not know this command')
    line = JSON.stringify({ result: await answer(request, gone.signal) })
    ends = request.command !== 'release'
  } catch (error) {
    line = JSON.stringify({ error: toTidemarkError(error) })
  }
  if (!ends) return void socket.write(`${line}\n`)
  await new Promise<void>((resolve) => {
    if (socket.destroyed) return resolve()
    socket.once('close', () => resolve())
    socket.end(`${line}\n`, () => resolve())
  })
}

function parseRequest(line: string): ControlRequest | null {
  try {
    const request: unknown = JSON.parse(line)
    if (typeof request !== 'object' || request === null) return null
    const { command } = request as { readonly command?: unknown }
    return COMMANDS.has(command) ? { command: command as ControlRequest['command'] } : null
  } catch {
    return null
  }
}

/** What all but a sync takes, in milliseconds: it is answered at once, by any process that is not held. */
const ANSWER_MS = 10_000

/**
 * Asks the process that serves `path`; null when none does. Rejects with the process's own error, and with `in_use`
 * where one is there that does not answer: it was stopped (SIGSTOP, a debugger), and may go on at any time.
 */
export async function askControl(
  path: string,
  request: ControlRequest,
  answerMs = ANSWER_MS,
): Promise<unknown> {
  const asked = await openControl(path, request, request.command === 'now' ? 0 : answerMs)
  asked?.close()
  return asked?.result ?? null
}

/** An answer whose connection stays open until it is closed. */
export interface Asked {
  readonly result: unknown
  close(): void
}

/** As `askControl`, for a request that lasts: it ends when it is closed, or with this process. 0: however long. */
export function openControl(path: string, request: ControlRequest, answerMs = 0): Promise<Asked | null> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path)
    socket.setTimeout(answerMs, () => {
      reject(
        new TidemarkError('in_use', 'The process that has it is there, but does not answer: was it stopped?'),
      )
      socket.destroy()
    })
    socket.once('close', () => resolve(null))
    socket.once('connect', () => socket.write(`${JSON.stringify(request)}\n`))
    readLine(socket, (line) => {
      try {
        const { result, error } = JSON.parse(line) as ControlReply
        if (error === undefined) return resolve({ result: result ?? null, close: () => socket.destroy() })
        reject(new TidemarkError(isErrorCode(error.code) ? error.code : 'internal', error.message))
      } catch {
        resolve(null)
      }
      socket.destroy()
    })
  })
}

interface ControlReply {
  readonly result?: unknown
  readonly error?: { readonly code?: unknown; readonly message?: string }
}
