import type { TSchema } from 'typebox'

import { ERRORS, type ErrorCode } from '../kernel/errors.ts'

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

/** One operation and where it is mounted, its path as the server writes it: `/things/:id`. */
export interface MountedOperation {
  readonly method: string
  readonly path: string
  readonly operation: Operation
}

/** The document of the operations, in their order. `tokens`: those that do not say otherwise need a bearer token. */
export function createDocument(options: {
  readonly title: string
  readonly version: string
  readonly description: string
  readonly tokens: boolean
  readonly schemas: { readonly [name: string]: TSchema }
  readonly operations: readonly MountedOperation[]
}): OpenApi {
  const paths: { [path: string]: { [method: string]: Operation } } = {}
  for (const { method, path, operation } of options.operations) {
    const template = path.replace(/:(\w+)/g, '{$1}')
    paths[template] = { ...paths[template], [method.toLowerCase()]: operation }
  }
  const { title, version, description, tokens, schemas } = options
  return {
    openapi: '3.1.1',
    info: {
      title,
      version,
      description,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: {
      schemas,
      ...(tokens ? { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } } : {}),
    },
  }
}

/** Of `components.securitySchemes` of a document with tokens. */
export const NEEDS_TOKEN: Pick<Operation, 'security'> = { security: [{ token: [] }] }

/** A schema of the document by its name; any other as it is. */
export type RefTo = (schema: TSchema) => object

export function namedRefs(schemas: { readonly [name: string]: TSchema }): RefTo {
  const names = new Map(Object.entries(schemas).map(([name, schema]) => [schema, name]))
  return (schema) => {
    const name = names.get(schema)
    return name === undefined ? schema : { $ref: `#/components/schemas/${name}` }
  }
}

export const jsonContent = (schema: object): Content => ({ 'application/json': { schema } })

export const jsonBody = (schema: object): Pick<Operation, 'requestBody'> => ({
  requestBody: { required: true, content: jsonContent(schema) },
})

/** One operation that everybody may ask. */
export const publicOperation = (
  operationId: string,
  [summary, description]: readonly [summary: string, description: string],
  type: 'text/html' | 'application/json',
): Operation => ({
  operationId,
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

export const pathParameters = (path: string, maxLength: number): readonly Parameter[] =>
  [...path.matchAll(/:(\w+)/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string', maxLength },
  }))

interface ObjectShape {
  readonly properties?: { readonly [name: string]: TSchema }
  readonly required?: readonly string[]
}

/** What a schema of an object has in it, as far as it is one. */
export const readShape = (schema: ObjectShape): ObjectShape => schema

export function queryParameters(query: TSchema | undefined): readonly Parameter[] {
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

export const headerParameter = (name: string, description: string): Parameter => ({
  name,
  in: 'header',
  required: false,
  description,
  schema: { type: 'string' },
})

/** The refusals, several codes of one status together. `statusOf`: where a code has no status of its own. */
export function errorResponses(
  codes: readonly ErrorCode[],
  schema: object,
  statusOf: (code: ErrorCode) => number = (code) => ERRORS[code].status,
): Operation['responses'] {
  const titles = new Map<number, string[]>()
  for (const code of codes) {
    const status = statusOf(code)
    titles.set(status, [...(titles.get(status) ?? []), `\`${code}\`: ${ERRORS[code].title}.`])
  }
  const content = jsonContent(schema)
  return Object.fromEntries(
    [...titles].map(([status, lines]) => [status, { description: lines.join(' '), content }]),
  )
}
