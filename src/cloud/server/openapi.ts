import type { TSchema } from 'typebox'

import {
  createDocument,
  errorResponses,
  headerParameter,
  jsonBody,
  jsonContent,
  namedRefs,
  NEEDS_TOKEN,
  pathParameters,
  publicOperation,
  queryParameters,
  type Content,
  type OpenApi,
  type Operation,
  type Parameter,
} from '../../http/openapi.ts'
import type { ErrorCode } from '../../kernel/errors.ts'
import { MAX_ID_CHARS } from '../../protocol/limits.ts'
import { HEADERS, NDJSON, ROUTES } from '../../protocol/routes.ts'
import { PROTOCOL_VERSION } from '../../protocol/version.ts'
import { WIRE_SCHEMAS } from '../../protocol/wire-schemas.ts'
import { API_ROUTES, CONTRACT, type ApiRoute, type RouteContract } from '../handler/contract.ts'

const DESCRIPTION = `Replicas push and pull rows through spaces of an account. Bodies are JSON, plain or with content-encoding gzip or zstd. Protocol version ${PROTOCOL_VERSION}.`

const PUBLIC = {
  healthz: ['Whether the process lives', 'Answers as long as the process does.'],
  readyz: ['Whether the cloud can work', 'Answers 503 while the storage does not answer.'],
  openapi: ['This document', 'OpenAPI 3.1.'],
  page: ['The API as a page', 'For people.'],
} as const satisfies { readonly [R in Exclude<keyof typeof ROUTES, ApiRoute>]: readonly [string, string] }

/** The document of the API, made from the routes and the schemas that requests are checked against. */
export function createOpenApi(options: { readonly version: string; readonly tokens: boolean }): OpenApi {
  const { version, tokens } = options
  const api = API_ROUTES.map((route) => ({
    ...ROUTES[route],
    operation: apiOperation(route, CONTRACT[route], tokens),
  }))
  const open = entriesOf(PUBLIC).map(([route, texts]) => ({
    ...ROUTES[route],
    operation: publicOperation(route, texts, route === 'page' ? 'text/html' : 'application/json'),
  }))
  return createDocument({
    title: 'Tidemark cloud',
    version,
    description: DESCRIPTION,
    tokens,
    schemas: WIRE_SCHEMAS,
    operations: [...api, ...open],
  })
}

const refTo = namedRefs(WIRE_SCHEMAS)

function apiOperation(route: ApiRoute, contract: RouteContract, tokens: boolean): Operation {
  const { scope, path } = ROUTES[route]
  return {
    operationId: route,
    summary: contract.summary,
    description: `${contract.description} Scope: ${scope}.`,
    ...(tokens ? NEEDS_TOKEN : {}),
    parameters: [
      ...pathParameters(path, MAX_ID_CHARS),
      ...queryParameters(contract.query),
      ...headerParameters(route),
    ],
    ...(contract.body === undefined ? {} : jsonBody(refTo(contract.body))),
    responses: {
      200: { description: 'Done', content: answerContent(contract.answer) },
      ...errorResponses(codesOf(route, contract), refTo(WIRE_SCHEMAS.ErrorAnswer)),
    },
  }
}

function answerContent(answer: RouteContract['answer']): Content {
  const kinds = Array.isArray(answer) ? (answer as readonly TSchema[]) : null
  if (kinds === null) return jsonContent(refTo(answer))
  return { [NDJSON]: { schema: { anyOf: kinds.map(refTo) } } }
}

function headerParameters(route: ApiRoute): readonly Parameter[] {
  const common = [
    headerParameter(
      HEADERS.protocol,
      `Protocol version of the client; another one than ${PROTOCOL_VERSION} is answered 426.`,
    ),
    headerParameter(HEADERS.device, 'Id of the device that asks.'),
  ]
  if (route !== 'hydrate') return common
  const resume = 'Where a broken stream goes on: a HydratePlace as JSON in base64url.'
  return [...common, headerParameter(HEADERS.resume, resume)]
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

const codesOf = (route: ApiRoute, { body }: RouteContract): readonly ErrorCode[] => [
  ...COMMON_ERRORS,
  ...(body === undefined ? [] : BODY_ERRORS),
  ...(ROUTE_ERRORS[route] ?? []),
]

const entriesOf = <T extends object>(value: T) => Object.entries(value) as [keyof T, T[keyof T]][]
