import fc, { type Arbitrary } from 'fast-check'

import { readShape } from '../../../src/http/openapi.ts'
import { DAEMON_API, OPERATIONS, type OperationId } from '../../../src/protocol/daemon-api.ts'
import type { Operation } from '../../../src/protocol/operation.ts'
import { beside, fitting, oddity } from '../../cloud/arbitrary-request.ts'
import {
  anyMethod,
  encoded,
  headerName,
  headerValue,
  oddSegment,
  rarely,
  wildAddress,
} from '../../cloud/attack/arbitrary-parts.ts'
import { LEAK } from '../../cloud/attack/leak.ts'
import { spoiledText } from '../../cloud/attack/spoil-text.ts'
import type { Delivery } from '../../cloud/attack/http-case.ts'

/** One request to the daemon as plain data, so that it can be printed and sent again. */
export interface ApiCase {
  /** The operation it was made from; its address and method may be another's. */
  readonly id: OperationId
  readonly method: string
  /** Each character is a byte. `CURSOR` and `RULE` stand for the last ones that were answered. */
  readonly path: string
  readonly token: 'right' | 'wrong' | 'none'
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string | null
  readonly delivery: Delivery
}

export const CURSOR = '@cursor'
/** Stands for the last rule that was made. */
export const RULE = '@rule'
export const OPERATION_IDS = Object.keys(OPERATIONS) as readonly OperationId[]
const contractOf = (id: OperationId): Operation => OPERATIONS[id]

/** Ids that bodies have too, so that there is something under them. */
export const KNOWN = ['city', 'other', '[1]', '["x"]', 'x'.repeat(40)]
/** Those that bring the whole body, and those that break off; none that waits. */
const DELIVERIES: readonly Delivery[] = [
  'whole',
  'pieces',
  'chunked',
  'cut',
  'chunk cut',
  'too short',
  'two lengths',
]

const oddValue = fc.oneof(
  fc.constantFrom(
    '',
    '0',
    '1',
    '-1',
    '1e3',
    '01',
    '99999999999999999999',
    'null',
    'true',
    '%00',
    '%ff',
    '%zz',
    'a,b',
    '"',
    '*',
    'NEAR(',
    'a AND',
    '-x',
    'col:x',
    '^a',
    '(',
    LEAK,
    'x'.repeat(5_000),
  ),
  encoded(fc.string({ unit: 'binary', maxLength: 12 })),
)

function queryOf({ query }: Operation, isOdd: boolean): Arbitrary<string> {
  const pairs = (fits: unknown): string[] =>
    Object.entries(fits as { [name: string]: unknown }).flatMap(([name, value]) => {
      // Who waits is another test's business.
      if (name === 'wait') return ['wait=0']
      if (name === 'cursor') return String(value).length % 3 === 0 ? [`cursor=${CURSOR}`] : []
      return [`${name}=${encodeURIComponent(String(value).toWellFormed())}`]
    })
  const proper = query === undefined ? fc.constant<string[]>([]) : fitting(query).map(pairs)
  const names = Object.keys(query === undefined ? {} : (readShape(query).properties ?? {}))
  const name = fc.constantFrom(...names.filter((one) => one !== 'wait'), 'unknown', '__proto__', '')
  const odd = fc.array(
    fc.tuple(name, oddValue).map(([one, value]) => `${one}=${value}`),
    { maxLength: 2 },
  )
  const all = isOdd ? fc.tuple(proper, odd).map(([one, other]) => [...one, ...other]) : proper
  return all.map((parts) => (parts.length === 0 ? '' : `?${parts.join('&')}`))
}

function pathOf(id: OperationId, how: 'valid' | 'near' | 'wild'): Arbitrary<string> {
  const contract = contractOf(id)
  const known = id === 'deleteRule' ? fc.constant(RULE) : fc.constantFrom(...KNOWN).map(encodeURIComponent)
  const record = rarely(how === 'wild' ? 2 : 8, known, oddSegment)
  const path = fc
    .tuple(record, rarely(how === 'valid' ? 20 : 2, queryOf(contract, false), queryOf(contract, true)))
    .map(([one, search]) => DAEMON_API + contract.path.replace(':id', one) + search)
  if (how !== 'wild') return path
  return rarely(
    4,
    path,
    fc.tuple(path, wildAddress).map(([one, change]) => change(one)),
  )
}

/** A rule takes one pattern, which its schema cannot say. */
const PATTERNS = ['command', 'command_prefix', 'path']
const withOnePattern = (value: unknown): unknown => {
  const fields = Object.entries(value as { readonly [name: string]: unknown })
  const patterns = fields.filter(([name]) => PATTERNS.includes(name)).slice(1)
  return Object.fromEntries(fields.filter((field) => !patterns.includes(field)))
}

function bodyOf(id: OperationId, how: 'valid' | 'near' | 'wild'): Arbitrary<string | null> {
  const { body, method } = contractOf(id)
  const print = (value: unknown): string => JSON.stringify(value) ?? ''
  if (body === undefined)
    return how === 'valid' || method === 'GET' ? fc.constant(null) : fc.constantFrom(null, '{}', '{"a":1}')
  const fits = id === 'createRule' ? fitting(body).map(withOnePattern) : fitting(body)
  const fitted = fits.map(print)
  if (how === 'valid') return fitted
  return fc.oneof(
    { weight: 4, arbitrary: beside(fits).map(print) },
    { weight: 5, arbitrary: spoiledText(fitted) },
    { weight: 1, arbitrary: oddity.map(print) },
    { weight: 1, arbitrary: fc.constant(null) },
  )
}

function caseOf(id: OperationId, how: 'valid' | 'near' | 'wild'): Arbitrary<ApiCase> {
  const contract = contractOf(id)
  const wild = how === 'wild'
  const json: ApiCase['headers'] = [['content-type', 'application/json']]
  const more = fc.array(fc.tuple(headerName, headerValue), { maxLength: wild ? 3 : 0 })
  return fc
    .record({
      id: fc.constant(id),
      method: wild
        ? rarely(4, fc.constant<string>(contract.method), anyMethod)
        : fc.constant(contract.method),
      path: pathOf(id, how),
      token: rarely(wild ? 4 : 12, fc.constant<'right'>('right'), fc.constantFrom('wrong', 'none')),
      more,
      body: bodyOf(id, how),
      delivery: rarely(wild ? 3 : 10, fc.constant<Delivery>('whole'), fc.constantFrom(...DELIVERIES)),
    })
    .map(({ more: others, ...rest }) => ({
      ...rest,
      headers: [...(rest.body === null ? [] : json), ...others],
    }))
}

/** Any request: half of them in order, a third nearly, the others not. */
export const arbitraryCase = (id: OperationId): Arbitrary<ApiCase> =>
  fc.oneof(
    { weight: 3, arbitrary: caseOf(id, 'valid') },
    { weight: 2, arbitrary: caseOf(id, 'near') },
    { weight: 1, arbitrary: caseOf(id, 'wild') },
  )
