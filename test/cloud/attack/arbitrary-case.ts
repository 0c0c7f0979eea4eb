import fc, { type Arbitrary } from 'fast-check'

import { CONTRACT, type RouteContract } from '../../../src/cloud/handler/contract.ts'
import { ROUTES } from '../../../src/protocol/routes.ts'
import { beside, fitting, oddity } from '../arbitrary-request.ts'
import {
  DELIVERIES,
  TOKEN_KINDS,
  type CaseBody,
  type HttpCase,
  type Pack,
  type RouteName,
} from './http-case.ts'
import { LEAK } from './leak.ts'
import {
  anyMethod,
  encoded,
  headerName,
  headerValue,
  oddSegment,
  rarely,
  wildAddress,
} from './arbitrary-parts.ts'
import { spoiledText } from './spoil-text.ts'

export const ROUTE_NAMES = Object.keys(ROUTES) as RouteName[]

const PACKS: readonly (readonly Pack[])[] = [
  ['gzip'],
  ['zstd'],
  ['br'],
  ['deflate'],
  ['gzip', 'gzip'],
  ['zstd', 'gzip'],
  ['gzip', 'br'],
]
const READ_PACKS: readonly (readonly Pack[])[] = [[], [], [], ['gzip'], ['zstd']]

/** The address of a route with a known or an odd id, and a query: mostly what its schema says. */
function pathOf(route: RouteName, query: RouteContract['query'], isWild: boolean): Arbitrary<string> {
  const id = rarely(isWild ? 2 : 6, fc.constantFrom('phone', 'laptop', 'gone'), oddSegment)
  const { properties = {} } = (query ?? {}) as { readonly properties?: object }
  const name = fc.constantFrom('space', 'replica', 'tables', 'tables', 'x', '__proto__', '', 'space%00')
  const value = fc.oneof(
    fc.constantFrom('main', 'city', '', '%00', '%ff', '%ed%a0%80', '%zz', '__proto__', '\u00e9', 'a+b'),
    encoded(fc.string({ unit: 'binary', maxLength: 8 })),
    encoded(fc.constantFrom(LEAK, 'x'.repeat(129), 'x'.repeat(513), 'x'.repeat(9_000))),
  )
  const pairs = fc.array(
    fc.tuple(name, value).map(([one, other]) => `${one}=${other}`),
    { maxLength: 3 },
  )
  const proper = Object.keys(properties).flatMap((property) =>
    property === 'tables' ? [] : [`${property}=${property === 'space' ? 'main' : 'replica-q'}`],
  )
  const usual = fc.constant(proper)
  const odd = fc.oneof(
    pairs,
    pairs.map((more) => [...proper, ...more]),
    fc.constantFrom(
      ['&&=='],
      ['space[]=main', 'replica=r'],
      ['space.x=main'],
      ['space=main', 'space=main'],
      ['space=main;replica=r'],
    ),
    fc.constant(['tables=city&'.repeat(1_500)]),
  )
  const search = rarely(isWild ? 2 : proper.length === 0 ? 10 : 3, usual, odd).map((parts) =>
    parts.length === 0 ? '' : `?${parts.join('&')}`,
  )
  const path = fc.tuple(id, search).map(([one, other]) => ROUTES[route].path.replace(':id', one) + other)
  if (!isWild) return path
  return rarely(
    4,
    path,
    fc.tuple(path, wildAddress).map(([one, change]) => change(one)),
  )
}

/** A chance text is no history of this cloud, and a chance number no next mutation: without this none would get far. */
const aim = (text: string): string =>
  text
    .replace(/"epoch":"[^"]*","generation":"[^"]*"/, '"epoch":"@epoch","generation":"@generation"')
    .replace(/"(version|high)":\d+/g, '"$1":0')
    .replace(/"replica":"[^"]*","mutation":\d+/, '"replica":"@replica","mutation":1')
    .replace(/"space":"[^"]*"/, '"space":"main"')

function textOf(schema: NonNullable<RouteContract['body']>, isValid: boolean): Arbitrary<string> {
  const fits = fitting(schema)
  const print = (value: unknown): string => JSON.stringify(value) ?? ''
  const aimed = rarely(
    5,
    fc.constant(aim),
    fc.constant((text: string) => text),
  )
  const fitted = fc.tuple(fits.map(print), aimed).map(([text, change]) => change(text))
  if (isValid) return fitted
  const besides = fc.tuple(beside(fits).map(print), aimed).map(([text, change]) => change(text))
  return fc.oneof(
    { weight: 4, arbitrary: besides },
    { weight: 5, arbitrary: spoiledText(fitted) },
    { weight: 1, arbitrary: oddity.map(print) },
  )
}

