import { expect, test } from 'vitest'

import { createReceiver, openBatchRig } from '../../../test/daemon/batch-rig.ts'
import { serveTestCloud } from '../../../test/cloud/test-cloud.ts'
import { systemClock } from '../../kernel/clock.ts'
import { jsonAnswer, startFaultyServer, type Answerer } from '../../testing/faulty-server.ts'
import { findProtocol, openKnownProtocols } from './probe.ts'
import { createEndpointLine } from './request.ts'

const NEVER = new AbortController().signal
const lineOf = (endpoint: string, token: string | null = null) =>
  createEndpointLine({ endpoint, token, clock: systemClock })
const noneKnown = { get: () => null, set: () => {}, forget: () => {} }

/** What a server says to the question for a schema, and to a batch. */
const saying =
  (schema: Answerer, batch: Answerer): Answerer =>
  (request, response) =>
    (request.url.startsWith('/sync/schema') ? schema : batch)(request, response)
const html: Answerer = (_, response) =>
  void response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>')
const none = jsonAnswer({ message: 'nothing here' }, 404)

test('our own cloud is one, with a good token, a wrong one and none', async () => {
  await using cloud = await serveTestCloud()
  for (const token of [cloud.token, 'wrong', null])
    expect(await findProtocol('auto', noneKnown, lineOf(cloud.url, token), NEVER)).toBe('tidemark')
})

test.each<readonly [string, Answerer, Answerer]>([
  ['nothing but the upload', none, createReceiver().answer],
  ['a page of its own at every other address', html, createReceiver().answer],
  ['an upload that wants a token', none, jsonAnswer({}, 401)],
  ['an upload that wants records', none, jsonAnswer({}, 422)],
])('an endpoint with %s is sent batches, and no row to find that out', async (_, schema, batch) => {
  await using server = await startFaultyServer(saying(schema, batch))
  expect(await findProtocol('auto', noneKnown, lineOf(server.url), NEVER)).toBe('batch')
  expect(server.requests.map(({ method, url, body }) => `${method} ${url} ${body.toString()}`)).toEqual([
    'GET /sync/schema?space=probe ',
    expect.stringMatching(
      /^POST \/sync\/batch \{"sessions":\[\],"messages":\[\],"sync_timestamp":"[^"]+"\}$/,
    ),
  ])
})

test.each<readonly [string, Answerer, Answerer, string]>([
  ['has neither', none, none, 'not_found'],
  ['has pages only', html, jsonAnswer({}, 405), 'not_found'],
  ['answers batches with pages', none, html, 'bad_answer'],
  ['is down', jsonAnswer({}, 503), createReceiver().answer, 'unavailable'],
  ['is down for batches', none, jsonAnswer({}, 500), 'unavailable'],
  ['is behind a login', jsonAnswer({}, 401), jsonAnswer({}, 401), 'bad_answer'],
  ['redirects', (_, response) => void response.writeHead(302, { location: '/' }).end(), none, 'bad_answer'],
  ['cuts the connection', () => Promise.reject(new Error('cut')), none, 'network'],
])('of an endpoint that %s nothing is believed', async (_, schema, batch, code) => {
  await using server = await startFaultyServer(saying(schema, batch))
  const known = { ...noneKnown, set: () => expect.unreachable() }
  await expect(findProtocol('auto', known, lineOf(server.url), NEVER)).rejects.toMatchObject({ code })
})

test('what was found is kept over restarts, for its endpoint; what is set is not asked for', async () => {
  await using server = await startFaultyServer(saying(none, createReceiver().answer))
  await using rig = openBatchRig()
  const line = lineOf(server.url)
  expect(await findProtocol('auto', openKnownProtocols(rig.database), line, NEVER)).toBe('batch')
  const known = openKnownProtocols(rig.database)
  server.answerWith(jsonAnswer({}, 500))
  expect(await findProtocol('auto', known, line, NEVER)).toBe('batch')
  expect(await findProtocol('tidemark', known, line, NEVER)).toBe('tidemark')
  expect(known.get(lineOf(`${server.url}/other`).endpoint.base)).toBeNull()
  expect(server.requests.length).toBe(2)
  known.forget(line.endpoint.base)
  await expect(findProtocol('auto', known, line, NEVER)).rejects.toMatchObject({ code: 'unavailable' })
})
