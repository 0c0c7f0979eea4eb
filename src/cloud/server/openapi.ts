import type { TSchema } from 'typebox'

import { ERRORS, type ErrorCode } from '../../kernel/errors.ts'
import { HEADERS, NDJSON, ROUTES } from '../../protocol/routes.ts'
import { PROTOCOL_VERSION } from '../../protocol/version.ts'
import { WIRE_SCHEMAS } from '../../protocol/wire-schemas.ts'
import { API_ROUTES, CONTRACT, type ApiRoute, type RouteContract } from '../handler/contract.ts'

/** As much of an OpenAPI 3.1 document as is written here and read by the page. */
export interface OpenApi {
  readonly openapi: '3.1.1'
  readonly info: {
    readonly title: string
    readonly version: string
    readonly description: string
    readonly license: { readonly name: string; readonly identifier: string }
  }
  readonly paths: { readonly [path: string]: { readonly [method: string]: Operation } }
  readonly components: {
    readonly schemas: { readonly [name: string]: TSchema }
    readonly securitySchemes?: object
  }
}

export interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly description: string
  readonly security?: readonly object[]
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly required: true; readonly content: Content }
  readonly responses: {
    readonly [status: string]: { readonly description: string; readonly content?: Content }
  }
}

export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required: boolean
  readonly description?: string
  readonly explode?: true
  readonly schema: object
}

export interface Content {
  readonly [mediaType: string]: { readonly schema: object }
}

const DESCRIPTION = `Replicas push and pull rows through spaces of an account. Bodies are JSON, plain or with content-encoding gzip or zstd. Protocol version ${PROTOCOL_VERSION}.`

const PUBLIC = {
  healthz: ['Whether the process lives', 'Answers as long as the process does.'],
  readyz: ['Whether the cloud can work', 'Answers 503 while the storage does not answer.'],
  openapi: ['This document', 'OpenAPI 3.1.'],
  page: ['The API as a page', 'For people.'],
} as const satisfies { readonly [R in Exclude<keyof typeof ROUTES, ApiRoute>]: readonly [string, string] }

/** The document of the API, made from the routes and the schemas that requests are checked against. */
export function createOpenApi(options: { readonly version: string; readonly tokens: boolean }): OpenApi {
  const paths: { [path: string]: { [method: string]: Operation } } = {}
  const add = (route: keyof typeof ROUTES, operation: Operation): void => {
    const { path, method } = ROUTES[route]
    const template = path.replace(/:(\w+)/g, '{$1}')
    paths[template] = { ...paths[template], [method.toLowerCase()]: operation }
  }
  for (const route of API_ROUTES) add(route, apiOperation(route, CONTRACT[route], options.tokens))
  for (const [route, [summary, description]] of entriesOf(PUBLIC)) {
    const type = route === 'page' ? 'text/html' : 'application/json'
    add(route, {
      operationId: route,
      summary,
      description,
      security: [],
      responses: {
        200: {
          description: summary,
          content: { [type]: { schema: type === 'text/html' ? { type: 'string' } : { type: 'object' } } },
        },
      },
    })
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Tidemark cloud',
      version: options.version,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: {
      schemas: WIRE_SCHEMAS,
      ...(options.tokens ? { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } } : {}),
    },
  }
}

function apiOperation(route: ApiRoute, contract: RouteContract, tokens: boolean): Operation {
  const { scope } = ROUTES[route]
  const parameters = [
    ...pathParameters(route),
    ...queryParameters(contract.query),
    ...headerParameters(route),
  ]
  return {
    operationId: route,
    summary: contract.summary,
    description: `${contract.description} Scope: ${scope}.`,
    ...(tokens ? { security: [{ token: [] }] } : {}),
    parameters,
    ...(contract.body === undefined
      ? {}
      : {
          requestBody: { required: true, content: { 'application/json': { schema: refTo(contract.body) } } },
        }),
    responses: {
      200: { description: 'Done', content: answerContent(contract.answer) },
      ...errorResponses(route),
    },
  }
}

