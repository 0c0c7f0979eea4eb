import { createServer, type IncomingMessage } from 'node:http'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { sample } from '../../../test/daemon/api-world.ts'
import { systemClock } from '../../kernel/clock.ts'
import { homeFolders, type Folders } from '../../machine/folders.ts'
import { OPERATIONS } from '../../protocol/daemon-api.ts'
import { connectDaemon } from './connect.ts'
import type { Handlers } from './handlers.ts'
import { writeRunNote } from './run-note.ts'
import { startApi, type Api } from './server.ts'
import { openApiToken, rotateApiToken } from './token.ts'

let folders: Folders
let token: string
const opened: (() => Promise<void> | void)[] = []
beforeEach(() => {
  folders = homeFolders(mkdtempSync(join(tmpdir(), 'tidemark-connect-')))
  token = openApiToken(folders)
})
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close()
  rmSync(folders.data, { recursive: true, force: true })
})

const handlers = {
  getHealth: () => ({ status: 'ok', version: '1' }),
  listRules: () => sample(OPERATIONS.listRules.answer),
} as Partial<Handlers> as Handlers

async function serve(port = 0, own = token): Promise<Api> {
  const api = await startApi({
    handlers,
    streams: { streamEvents: nothing, streamApprovalContext: nothing },
    token: own,
    port,
    version: '1',
    clock: systemClock,
  })
  opened.push(() => api.close())
  return api
}

/** Another program, which notes what it is shown. */
async function stranger(
  answer: (request: IncomingMessage) => Promise<{ readonly [name: string]: string }>,
  port = 0,
) {
  const shown: string[] = []
  const server = createServer((request, response) => {
    shown.push(JSON.stringify([request.url, request.rawHeaders]))
    void answer(request).then((headers) =>
      response.writeHead(200, headers).end('{"status":"ok","version":"1"}'),
    )
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  opened.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { shown, port: (server.address() as AddressInfo).port }
}

const note = (url: string): void => writeRunNote(folders, { url, version: '1', started_at: 1 })
const notRunning = { code: 'daemon_not_running' }

test('finds the daemon of the folders', async () => {
  await expect(connectDaemon(folders, { clock: systemClock })).rejects.toMatchObject(notRunning)
  const api = await serve()
  note(api.url)
  const { client, url, pid } = await connectDaemon(folders, { clock: systemClock })
  expect([url, pid]).toEqual([api.url, process.pid])
  expect(await client.listRules()).toEqual(sample(OPERATIONS.listRules.answer))
  await api.close()
  await expect(connectDaemon(folders, { clock: systemClock })).rejects.toMatchObject(notRunning)
})

test('D7: shows the token to nobody who took the port of a daemon that is gone', async () => {
  const { shown, port } = await stranger(async () => ({ 'tidemark-proof': 'f'.repeat(64) }))
  note(`http://127.0.0.1:${port}`)
  await expect(connectDaemon(folders, { clock: systemClock })).rejects.toMatchObject(notRunning)
  expect(shown.length).toBe(1)
  expect(String(shown)).not.toContain(token)
})

test('D7: nor to one that asks the daemon at its new port for the proof', async () => {
  const api = await serve()
  const { shown, port } = await stranger(async (request) => {
    const challenge = String(request.headers['tidemark-challenge'])
    const { headers } = await fetch(`${api.url}/api/v1/health`, {
      headers: { 'tidemark-challenge': challenge },
    })
    return { 'tidemark-proof': headers.get('tidemark-proof') ?? '' }
  })
  note(`http://127.0.0.1:${port}`)
  await expect(connectDaemon(folders, { clock: systemClock })).rejects.toMatchObject(notRunning)
  expect(shown.length).toBe(1)
  expect(String(shown)).not.toContain(token)
})

test('D7: nor to one that takes the port while a client is connected', async () => {
  const api = await serve()
  note(api.url)
  const { client } = await connectDaemon(folders, { clock: systemClock })
  await client.listRules()
  await api.close()
  const { shown } = await stranger(async () => ({}), api.port)
  await expect(client.listRules()).rejects.toMatchObject(notRunning)
  await expect(client.streamEvents()[Symbol.asyncIterator]().next()).rejects.toMatchObject(notRunning)
  // The first may break on the connection that was.
  expect(shown.length).toBeGreaterThan(0)
  expect(String(shown)).not.toContain(token)
})

test('a daemon with another token is not this one', async () => {
  const api = await serve()
  note(api.url)
  rotateApiToken(folders)
  await expect(connectDaemon(folders, { clock: systemClock })).rejects.toMatchObject(notRunning)
})

async function* nothing(): AsyncGenerator<never> {}
