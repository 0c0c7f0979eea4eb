import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

import { expect, test } from 'vitest'

import { startTestApi, TOKEN } from '../../../test/daemon/api-world.ts'

const opened = async (port: number): Promise<Socket> => {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  await once(socket, 'connect')
  return socket
}
const closed = (socket: Socket): Promise<unknown> =>
  socket.resume().closed ? Promise.resolve() : once(socket, 'close')

test('connections past the limit are closed at once, and silent ones after a while: then there is room again', async () => {
  await using world = await startTestApi({ limits: { connections: 4, headersMs: 400 } })
  const { port } = world.api
  const silent = await Promise.all(Array.from({ length: 4 }, () => opened(port)))
  await closed(connect(port, '127.0.0.1').on('error', () => {}))
  expect(world.logged.some((line) => line.includes('too many are open'))).toBe(true)
  await Promise.all(silent.map(closed))
  expect((await world.ask('GET', '/api/v1/rules')).status).toBe(200)
})

test('headers that drip in are given up, however often something comes', async () => {
  await using world = await startTestApi({ limits: { headersMs: 400 } })
  const socket = await opened(world.api.port)
  socket.write(`GET /api/v1/rules HTTP/1.1\r\nhost: 127.0.0.1:${world.api.port}\r\n`)
  const drip = setInterval(() => socket.write('x: y\r\n'), 50)
  await closed(socket)
  clearInterval(drip)
  expect(world.calls).toEqual([])
})

test('bodies together are bounded: one too many is asked to come again', async () => {
  await using world = await startTestApi({ limits: { bodiesBytes: 200_000 } })
  const head = `POST /api/v1/sessions HTTP/1.1\r\nhost: 127.0.0.1:${world.api.port}\r\nauthorization: Bearer ${TOKEN}\r\ncontent-type: application/json\r\ncontent-length: 190000\r\n\r\n`
  const held = await opened(world.api.port)
  held.write(head + ' '.repeat(180_000))
  const body = { title: 'x'.repeat(4_000), error: 'y'.repeat(50_000) }
  await expect
    .poll(async () => (await world.ask('POST', '/api/v1/sessions', { body })).code, { timeout: 10_000 })
    .toBe('unavailable')
  held.destroy()
  await expect
    .poll(async () => (await world.ask('POST', '/api/v1/sessions', { body })).status, { timeout: 10_000 })
    .toBe(200)
})
