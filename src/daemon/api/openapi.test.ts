import { Compile } from 'typebox/compile'
import { expect, test } from 'vitest'

import { contractOf, OPERATION_IDS, startTestApi } from '../../../test/daemon/api-world.ts'
import { readShape, type OpenApi } from '../../http/openapi.ts'
import { createPage } from '../../http/page.ts'
import { DAEMON_API } from '../../protocol/daemon-api.ts'
import { createOpenApi } from './openapi.ts'

const document = createOpenApi('1.2.3')
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
)

/** As much of OpenAPI 3.1's own schema as this document uses; what it does not know is refused. */
const words = { type: 'string', minLength: 1 }
const closed = (properties: object, required: readonly string[], more: unknown = false): object => ({
  type: 'object',
  properties,
  required,
  additionalProperties: more,
})
const mapOf = (schema: object): object => closed({}, [], schema)
const schema = { type: 'object' }
const content = mapOf(closed({ schema }, ['schema']))
const SHAPE = closed(
  {
    openapi: { type: 'string', pattern: '^3\\.1\\.\\d+$' },
    info: closed(
      {
        title: words,
        version: words,
        description: words,
        license: closed({ name: words, identifier: words }, ['name', 'identifier']),
      },
      ['title', 'version'],
    ),
    paths: mapOf(
      mapOf(
        closed(
          {
            operationId: words,
            summary: words,
            description: words,
            security: { type: 'array', items: mapOf({ type: 'array' }) },
            parameters: {
              type: 'array',
              items: closed(
                {
                  name: words,
                  in: { enum: ['path', 'query', 'header'] },
                  required: { type: 'boolean' },
                  description: words,
                  schema,
                },
                ['name', 'in', 'required', 'schema'],
              ),
            },
            requestBody: closed({ required: { const: true }, content }, ['required', 'content']),
            responses: mapOf(closed({ description: words, content }, ['description'])),
          },
          ['operationId', 'summary', 'description', 'responses'],
        ),
      ),
    ),
    components: closed(
      {
        schemas: mapOf(schema),
        securitySchemes: mapOf(closed({ type: { const: 'http' }, scheme: { const: 'bearer' } }, ['type'])),
      },
      ['schemas', 'securitySchemes'],
    ),
  },
  ['openapi', 'info', 'paths', 'components'],
)

test('the document is one of OpenAPI 3.1', () => {
  const text = JSON.stringify(document)
  expect([...Compile(SHAPE).Errors(JSON.parse(text))]).toEqual([])
  for (const name of Object.keys(document.components.schemas)) expect(name).toMatch(/^[A-Za-z]+$/)
  for (const [, target = ''] of text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g))
    expect(document.components.schemas[target]).toBeDefined()
  for (const { path, parameters = [] } of operations) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    expect(parameters.filter(({ in: where }) => where === 'path').map(({ name }) => name)).toEqual(named)
  }
  // Every schema of it is one that can be compiled, which means that it is one.
  for (const schema of Object.values(document.components.schemas))
    expect(() => Compile(schema).Check(null)).not.toThrow()
})

test('the document has every operation of the contract, and page and document themselves', () => {
  expect(operations.map(({ operationId }) => operationId).toSorted()).toEqual(
    [...OPERATION_IDS, 'openapi', 'page'].toSorted(),
  )
  for (const id of OPERATION_IDS) {
    const { method, path, open, body, query } = contractOf(id)
    const found = operations.find(({ operationId }) => operationId === id)
    expect([id, found?.method, found?.path]).toEqual([
      id,
      method.toLowerCase(),
      (DAEMON_API + path).replace(':id', '{id}'),
    ])
    expect(found?.security).toEqual(open === true ? [] : [{ token: [] }])
    expect(found?.requestBody === undefined).toBe(body === undefined)
    const names = Object.keys(query === undefined ? {} : (readShape(query).properties ?? {}))
    expect(found?.parameters?.map(({ name }) => name)).toEqual(expect.arrayContaining(names))
  }
})

test('both are served without a token, and the page runs nothing', async () => {
  await using world = await startTestApi()
  const served = await world.ask('GET', '/openapi.json', { token: null })
  expect(served.json as OpenApi).toEqual(JSON.parse(JSON.stringify(createOpenApi('1.2.3'))))
  const page = await world.ask('GET', '/', { token: null })
  expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
  expect(page.headers.get('content-security-policy')).toBe(createPage(document, ['api/v1/health']).policy)
  expect(page.json).not.toMatch(/<script|javascript:| on\w+=/i)
  for (const id of OPERATION_IDS) expect(page.json).toContain(contractOf(id).summary)
})