function answerContent(answer: RouteContract['answer']): Content {
  const kinds = Array.isArray(answer) ? (answer as readonly TSchema[]) : null
  if (kinds === null) return { 'application/json': { schema: refTo(answer) } }
  return { [NDJSON]: { schema: { anyOf: kinds.map(refTo) } } }
}

/** A schema of the wire by its name; any other as it is. */
function refTo(schema: TSchema): object {
  const named = Object.entries<TSchema>(WIRE_SCHEMAS).find(([, known]) => known === schema)
  return named === undefined ? schema : { $ref: `#/components/schemas/${named[0]}` }
}

const pathParameters = (route: ApiRoute): readonly Parameter[] =>
  [...ROUTES[route].path.matchAll(/:(\w+)/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string', maxLength: 64 },
  }))

interface ObjectShape {
  readonly properties?: { readonly [name: string]: TSchema }
  readonly required?: readonly string[]
}

const readShape = (schema: ObjectShape): ObjectShape => schema

function queryParameters(query: TSchema | undefined): readonly Parameter[] {
  const shape = query === undefined ? undefined : readShape(query)
  return Object.entries(shape?.properties ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: shape?.required?.includes(name) ?? false,
    ...(Reflect.get(schema, 'type') === 'array'
      ? { explode: true, description: 'Stands once for each.' }
      : {}),
    schema,
  }))
}

function headerParameters(route: ApiRoute): readonly Parameter[] {
  const header = (name: string, description: string): Parameter => ({
    name,
    in: 'header',
    required: false,
    description,
    schema: { type: 'string' },
  })
  const common = [
    header(
      HEADERS.protocol,
      `Protocol version of the client; another one than ${PROTOCOL_VERSION} is answered 426.`,
    ),
    header(HEADERS.device, 'Id of the device that asks.'),
  ]
  return route === 'hydrate'
    ? [
        ...common,
        header(HEADERS.resume, 'Where a broken stream goes on: a HydratePlace as JSON in base64url.'),
      ]
    : common
}

const COMMON_ERRORS: readonly ErrorCode[] = [
  'bad_request',
  'unauthorized',
  'token_revoked',
  'forbidden',
  'device_deregistered',
  'needs_upgrade',
  'rate_limited',
  'internal',
  'unavailable',
]
const BODY_ERRORS: readonly ErrorCode[] = ['payload_too_large', 'unsupported_encoding', 'disk_full']
const ROUTE_ERRORS: { readonly [R in ApiRoute]?: readonly ErrorCode[] } = {
  push: ['space_not_found', 'replica_forked', 'lost_history', 'unprocessable'],
  pull: ['space_not_found', 'lost_history', 'cursor_expired'],
  read: ['space_not_found'],
  hydrate: ['space_not_found', 'cursor_expired'],
  batch: ['unprocessable'],
  status: ['space_not_found'],
  schema: ['space_not_found'],
  putSchema: ['unprocessable'],
  renameDevice: ['not_found'],
  deregisterDevice: ['not_found'],
}

function errorResponses(route: ApiRoute): Operation['responses'] {
  const contract: RouteContract = CONTRACT[route]
  const codes = [
    ...COMMON_ERRORS,
    ...(contract.body === undefined ? [] : BODY_ERRORS),
    ...(ROUTE_ERRORS[route] ?? []),
  ]
  const titles = new Map<number, string[]>()
  for (const code of codes) {
    const { status, title } = ERRORS[code]
    titles.set(status, [...(titles.get(status) ?? []), `\`${code}\`: ${title}.`])
  }
  const content = { 'application/json': { schema: refTo(WIRE_SCHEMAS.ErrorAnswer) } }
  return Object.fromEntries(
    [...titles].map(([status, lines]) => [status, { description: lines.join(' '), content }]),
  )
}

const entriesOf = <T extends object>(value: T) => Object.entries(value) as [keyof T, T[keyof T]][]
