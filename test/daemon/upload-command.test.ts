import { Socket } from 'node:net'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, test, vi } from 'vitest'

import { jsonAnswer, startFaultyServer, type Answerer } from '../../src/testing/faulty-server.ts'
import { openMachine, type Machine } from '../command-line.ts'
import { createReceiver } from './batch-rig.ts'

/** Sync as origin 000 has it, with an endpoint that takes its upload and nothing else. */

/** 3 sessions and 12 messages, written by another program. */
function addRows({ folder }: Machine, prefix: string): void {
  const database = new Database(join(folder, 'home/agents.db'))
  for (let at = 0; at < 3; at++)
    database.prepare('INSERT INTO sessions (id) VALUES (?)').run(`${prefix}s${at}`)
  for (let at = 0; at < 12; at++)
    database.prepare('INSERT INTO messages (id) VALUES (?)').run(`${prefix}m${at}`)
  database.close()
}

const onlyBatch =
  (batch: Answerer): Answerer =>
  (request, response) =>
    (request.url === '/sync/batch' ? batch : jsonAnswer({}, 404))(request, response)

async function startDaemon(machine: Machine): Promise<() => Promise<unknown>> {
  machine.env['TIDEMARK_DAEMON_PORT'] = '0'
  const daemon = machine.start('daemon')
  await expect.poll(daemon.said, { timeout: 20_000 }).toContain('The daemon is ready')
  return () => daemon.stop()
}

const statusOf = async (machine: Machine): Promise<readonly string[]> => {
  const lines = (await machine.tidemark('sync', 'status')).out.trimEnd().split('\n')
  return lines.slice(0, lines.indexOf(''))
}

test('an endpoint that takes the upload only is found out and kept up to date, and told in origin 000s lines', async () => {
  const receiver = createReceiver(({ id }) => (id === '1m7' ? 422 : null))
  await using server = await startFaultyServer(onlyBatch(receiver.answer))
  await using machine = await openMachine()
  await machine.tidemark('config', 'set', 'endpoint', server.url)
  expect(await machine.ask('sync', 'status')).toMatchObject({ upload: null, status: 'Ready' })
  const stop = await startDaemon(machine)
  addRows(machine, '1')
  await expect.poll(() => receiver.rows.size, { timeout: 20_000 }).toBe(14)
  await expect
    .poll(() => statusOf(machine), { timeout: 20_000 })
    .toEqual([
      'Profile: default',
      `Endpoint: ${server.url}`,
      expect.stringMatching(/^Sync: Enabled \(last sync: (just now|\d+ seconds? ago)\)$/),
      'Status: Synced',
    ])
  expect((await machine.tidemark('sync', 'status')).out).toContain(
    '1 record refused by the endpoint and put aside',
  )
  expect(await machine.ask('sync', 'now')).toMatchObject({ files: [{ result: { pushed: 0 } }] })
  const doctor = (await machine.tidemark('doctor')).out
  expect(doctor).toContain(`ok      upload: one way to ${server.url}: Synced`)
  expect(doctor).toContain('note    upload: 1 record refused by the endpoint and put aside')
  await stop()

  addRows(machine, '2')
  expect(await statusOf(machine)).toEqual([
    'Profile: default',
    `Endpoint: ${server.url}`,
    expect.stringMatching(/^Sync: Enabled \(last sync: /),
    'Records pending: 3 sessions, 12 messages',
    'Status: Pending',
  ])
  expect(await machine.ask('sync', 'pending')).toMatchObject({
    files: [{ pending: { sessions: 3, messages: 12 } }],
  })
  expect((await machine.tidemark('sync', 'now')).err).toContain('daemon is not running')
  expect((await machine.tidemark('sync', 'reset')).code).not.toBe(0)
  await machine.ask('sync', 'reset', '--yes')
  await machine.tidemark('config', 'set', 'protocol', 'batch')
  expect(await machine.ask('sync', 'pending')).toMatchObject({
    files: [{ pending: { sessions: 6, messages: 24 } }],
  })
  receiver.rows.clear()
  const stopAgain = await startDaemon(machine)
  await expect.poll(() => receiver.rows.size, { timeout: 20_000 }).toBe(29)
  await stopAgain()
})

test('without an endpoint neither daemon nor commands ask anybody anything', async () => {
  await using machine = await openMachine()
  const asked: unknown[] = []
  vi.spyOn(globalThis, 'fetch').mockImplementation((input) => {
    asked.push(input)
    return Promise.reject(new Error('offline'))
  })
  const connect = Socket.prototype.connect
  vi.spyOn(Socket.prototype, 'connect').mockImplementation(function (this: Socket, ...args: unknown[]) {
    const [first] = args.flat() as readonly unknown[]
    // Local sockets, by which a command finds the process that runs a file, are no network.
    const isLocal = typeof first === 'object' && first !== null && 'path' in first
    if (!isLocal && typeof first !== 'string') asked.push(args)
    return Reflect.apply(connect, this, args) as Socket
  })
  try {
    const file = join(machine.folder, 'app.db')
    new Database(file).exec('CREATE TABLE t (id PRIMARY KEY)').close()
    await machine.tidemark('config', 'set', 'token', 'hidden')
    const stop = await startDaemon(machine)
    addRows(machine, '1')
    for (const command of [
      ['sync', 'status'],
      ['sync', 'now'],
      ['sync', 'pending'],
      ['attach', file, '--yes'],
      ['clone', 'space', `${file}2`],
      ['run'],
      ['doctor'],
      ['whoami'],
      ['config', 'list'],
      ['devices', 'list'],
      ['conflicts', 'list'],
    ])
      await machine.tidemark(...command)
    expect((await machine.tidemark('sync', 'status')).out).toContain('Sync: Disabled (no endpoint is set)')
    await stop()
    expect(asked).toEqual([])
    // The trap itself catches something.
    await machine.tidemark('config', 'set', 'endpoint', 'http://127.0.0.1:9')
    await machine.tidemark('clone', 'space', `${file}2`)
    expect(asked).not.toEqual([])
  } finally {
    vi.restoreAllMocks()
  }
})
