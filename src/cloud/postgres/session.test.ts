import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TLSSocket, createSecureContext } from 'node:tls'

import { afterAll, afterEach, expect, test, vi } from 'vitest'

import { createSelfSigned } from '../../../test/cloud/self-signed.ts'
import { failureOf } from '../../testing/failures.ts'
import { openDatabase } from './pool.ts'

const folder = mkdtempSync(join(tmpdir(), 'tidemark-session-'))
afterEach(() => void vi.unstubAllEnvs())
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A server that `answer`s the first message of each connection, and never ends one by itself. */
async function listen(answer: (socket: Socket) => void): Promise<{
  readonly url: string
  /** Of the first connection: fulfilled when the other side has ended it. */
  readonly left: Promise<unknown>
  readonly heard: () => string
  [Symbol.asyncDispose](): Promise<void>
}> {
  let heard = ''
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.on('data', (bytes) => (heard += bytes.toString('latin1')))
      answer(socket)
    })
  })
  const sockets = new Set<Socket>()
  const left = new Promise((resolve) =>
    server.on('connection', (socket) => {
      sockets.add(socket)
      for (const event of ['end', 'close']) socket.once(event, resolve)
    }),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `postgres://tidemark@127.0.0.1:${(server.address() as AddressInfo).port}/cloud`,
    left,
    heard: () => heard,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const request = (kind: number, rest = ''): Buffer => {
  const head = Buffer.alloc(9)
  head.write('R')
  head.writeInt32BE(8 + rest.length, 1)
  head.writeInt32BE(kind, 5)
  return Buffer.concat([head, Buffer.from(rest, 'latin1')])
}
const askForPassword = (socket: Socket): void => void socket.write(request(3))
const askForScram = (socket: Socket): void => void socket.write(request(10, 'SCRAM-SHA-256\0\0'))

test('a server that asks is told the password of the file', async () => {
  await using server = await listen(askForPassword)
  const file = join(folder, 'pgpass')
  writeFileSync(file, '*:*:*:tidemark:of-the-file\n')
  chmodSync(file, 0o600)
  vi.stubEnv('PGPASSFILE', file)
  vi.stubEnv('PGPASSWORD', undefined)
  await using database = openDatabase({ url: server.url })
  const asked = database.query('SELECT 1').catch(() => null)
  await expect.poll(server.heard).toContain('of-the-file\0')
  await server[Symbol.asyncDispose]()
  await asked
})

test.each([
  ['plain', askForPassword],
  ['SCRAM', askForScram],
])('where there is no password (%s), that is said, and the server is left', async (_, ask) => {
  await using server = await listen(ask)
  vi.stubEnv('PGPASSFILE', join(folder, 'none'))
  vi.stubEnv('PGPASSWORD', undefined)
  await using database = openDatabase({ url: server.url })
  const { code, message } = await failureOf(database.query('SELECT 1'))
  expect(code).toBe('database_refused')
  expect(message).toContain('asks for the password of tidemark, and there is none')
  await server.left
})

test.each(['verify-full', 'require', 'prefer', 'verify-ca'])(
  'a certificate that nobody vouches for is told as that (%s), and the driver warns of nothing',
  async (mode) => {
    const warned: Error[] = []
    const listener = (warning: Error): void => void warned.push(warning)
    process.on('warning', listener)
    const { key, cert } = createSelfSigned()
    await using server = await listen((socket) => {
      socket.removeAllListeners('data')
      socket.write('S')
      const tls = new TLSSocket(socket, { isServer: true, secureContext: createSecureContext({ key, cert }) })
      tls.on('error', () => {})
    })
    await using database = openDatabase({ url: `${server.url}?sslmode=${mode}` })
    expect(await failureOf(database.query('SELECT 1'))).toMatchObject({
      code: 'database_refused',
      message: 'The certificate of the database is not trusted',
      details: { reason: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
    })
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', listener)
    expect(warned).toEqual([])
  },
)

test('an sslmode that is none is refused: it would be taken for another', () => {
  const open = (mode: string) => () => openDatabase({ url: `postgres://h/d?sslmode=${mode}` })
  for (const mode of ['verify_full', 'required', '', 'verify-full&sslmode=none'])
    expect(open(mode)).toThrow('the sslmode of a database is one of')
  for (const mode of ['disable', 'verify-full']) expect(open(mode)).not.toThrow()
})