/** Bodies of routes without one are thrown away, whatever they are. */
function bodyOf(contract: RouteContract | undefined, isValid: boolean): Arbitrary<CaseBody | null> {
  const schema = contract?.body
  const text = schema === undefined ? fc.constant('{"a":1}') : textOf(schema, isValid)
  const whole = fc.record({
    kind: fc.constant<'text'>('text'),
    text,
    charset: fc.constant<'utf8'>('utf8'),
    packs: fc.constantFrom(...READ_PACKS),
  })
  if (isValid) return schema === undefined ? fc.constant(null) : whole
  const odd: Arbitrary<CaseBody | null> = fc.oneof(
    fc.record({
      kind: fc.constant<'text'>('text'),
      text,
      charset: fc.constantFrom('latin1' as const, 'utf16le' as const, 'broken' as const),
      packs: fc.constantFrom(...READ_PACKS),
    }),
    fc.record({
      kind: fc.constant<'text'>('text'),
      text,
      charset: fc.constant<'utf8'>('utf8'),
      packs: fc.constantFrom(...PACKS),
    }),
    fc.record({
      kind: fc.constant<'bytes'>('bytes'),
      base64: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('base64')),
    }),
    fc.constant(null),
  )
  const bomb = fc.record({ kind: fc.constant<'bomb'>('bomb'), packs: fc.constantFrom(...PACKS) })
  return rarely(60, rarely<CaseBody | null>(5, schema === undefined ? fc.constant(null) : whole, odd), bomb)
}

const FRONTS = fc.oneof(
  { weight: 2, arbitrary: fc.constant<'http1'>('http1') },
  { weight: 1, arbitrary: fc.constant<'http2'>('http2') },
)
const JSON_TYPE: HttpCase['headers'] = [['content-type', 'application/json']]

/** A request as the contract wants it; its history may still be another one. */
function validCase(route: RouteName): Arbitrary<HttpCase> {
  const contract = contractOf(route)
  return fc.record({
    route: fc.constant(route),
    front: FRONTS,
    method: fc.constant(ROUTES[route].method),
    path: pathOf(route, contract?.query, false),
    token: rarely(12, fc.constant<'all'>('all'), fc.constantFrom(...TOKEN_KINDS)),
    headers: fc.constant(contract?.body === undefined ? [] : JSON_TYPE),
    body: bodyOf(contract, true),
    delivery: rarely(8, fc.constant<'whole'>('whole'), fc.constantFrom('pieces', 'chunked')),
  })
}

/** A request whose body is beside the schema, or beside JSON; all else is in order. */
function nearCase(route: RouteName): Arbitrary<HttpCase> {
  const body = bodyOf(contractOf(route), false)
  return fc.tuple(validCase(route), body).map(([whole, body]) => ({ ...whole, body, headers: JSON_TYPE }))
}

/** A request with several things in it that no client of ours does. */
function wildCase(route: RouteName): Arbitrary<HttpCase> {
  const contract = contractOf(route)
  const headers = fc.array(fc.tuple(headerName, headerValue), { maxLength: 4 })
  return fc.record({
    route: fc.constant(route),
    front: FRONTS,
    method: rarely(4, fc.constant<string>(ROUTES[route].method), anyMethod),
    path: pathOf(route, contract?.query, true),
    token: rarely(6, fc.constant<'all'>('all'), fc.constantFrom(...TOKEN_KINDS)),
    headers: fc
      .tuple(rarely(4, fc.constant(JSON_TYPE), fc.constant([])), headers)
      .map(([one, other]) => [...one, ...other]),
    body: fc.oneof(bodyOf(contract, true), bodyOf(contract, false)),
    delivery: rarely(4, fc.constant<'whole'>('whole'), fc.constantFrom(...DELIVERIES)),
  })
}

const contractOf = (route: RouteName): RouteContract | undefined =>
  route in CONTRACT ? CONTRACT[route as keyof typeof CONTRACT] : undefined

/** Any request: a third of them in order, a third nearly, a third not. */
export const arbitraryCase = (route: RouteName): Arbitrary<HttpCase> =>
  fc.oneof(validCase(route), nearCase(route), wildCase(route))
