import type { Bus } from '../../src/cloud/bus.ts'
import type { Directory, Grant, TokenInput } from '../../src/cloud/directory.ts'
import { MemoryDirectory } from '../../src/cloud/directory/memory.ts'
import { createHandler, type CloudAnswer, type Handler } from '../../src/cloud/handler/handler.ts'
import type { HandlerLimits } from '../../src/cloud/handler/limits.ts'
import type { Log } from '../../src/cloud/log/log.ts'
import { MemoryLog } from '../../src/cloud/log/memory.ts'
import type { Metrics } from '../../src/cloud/metrics.ts'
import type { ServerLimits } from '../../src/cloud/server/limits.ts'
import { startServer, type ServerOptions } from '../../src/cloud/server/server.ts'
import { systemClock, type Clock } from '../../src/kernel/clock.ts'
import { silentLogger, type Logger } from '../../src/kernel/logger.ts'
import { seededRandom } from '../../src/kernel/random.ts'
import { SCOPES } from '../../src/protocol/routes.ts'

export interface TestCloud extends AsyncDisposable {
  readonly handler: Handler
  readonly log: Log
  readonly directory: Directory
  /** A token of the account `ours` with every scope and space. */
  readonly token: string
  /** What the cloud warned of and failed at. */
  readonly logged: readonly string[]
  readonly logger: Logger
  makeToken(input?: Partial<TokenInput>): Promise<{ readonly token: string; readonly id: string }>
}

/** A token of the account `ours` with every scope and space, or what `input` says otherwise. */
export async function makeTestToken(
  directory: Directory,
  input: Partial<TokenInput> = {},
): Promise<{ readonly token: string; readonly id: string }> {
  const { token, info } = await directory.createToken({
    account: 'ours',
    name: 'test',
    scopes: SCOPES,
    spaces: null,
    defaultSpace: 'main',
    ...input,
  })
  return { token, id: info.id }
}

/** The handler on the log and the directory in memory. */
export async function openTestCloud(
  options: {
    readonly clock?: Clock
    readonly limits?: Partial<HandlerLimits>
    readonly log?: (log: Log) => Log
    /** Absent: in memory. Disposed of with the cloud. */
    readonly storage?: { readonly log: Log; readonly directory: Directory }
    /** Absent: there are no other nodes. */
    readonly bus?: Bus
    readonly open?: Grant
    readonly metrics?: Metrics
  } = {},
): Promise<TestCloud> {
  const clock = options.clock ?? systemClock
  const random = seededRandom(1)
  const stored = options.storage?.log ?? new MemoryLog({ clock, random })
  const log = options.log?.(stored) ?? stored
  const directory = options.storage?.directory ?? new MemoryDirectory({ clock, random })
  const logged: string[] = []
  const logger = collectLogs(logged)
  const handler = createHandler({
    log,
    directory,
    clock,
    random,
    limits: options.limits ?? {},
    ...(options.bus === undefined ? {} : { bus: options.bus }),
    ...(options.open === undefined ? {} : { open: options.open }),
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
    logger,
  })
  const makeToken = (input?: Partial<TokenInput>) => makeTestToken(directory, input)
  return {
    handler,
    log,
    directory,
    token: (await makeToken()).token,
    logged,
    logger,
    makeToken,
    async [Symbol.asyncDispose]() {
      handler.stop()
      await log[Symbol.asyncDispose]()
      await directory[Symbol.asyncDispose]()
    },
  }
}

export interface ServedCloud extends TestCloud {
  readonly url: string
  close(): Promise<void>
  /** One request with the cloud's token unless the headers say otherwise. */
  ask(
    method: string,
    path: string,
    request?: {
      readonly body?: unknown
      readonly headers?: { readonly [name: string]: string }
      readonly signal?: AbortSignal
    },
  ): Promise<Answer>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The parsed body; undefined when it is not JSON. */
  readonly json: unknown
  /** The code of an error answer; undefined when it is none. */
  readonly code: string | undefined
}

/** The same behind a real port. */
export async function serveTestCloud(
  options: Parameters<typeof openTestCloud>[0] & {
    readonly server?: Partial<ServerOptions>
    readonly serverLimits?: Partial<ServerLimits>
  } = {},
): Promise<ServedCloud> {
  const cloud = await openTestCloud(options)
  const server = await startServer({
    handler: cloud.handler,
    clock: systemClock,
    logger: cloud.logger,
    host: '127.0.0.1',
    port: 0,
    version: '0.0.0',
    checkStorage: async () => {},
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
    ...options.server,
    // The machine that runs the tests may be busy; that is a test of its own.
    limits: { loopDelayMs: 0, ...options.serverLimits },
  })
  return {
    ...cloud,
    url: server.url,
    close: () => server.close(),
    ask: (method, path, request = {}) =>
      ask(server.url, method, path, {
        ...request,
        headers: { authorization: `Bearer ${cloud.token}`, ...request.headers },
      }),
    async [Symbol.asyncDispose]() {
      await server.close()
      await cloud[Symbol.asyncDispose]()
    },
  }
}

/** Sends text and bytes as they are, anything else as JSON. */
export async function ask(
  url: string,
  method: string,
  path: string,
  request: {
    readonly body?: unknown
    readonly headers?: { readonly [name: string]: string }
    readonly signal?: AbortSignal
  } = {},
): Promise<Answer> {
  const { body } = request
  const raw =
    typeof body === 'string' || body instanceof Uint8Array
      ? body
      : body === undefined
        ? undefined
        : JSON.stringify(body)
  const response = await fetch(url + path, {
    method,
    headers: { ...(raw === undefined ? {} : { 'content-type': 'application/json' }), ...request.headers },
    ...(raw === undefined ? {} : { body: raw as string | Uint8Array<ArrayBuffer> }),
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  })
  const text = await response.text()
  const json = parse(text)
  const error = (json as { readonly error?: { readonly code?: string } } | undefined)?.error
  return { status: response.status, headers: response.headers, text, json, code: error?.code }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** The value of a JSON answer. */
export function valueOf<T>(answer: CloudAnswer): T {
  if (answer.kind !== 'json') throw new Error('not a JSON answer')
  return answer.value as T
}

function collectLogs(lines: string[]): Logger {
  const write =
    (level: string) =>
    (message: string, details: object = {}) => {
      lines.push(`${level} ${message} ${JSON.stringify(details)}`)
    }
  return { ...silentLogger, warn: write('warn'), error: write('error') }
}
