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
  type OpenApi,
  type Operation,
} from '../../http/openapi.ts'
import type { ErrorCode } from '../../kernel/errors.ts'
import * as agents from '../../protocol/agents.ts'
import * as approvals from '../../protocol/approvals.ts'
import { DAEMON_API, OPERATIONS, type OperationId } from '../../protocol/daemon-api.ts'
import * as status from '../../protocol/daemon-status.ts'
import type { Operation as Contract } from '../../protocol/operation.ts'
import { ErrorAnswer } from '../../protocol/status.ts'
import { apiStatus } from './errors.ts'
import { maxBodyBytes } from './limits.ts'
import { OPERATION_IDS } from './operations.ts'

const DESCRIPTION = `Sessions of local agents, approvals, and sync, on this machine only. Bodies are JSON. Times are milliseconds since 1970. Requests carry the token of the file api-token in the data folder, as a bearer token; those of web pages of another origin are refused.`

/** What everybody on this machine may ask besides the health of the daemon. */
export const PUBLIC = {
  openapi: { method: 'GET', path: '/openapi.json', texts: ['This document', 'OpenAPI 3.1.'] },
  page: { method: 'GET', path: '/', texts: ['The API as a page', 'For people.'] },
} as const

const isSchema = (value: unknown): value is TSchema => typeof value === 'object' && value !== null

/** Every schema that is exported under a name of its own, which begins with a capital letter. */
const SCHEMAS: { readonly [name: string]: TSchema } = {
  ErrorAnswer,
  ...Object.fromEntries(
    [agents, approvals, status]
      .flatMap((module) => Object.entries<unknown>(module))
      .filter((entry): entry is [string, TSchema] => isSchema(entry[1])),
  ),
}

const refTo = namedRefs(SCHEMAS)

/** The document of the API, from the contract that requests are checked against. */
export function createOpenApi(version: string): OpenApi {
  const open = (['openapi', 'page'] as const).map((id) => ({
    ...PUBLIC[id],
    operation: publicOperation(id, PUBLIC[id].texts, id === 'page' ? 'text/html' : 'application/json'),
  }))
  return createDocument({
    title: 'Tidemark daemon',
    version,
    description: DESCRIPTION,
    tokens: true,
    schemas: SCHEMAS,
    operations: [...OPERATION_IDS.map(mounted), ...open],
  })
}

function mounted(id: OperationId): {
  readonly method: string
  readonly path: string
  readonly operation: Operation
} {
  const contract: Contract = OPERATIONS[id]
  const { method, path, summary, description, query, body, answer, open } = contract
  const isStream = answer === undefined
  const lastEventId = headerParameter('last-event-id', 'Goes on behind this event.')
  return {
    method,
    path: DAEMON_API + path,
    operation: {
      operationId: id,
      summary,
      description: body === undefined ? description : `${description} At most ${maxBodyBytes(id)} bytes.`,
      ...(open === true ? { security: [] } : NEEDS_TOKEN),
      parameters: [
        ...pathParameters(path, agents.MAX_RECORD_ID_CHARS),
        ...queryParameters(query),
        ...(isStream ? [lastEventId] : []),
      ],
      ...(body === undefined ? {} : jsonBody(refTo(body))),
      responses: {
        200: {
          description: isStream ? 'Server-sent events' : 'Done',
          content: isStream
            ? { 'text/event-stream': { schema: { type: 'string' } } }
            : jsonContent(refTo(answer)),
        },
        ...errorResponses(codesOf(contract), refTo(ErrorAnswer), apiStatus),
      },
    },
  }
}

const COMMON_ERRORS: readonly ErrorCode[] = ['bad_request', 'forbidden', 'internal', 'unavailable']
const BODY_ERRORS: readonly ErrorCode[] = ['payload_too_large', 'unsupported_encoding', 'disk_full']

const codesOf = ({ body, open, errors }: Contract): readonly ErrorCode[] => [
  ...COMMON_ERRORS,
  ...(open === true ? [] : (['unauthorized', 'database_locked'] as const)),
  ...(body === undefined ? [] : BODY_ERRORS),
  ...errors,
]
