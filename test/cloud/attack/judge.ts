import { Compile } from 'typebox/compile'

import { CONTRACT, type RouteContract } from '../../../src/cloud/handler/contract.ts'
import { ERRORS, isErrorCode } from '../../../src/kernel/errors.ts'
import { ErrorAnswer } from '../../../src/protocol/status.ts'
import { ROUTES } from '../../../src/protocol/routes.ts'
import type { HttpCase, RouteName } from './http-case.ts'
import type { RawAnswer } from './http1-client.ts'
import { LEAK, OURS, THEIRS } from './leak.ts'
import type { Portrait } from './portrait.ts'

const errorShape = Compile(ErrorAnswer)
type Check = (value: unknown) => boolean
const shapes = new Map<RouteName, readonly Check[]>(
  Object.entries(CONTRACT).map(([route, { answer }]: [string, RouteContract]) => [
    route as RouteName,
    (Array.isArray(answer) ? answer : [answer]).map((schema) => {
      const validator = Compile(schema)
      return (value: unknown) => validator.Check(value)
    }),
  ]),
)

const insist = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(what)
}

/** Throws when an answer is one that no request may get. `served` is the route that answered, null for none. */
export function judgeAnswer(kase: HttpCase, answer: RawAnswer, served: RouteName | null): void {
  const { status, headers, text } = answer
  // Whoever keeps a body back is told that it did not come in time.
  const mayBeLate = kase.delivery === 'stalled' && status === 503
  insist(status < 500 || mayBeLate, `answered ${status}`)
  insist(!text.includes(kase.token === 'theirs' ? OURS : THEIRS), "shows another account's row")
  insist(
    headers.get('x-content-type-options') === 'nosniff' || headers.get('connection') === 'close',
    'an answer without the headers that protect it',
  )
  if (status >= 400) return judgeError(kase, answer)
  insist(status === 200, `answered ${status}, which no route does`)
  if (served !== null && ROUTES[served].scope !== 'public') judgeValue(served, text)
}

function judgeError({ method }: HttpCase, { status, headers, text }: RawAnswer): void {
  if (method === 'HEAD') return
  insist(headers.get('content-type') === 'application/json; charset=utf-8', 'an error that is not JSON')
  const answer = parse(text)
  if (!errorShape.Check(answer)) throw new Error('an error of another shape')
  const { error } = answer
  insist(Object.keys(answer).join() === 'error', 'an error with something beside it')
  insist(Object.keys(error).sort().join() === 'code,details,message,retry', 'an error with more in it')
  if (!isErrorCode(error.code)) throw new Error('a code that is in no table')
  const row = ERRORS[error.code]
  insist(row.status === status || (status === 431 && row.status === 400), 'a code of another status')
  insist(row.retry === error.retry, 'retry is not what the table says')
  insist((headers.get('www-authenticate') === 'Bearer') === (status === 401), 'www-authenticate')
  if (status === 429 || status === 503) insist(Number(headers.get('retry-after')) > 0, 'no retry-after')
  insist(!text.includes(LEAK), 'an error that repeats a value')
  insist(text.length < 2_000, 'an error as long as a request')
}

function judgeValue(route: RouteName, text: string): void {
  const checks = shapes.get(route) ?? []
  const values = route === 'hydrate' ? text.trimEnd().split('\n').map(parse) : [parse(text)]
  for (const value of values)
    insist(
      checks.some((check) => check(value)),
      'an answer that is not what the contract says',
    )
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw new Error('an answer that is not JSON')
  }
}

/** NUL and lone surrogates, as JSON writes them: a storage may refuse them, or change them. */
const UNCLEAN = /\\u0000|\\u[dD][89a-fA-F]/

/** What a request may change that was answered so. */
export interface Rights {
  readonly mayWrite: boolean
  /** Make a space with nothing in it. */
  readonly mayMake: boolean
}

export function rightsOf({ token }: HttpCase, status: number | 'closed', served: RouteName | null): Rights {
  const isDone = status === 200
  return {
    mayWrite: isDone && (served === null || ROUTES[served].scope !== 'read' || notesReplica(served)),
    // Who may write makes a space by asking for it, also where what was asked is then refused for its history or size.
    mayMake: token !== 'none' && (isDone || [409, 410, 413, 422].includes(Number(status))),
  }
}

/** Throws when something changed that requests with these rights leave as it is. */
export function judgeChange(rights: Rights, before: Portrait, after: Portrait): void {
  insist(rights.mayWrite || after.kept === before.kept, 'refused, and something changed')
  insist(rights.mayMake || after.empty === before.empty, 'refused, and a space was made')
  insist(!UNCLEAN.test(after.kept), 'keeps text that not every storage can')
}

/** These two keep what the replica has read. */
const notesReplica = (route: RouteName): boolean => route === 'pull' || route === 'hydrate'
