import Fastify from 'fastify'
import { expect, test } from 'vitest'

import { ROUTES } from '../../protocol/routes.ts'
import { CLOUD_ROUTES } from './unknown-address.ts'

test('I12: only routes of the table can be added', () => {
  const app = Fastify()
  CLOUD_ROUTES.requireKnown(app)
  const handler = async (): Promise<string> => ''
  for (const { method, path } of Object.values(ROUTES))
    if (method !== 'GET') app.route({ method, url: path, handler })
  for (const [method, url] of [
    ['GET', '/sync/dump'],
    ['DELETE', '/sync/push'],
    ['POST', '/sync/devices/:id/tokens'],
    ['GET', '/*'],
  ] as const)
    expect(() => app.route({ method, url, handler })).toThrow('is in no table')
  expect(() => app.route({ method: ['PUT', 'GET'], url: '/sync/push', handler })).toThrow('is in no table')
})
