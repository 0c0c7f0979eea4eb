import fc from 'fast-check'
import { Compile } from 'typebox/compile'

import { isErrorCode } from '../../../src/kernel/errors.ts'
import { DAEMON_API, OPERATIONS, type OperationId } from '../../../src/protocol/daemon-api.ts'
import type { Operation } from '../../../src/protocol/operation.ts'
import { ErrorAnswer } from '../../../src/protocol/status.ts'
import { Http1Client, type Outcome } from '../../cloud/attack/http1-client.ts'
import { exchange } from '../api-world.ts'
import { arbitraryCase, CURSOR, OPERATION_IDS, RULE, type ApiCase } from './api-case.ts'

export type Counts = ReadonlyMap<OperationId, ReadonlyMap<number | 'closed' | 'stream', number>>

export interface Target {
  readonly url: string
  readonly token: string
}

/** Longer than this nothing may take: no case waits for anything. */
const ANSWER_MS = 30_000
const isError = Compile(ErrorAnswer)
const contractOf = (id: OperationId): Operation => OPERATIONS[id]
const answers = new Map(
  OPERATION_IDS.flatMap((id) => {
    const { answer } = contractOf(id)
    return answer === undefined ? [] : [[id, Compile(answer)] as const]
  }),
)

/** What an operation takes, to look at again what was taken. */
const inputs = new Map(
  OPERATION_IDS.map((id) => {
    const { query, body } = contractOf(id)
    return [
      id,
      {
        query: query === undefined ? undefined : Compile(query),
        body: body === undefined ? undefined : Compile(body),
      },
    ] as const
  }),
)

/** Digits as numbers, which is what they are wherever they may stand; `q` is text whatever it is. */
const queryOf = (path: string): { readonly [name: string]: unknown } =>
  Object.fromEntries(
    [...new URLSearchParams(path.split('?')[1] ?? '')].map(([name, text]) => [
      name,
      NUMBERS.includes(name) && /^\d+$/.test(text) ? Number(text) : text,
    ]),
  )
const NUMBERS = ['limit', 'since', 'after', 'wait']

/** Sends chance cases, one after the other. Rejects with the case whose answer is none that may be. */
export async function runRound(target: Target, seed: number, cases: number): Promise<Counts> {
  const counts = new Map<OperationId, Map<number | 'closed' | 'stream', number>>()
  const perOperation = Math.ceil(cases / OPERATION_IDS.length)
  const samples = OPERATION_IDS.map((id, at) =>
    fc.sample(arbitraryCase(id), { numRuns: perOperation, seed: seed * 1_000 + at }),
  )
  const state = { cursor: 'none', rule: 'none', client: connect(target) }
  // All operations in turn: what one writes, the others meet.
  for (let turn = 0; turn < perOperation; turn++) {
    for (const some of samples) {
      const kase = some[turn] as ApiCase
      try {
        const outcome = await send(target, state, kase)
        const known = counts.get(kase.id) ?? new Map<number | 'closed' | 'stream', number>()
        counts.set(kase.id, known.set(outcome, (known.get(outcome) ?? 0) + 1))
      } catch (error) {
        throw new Error(`${(error as Error).message}\n${JSON.stringify(kase)}`, { cause: error })
      }
    }
  }
  state.client.close()
  return counts
}

const connect = ({ url }: Target): Http1Client => new Http1Client(url, new URL(url).host)

