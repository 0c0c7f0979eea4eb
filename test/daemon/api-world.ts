import { connect } from 'node:net'

import fc from 'fast-check'

import type { ApiRequest, Handlers, ServerSentEvent, Streams } from '../../src/daemon/api/handlers.ts'
import type { ApiLimits } from '../../src/daemon/api/limits.ts'
import { startApi, type Api } from '../../src/daemon/api/server.ts'
import { systemClock, type Clock } from '../../src/kernel/clock.ts'
import type { Logger } from '../../src/kernel/logger.ts'
import { DAEMON_API, OPERATIONS, type OperationId } from '../../src/protocol/daemon-api.ts'
import type { Operation } from '../../src/protocol/operation.ts'
import { fitting } from '../cloud/arbitrary-request.ts'

export const OPERATION_IDS = Object.keys(OPERATIONS) as readonly OperationId[]
export const contractOf = (id: OperationId): Operation => OPERATIONS[id]
export const TOKEN = 'token-of-the-test'

/** One value that fits a schema, the same each time. */
export const sample = (schema: object, seed = 1): unknown =>
  fc.sample(fitting(schema), { numRuns: 1, seed })[0]

/** The path of an operation with an id in it. */
export const pathOf = (id: OperationId, record = 'one'): string =>
  DAEMON_API + contractOf(id).path.replace(':id', encodeURIComponent(record))

export interface Asked {
  readonly status: number
  readonly headers: Headers
  readonly json: unknown
  /** The error's code, where it is one. */
  readonly code: string | undefined
}

export interface TestApi extends AsyncDisposable {
  readonly api: Api
  /** What reached the handlers, in order. */
  readonly calls: readonly (readonly [id: string, request: ApiRequest<OperationId>])[]
  readonly logged: readonly string[]
  /** With the token, unless told otherwise. */
  ask(
    method: string,
    path: string,
    options?: {
      readonly token?: string | null
      readonly body?: unknown
      readonly text?: string
      readonly headers?: { readonly [name: string]: string }
      readonly signal?: AbortSignal
    },
  ): Promise<Asked>
  /** Asks as the contract says, with a query and a body that fit. */
  call(id: OperationId): Promise<Asked>
  /** Sends bytes as they are and answers all that comes until the server closes. */
  raw(text: string): Promise<string>
}

/** The server with handlers that answer what fits their schema, and note who asked. */
export async function startTestApi(
  options: {
    readonly handlers?: Partial<Handlers>
    readonly streams?: Partial<Streams>
    readonly clock?: Clock
    readonly limits?: Partial<ApiLimits>
  } = {},
): Promise<TestApi> {
  const calls: (readonly [string, ApiRequest<OperationId>])[] = []
  const logged: string[] = []
  const log = (message: string, details: object = {}): void =>
    void logged.push(`${message} ${JSON.stringify(details)}`)
  const logger: Logger = { debug: log, info: log, warn: log, error: log }
  const given: { readonly [id: string]: unknown } = { ...options.handlers, ...options.streams }
  const noted = Object.fromEntries(
    OPERATION_IDS.map((id) => {
      const { answer } = contractOf(id)
      const own = given[id] as ((request: ApiRequest<OperationId>) => unknown) | undefined
      const usual = answer === undefined ? oneEvent : () => sample(answer)
      return [
        id,
        (request: ApiRequest<OperationId>) => {
          calls.push([id, request])
          return (own ?? usual)(request)
        },
      ]
    }),
  )
  const api = await startApi({
    handlers: noted as Handlers,
    streams: noted as Streams,
    token: TOKEN,
    port: 0,
    version: '1.2.3',
    logger,
    clock: options.clock ?? systemClock,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  })

  const ask: TestApi['ask'] = async (method, path, { token = TOKEN, body, text, headers, signal } = {}) => {
    const answer = await fetch(api.url + path, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined && text === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined && text === undefined ? {} : { body: text ?? JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    })
    const got = await answer.text()
    const isJson = answer.headers.get('content-type')?.startsWith('application/json') === true
    const json: unknown = isJson ? JSON.parse(got) : got
    const error = (json as { readonly error?: { readonly code?: string } }).error
    return { status: answer.status, headers: answer.headers, json, code: error?.code }
  }

  return {
    api,
    calls,
    logged,
    ask,
    call: (id) => {
      const { method } = contractOf(id)
      const { path, body } = fittingRequest(id)
      return ask(method, path, body === undefined ? {} : { body })
    },
    raw: (text) => exchange(api.port, text),
    [Symbol.asyncDispose]: () => api.close(),
  }
}

async function* oneEvent(): AsyncGenerator<ServerSentEvent> {
  yield { event: 'first', id: 1, data: { x: 1 } }
}

/** An address and a body that fit the operation, small ones. */
export function fittingRequest(id: OperationId): { readonly path: string; readonly body: unknown } {
  const { query, body } = contractOf(id)
  const fits = query === undefined ? {} : (sample(query, 2) as object)
  const search = new URLSearchParams(
    Object.entries(fits).map(([name, value]): [string, string] => [name, String(value).toWellFormed()]),
  ).toString()
  return {
    path: `${pathOf(id)}${search === '' ? '' : `?${search}`}`,
    body: body === undefined ? undefined : sample(body, 3),
  }
}

const EXCHANGE_MS = 10_000

/** Sends bytes as they are and answers all that comes until the server closes, or until `enough` is among it. */
export function exchange(port: number, text: string, enough?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1').setNoDelay()
    let got = ''
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new Error(`no end to the answer: ${got.slice(0, 500)}`))
    }, EXCHANGE_MS)
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      got += chunk
      if (enough !== undefined && got.includes(enough)) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(got)
    })
    socket.write(Buffer.from(text, 'latin1'))
  })
}
