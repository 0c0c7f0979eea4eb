import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, test } from 'vitest'

import {
  contractOf,
  fittingRequest,
  OPERATION_IDS,
  startTestApi,
  TOKEN,
  type TestApi,
} from '../../../test/daemon/api-world.ts'

/** D7 in a real browser: what a page of another origin gets from the daemon, by every way that a page has. */

const CHROMIUM = '/usr/bin/chromium'
const PAGE_MS = 120_000

let world: TestApi
beforeAll(async () => {
  world = await startTestApi()
})
afterAll(() => world[Symbol.asyncDispose]())

/** Opens a page of a server of its own, under a name of its own, and answers what its script tells. */
async function openPage(host: string, script: string): Promise<unknown> {
  let tell = (_told: unknown): void => {}
  const told = new Promise<unknown>((resolve) => (tell = resolve))
  const server = createServer((request, response) => {
    if (request.method !== 'POST') {
      response.writeHead(200, { 'content-type': 'text/html' })
      response.end(`<!doctype html><title>elsewhere</title><body><script type="module">${script}</script>`)
      return
    }
    let text = ''
    request.on('data', (chunk) => (text += String(chunk)))
    request.on('end', () => {
      response.end()
      tell(JSON.parse(text))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-browser-'))
  const browser = startBrowser(folder, `http://${host}:${port}/`)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('the page told nothing')), PAGE_MS)
  })
  try {
    return await Promise.race([told, late])
  } finally {
    clearTimeout(timer)
    const ended = new Promise((resolve) => browser.once('close', resolve))
    browser.kill('SIGKILL')
    await ended
    server.closeAllConnections()
    server.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

function startBrowser(folder: string, url: string): ChildProcess {
  const flags = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    `--user-data-dir=${folder}`,
    // A name of somebody else that points to this machine: DNS rebinding without a DNS.
    '--host-resolver-rules=MAP *.example 127.0.0.1',
  ]
  return spawn(CHROMIUM, [...flags, url], { stdio: 'ignore' })
}

/** Every operation by fetch, in the kinds that a page has; what it could read of the answers. */
const TRIES = (base: string, requests: unknown, token: string): string => `
const read = []
const tried = []
const note = (what, promise) => promise.then(
  (value) => { if (value) read.push([what, value]) },
  () => {},
).then(() => tried.push(what))
await Promise.all(${JSON.stringify(requests)}.map(async ({ id, method, path, body }) => {
  const url = ${JSON.stringify(base)} + path
  const stop = AbortSignal.timeout(20000)
  const text = body === undefined ? undefined : JSON.stringify(body)
  const own = { authorization: 'Bearer ${token}', ...(text === undefined ? {} : { 'content-type': 'application/json' }) }
  const show = async (answer) => answer.ok && answer.type !== 'opaque' ? answer.status : null
  await Promise.all([
    note(id + ' fetch', fetch(url, { method, body: text, headers: own, signal: stop }).then(show)),
    note(id + ' without headers', fetch(url, { method: method === 'GET' ? 'GET' : 'POST', body: method === 'GET' ? undefined : '{}', signal: stop }).then(show)),
    note(id + ' no-cors', fetch(url, { method: method === 'GET' ? 'GET' : 'POST', mode: 'no-cors', credentials: 'include', signal: stop }).then(show)),
    note(id + ' beacon', Promise.resolve(void navigator.sendBeacon(url, new Blob(['{}'], { type: 'text/plain' })))),
    note(id + ' image', new Promise((resolve) => {
      const image = new Image()
      image.onload = () => resolve('an image')
      image.onerror = () => resolve(null)
      image.src = url
    })),
    note(id + ' script', new Promise((resolve) => {
      const script = document.createElement('script')
      script.onload = () => resolve('a script')
      script.onerror = () => resolve(null)
      script.src = url
      document.body.append(script)
    })),
    note(id + ' events', new Promise((resolve) => {
      const events = new EventSource(url)
      events.onopen = () => { events.close(); resolve('events') }
      events.onerror = () => { events.close(); resolve(null) }
    })),
    note(id + ' socket', new Promise((resolve) => {
      const socket = new WebSocket(url.replace('http', 'ws'))
      socket.onopen = () => resolve('a socket')
      socket.onerror = () => resolve(null)
    })),
    note(id + ' form', new Promise((resolve) => {
      const frame = document.createElement('iframe')
      frame.name = 'frame-' + id
      frame.onload = () => { try { resolve(frame.contentDocument?.body?.innerText || null) } catch { resolve(null) } }
      document.body.append(frame)
      const form = document.createElement('form')
      Object.assign(form, { method: 'post', action: url, target: frame.name, enctype: 'text/plain' })
      form.append(Object.assign(document.createElement('input'), { name: '{"decision":"approve","x":"', value: '"}' }))
      document.body.append(form)
      form.submit()
      setTimeout(() => resolve(null), 4000)
    })),
  ])
}))
await fetch('/', { method: 'POST', body: JSON.stringify({ read, tried: tried.length }) })
`

const WAYS = 9
const requests = OPERATION_IDS.map((id) => ({ id, method: contractOf(id).method, ...fittingRequest(id) }))

test.runIf(existsSync(CHROMIUM)).each([
  ['of another port of this machine', '127.0.0.1', '127.0.0.1'],
  ['of a name that points to this machine', 'evil.example', '127.0.0.1'],
  ['that reaches the daemon under its own name', 'evil.example', 'evil.example'],
])('a page %s reads nothing and does nothing, even if it knew the token', async (_name, page, name) => {
  const before = world.calls.length
  const told = await openPage(page, TRIES(`http://${name}:${world.api.port}`, requests, TOKEN))
  expect(told).toEqual({ read: [], tried: OPERATION_IDS.length * WAYS })
  expect(world.calls.slice(before).map(([id]) => id)).toEqual([])
})

test.runIf(existsSync(CHROMIUM))(
  "a page that is the daemon's own would reach it: the browser is no reason",
  async () => {
    const before = world.calls.length
    const script = `
    const { status } = await fetch('http://127.0.0.1:${world.api.port}/api/v1/health', { mode: 'no-cors' })
    await fetch('/', { method: 'POST', body: JSON.stringify(status) })`
    // Without the daemon's checks the same browser would: a server that does not look is asked by it.
    const open = createServer((request, response) => {
      seen.push(String(request.url))
      response.end('{}')
    })
    const seen: string[] = []
    await new Promise<void>((resolve) => open.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = open.address() as AddressInfo
      await openPage('evil.example', script.replace(String(world.api.port), String(port)))
      expect(seen).toContain('/api/v1/health')
      expect(world.calls.length).toBe(before)
    } finally {
      open.close()
      open.closeAllConnections()
    }
  },
)