async function send(
  target: Target,
  state: { cursor: string; rule: string; client: Http1Client },
  kase: ApiCase,
): Promise<number | 'closed' | 'stream'> {
  if (state.client.isOver) state.client = connect(target)
  const { method, delivery } = kase
  const path = kase.path.replaceAll(CURSOR, state.cursor).replaceAll(RULE, state.rule)
  const token = kase.token === 'right' ? target.token : 'wrong'
  const headers = [
    ...(kase.token === 'none' ? [] : [['authorization', `Bearer ${token}`] as const]),
    ...kase.headers,
  ]
  if (isStream(method, path)) return readStream(target, method, path, headers)
  const body = kase.body === null ? null : Buffer.from(kase.body)
  const outcome = await bounded(state.client.send({ method, path, headers, body, delivery }))
  if (outcome === 'closed') {
    state.client.close()
    return 'closed'
  }
  judge(kase, method, path, outcome)
  const { next, id } = (outcome.status === 200 ? parse(outcome.text) : {}) as {
    readonly next?: unknown
    readonly id?: unknown
  }
  if (kase.id === 'createRule' && typeof id === 'string') state.rule = encodeURIComponent(id)
  if (typeof next === 'string') state.cursor = encodeURIComponent(next)
  return outcome.status
}

const parse = (text: string): unknown => (text === '' ? {} : (JSON.parse(text) as unknown))

const STREAMS = OPERATION_IDS.filter((id) => contractOf(id).answer === undefined).map((id) => {
  const { method, path } = contractOf(id)
  return { method, pattern: new RegExp(`^/*${DAEMON_API}${path.replace(':id', '[^/]*')}/?(?:[?#]|$)`) }
})
const isStream = (method: string, path: string): boolean =>
  STREAMS.some((one) => one.method === method && one.pattern.test(path.replaceAll('%73', 's')))

/** A stream has no end of its own: it is asked for together with something wrong, which ends the connection. */
async function readStream(
  { url }: Target,
  method: string,
  path: string,
  headers: ApiCase['headers'],
): Promise<number | 'closed' | 'stream'> {
  const { host, port } = new URL(url)
  const lines = [['host', host], ...headers, ['connection', 'close']].map(
    ([name, value]) => `${name}: ${value}`,
  )
  const text = await exchange(
    Number(port),
    `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`,
    'retry: 1000\n\n',
  )
  // What only announces an answer is passed over.
  const status = Number(/^HTTP\/1\.1 ([2-5]\d\d)/m.exec(text)?.[1] ?? 0)
  if (status === 200) {
    insist(/^content-type: text\/event-stream/im.test(text), 'a stream of another type')
    return 'stream'
  }
  insist(status === 0 || (status >= 400 && status !== 500), `a stream was answered ${status}`)
  return status === 0 ? 'closed' : status
}

/** What every answer must be, whatever was asked. */
function judge(kase: ApiCase, method: string, path: string, outcome: Exclude<Outcome, 'closed'>): void {
  const { status, headers, text } = outcome
  insist(status !== 500, 'the daemon failed')
  for (const name of headers.keys()) insist(!name.startsWith('access-control'), 'a CORS header')
  if (method === 'HEAD') return
  if (status >= 400) {
    const value = parse(text)
    if (!isError.Check(value)) throw new Error(`an error of another shape: ${text.slice(0, 200)}`)
    const { code } = value.error
    insist(isErrorCode(code) && code !== 'internal' && code !== 'invariant', `the code ${code}`)
    return
  }
  insist(status === 200, `the status ${status}`)
  insist(
    kase.token === 'right' || contractOf(kase.id).open === true || !path.includes(DAEMON_API),
    'answered without token',
  )
  const expected = answers.get(kase.id)
  const own =
    method === contractOf(kase.id).method &&
    path.startsWith(DAEMON_API + contractOf(kase.id).path.split(':')[0])
  if (expected === undefined || !own || kase.headers.length > 1) return
  insist(expected.Check(parse(text)), `an answer that does not fit: ${text.slice(0, 500)}`)
  const takes = inputs.get(kase.id)
  insist(takes?.query?.Check(queryOf(path)) ?? true, 'a query that does not fit was taken')
  if (kase.delivery === 'whole')
    insist(takes?.body?.Check(parse(kase.body ?? '')) ?? true, 'a body that does not fit was taken')
}

function insist(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what)
}

async function bounded<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), ANSWER_MS)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
