import { createHash } from 'node:crypto'

import { Compile } from 'typebox/compile'
import { expect, test } from 'vitest'

import { ERRORS } from '../kernel/errors.ts'
import { ROUTES, SCOPES } from './routes.ts'
import { PROTOCOL_HISTORY, PROTOCOL_VERSION } from './version.ts'
import { WIRE_SCHEMAS } from './wire-schemas.ts'

/**
 * The hash of every schema of the wire, by version. When this test fails the wire has changed: raise
 * `PROTOCOL_VERSION` with a line of history and add its hash here; or, when all that is new is an optional
 * property which an older reader may ignore, replace the hash of the version.
 */
const SCHEMA_HASHES: { readonly [version: number]: string } = {
  1: 'ea010cc50f04e7baa69cc5f7400cbb33',
  2: '0a816b137563b0e0170ae30908ab140c',
}

test('the schemas of the wire are those of this protocol version', () => {
  const hash = createHash('sha256').update(JSON.stringify(WIRE_SCHEMAS)).digest('hex').slice(0, 32)
  expect(SCHEMA_HASHES[PROTOCOL_VERSION]).toBe(hash)
})

test('every version up to this one has its history and its hash', () => {
  const versions = Array.from({ length: PROTOCOL_VERSION }, (_, at) => String(at + 1))
  expect(Object.keys(PROTOCOL_HISTORY)).toEqual(versions)
  expect(Object.keys(SCHEMA_HASHES)).toEqual(versions)
  expect(new Set(Object.values(SCHEMA_HASHES)).size).toBe(versions.length)
})

test.each(Object.entries(WIRE_SCHEMAS))('%s compiles, and refuses what is no object', (_, schema) => {
  const check = Compile(schema)
  for (const other of [null, 1, 'text', []]) expect(check.Check(other)).toBe(false)
})

test('routes are told apart by method and path, and every scope is used', () => {
  const routes = Object.values(ROUTES)
  expect(new Set(routes.map((route) => `${route.method} ${route.path}`)).size).toBe(routes.length)
  expect(new Set(routes.map((route) => route.scope))).toEqual(new Set([...SCOPES, 'public']))
})

test('I12: only pages about the cloud itself are public', () => {
  const open = Object.values(ROUTES).filter((route) => route.scope === 'public')
  expect(open.map((route) => route.path)).toEqual(['/healthz', '/readyz', '/openapi.json', '/'])
  expect(ERRORS.unauthorized.status).toBe(401)
})
