import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { startCloud } from '../../src/cloud/index.ts'
import { readApiToken } from '../../src/daemon/api/token.ts'
import { connectDaemon } from '../../src/daemon/api/connect.ts'
import { findDaemon } from '../../src/daemon/instance.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { homeFolders } from '../../src/machine/folders.ts'
import { SCOPES } from '../../src/protocol/routes.ts'
import { startFaultyProxy } from '../cloud/faulty-proxy.ts'
import { openFarAway } from '../devices/far-away.ts'
import { read, write } from './own-file.ts'
import { isPossible, openHousehold, type Household, type Running } from './processes.ts'

/** The daemon as a process: killed, doubled, stopped, and with everything about it broken. */

/** Of each way, in milliseconds: a push takes long enough to be met. */
const FAR_MS = 700

const eventually = (read: () => unknown) => expect.poll(read, { timeout: 60_000 })

async function startDaemon(house: Household, by: readonly string[] = []): Promise<Running> {
  const daemon = house.start(['daemon'], by)
  await eventually(() => (daemon.child.exitCode === null ? daemon.said() : 'ended')).toContain(
    'Tidemark daemon at',
  )
  return daemon
}

const clientOf = async ({ home }: Household) =>
  (await connectDaemon(homeFolders(home), { clock: systemClock })).client

async function serve(house: Household) {
  const cloud = await startCloud({ data: join(house.folder, 'cloud'), port: 0, limits: { loopDelayMs: 0 } })
  const { token } = await cloud.directory.createToken(
    { account: 'a', name: 'test', scopes: SCOPES, spaces: null, defaultSpace: 'default' },
    'test',
  )
  await house.tidemark('config', 'set', 'token', token)
  return { cloud, token }
}

test('D8: what a killed daemon leaves behind needs no hand, and what it answered is there', async () => {
  await using house = openHousehold()
  for (let round = 0; round < 3; round++) {
    const daemon = await startDaemon(house)
    const client = await clientOf(house)
    await client.createSession({ body: { id: `s${round}`, source: 'test', title: 'kept' } })
    daemon.child.kill('SIGKILL')
    await daemon.ended
    expect(await house.tidemark('daemon', 'status')).toMatchObject({ code: 3 })
  }
  await startDaemon(house)
  const { sessions } = await (await clientOf(house)).listSessions()
  expect(sessions.map(({ id }) => id).sort()).toEqual(['s0', 's1', 's2'])
})

test('D8: of daemons that start at the same time one runs, and the others name it', async () => {
  await using house = openHousehold()
  const all = Array.from({ length: 3 }, () => house.start(['daemon']))
  const isUp = () => all.filter(({ said }) => said().includes('Tidemark daemon at')).length
  await eventually(isUp).toBe(1)
  const [winner] = all.filter(({ said }) => said().includes('Tidemark daemon at'))
  for (const other of all.filter((one) => one !== winner)) {
    const { code, said } = await other.ended
    expect(code).toBe(1)
    expect(said).toContain(`process ${winner?.child.pid}`)
  }
  expect(isUp()).toBe(1)
})

test('SIGTERM: a push under way is finished, waiters are answered, and the exit code is 0', async () => {
  await using house = openHousehold()
  const { cloud } = await serve(house)
  try {
    await using far = await openFarAway(cloud.url, FAR_MS)
    await house.tidemark('config', 'set', 'endpoint', far.url)
    const daemon = await startDaemon(house)
    const client = await clientOf(house)
    await eventually(async () => (await client.getSyncStatus()).sync.status).toBe('Synced')
    const waiting = client.createApproval({ query: { wait: 60 }, body: { tool_name: 'Bash' } })
    await eventually(
      async () => (await client.listApprovals({ query: { status: 'pending' } })).approvals.length,
    ).toBe(1)
    // The copy of the approval has its own push.
    await eventually(async () => (await client.getSyncStatus()).sync.status).toBe('Synced')
    await client.createSession({ body: { id: 'last', source: 'test' } })
    const reasons = async () => (await client.listAttachments()).attachments.map(({ reason }) => reason)
    await eventually(reasons).toEqual(['Sending local changes.'])
    daemon.child.kill('SIGTERM')
    const { code } = await daemon.ended
    expect(code).toBe(0)
    expect((await waiting).status).toBe('pending')
    const { agents } = homeFolders(house.home)
    expect(read(agents, "SELECT count(*) FROM sessions WHERE id = 'last'")).toBe(1)
    expect(existsSync(join(house.home, 'run', 'daemon.json'))).toBe(false)
    // Its answer was heard: the session is not left to be sent again. (The copy of the approval may be younger.)
    const { said } = await house.tidemark('sync', 'pending')
    expect(said).toContain('agents.db: ')
    expect(said).not.toContain('session')
  } finally {
    await cloud.close()
  }
})

test('a second SIGTERM ends it at once', async () => {
  await using house = openHousehold()
  const daemon = await startDaemon(house)
  daemon.child.kill('SIGTERM')
  daemon.child.kill('SIGTERM')
  const { code } = await daemon.ended
  expect([0, 130]).toContain(code)
})

test('a port that is taken, a data folder that cannot be written and a file that is none are named', async () => {
  await using house = openHousehold()
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  house.env['TIDEMARK_DAEMON_PORT'] = String(port)
  const taken = await house.tidemark('daemon')
  expect(taken.code).toBe(1)
  expect(taken.said).toContain(`The local API cannot start: 127.0.0.1:${port} is taken`)
  const started = await house.tidemark('daemon', 'start')
  expect(started.code).toBe(1)
  expect(started.said).toContain(`127.0.0.1:${port} is taken`)
  await new Promise((resolve) => server.close(resolve))
  // Nothing of the failed start is in the way.
  expect((await house.tidemark('daemon', 'start')).code).toBe(0)
  expect((await house.tidemark('daemon', 'stop')).code).toBe(0)

  writeFileSync(join(house.home, 'agents.db'), 'this is no database, whatever its name says'.repeat(100))
  const broken = await house.tidemark('daemon')
  expect(broken.code).toBe(1)
  expect(broken.said).toContain("The agents' database cannot start")
  expect(readFileSync(join(house.home, 'agents.db'), 'utf8')).toContain('this is no database')

  const nowhere = await house.start(['--home', '/dev/null/home', 'daemon']).ended
  expect(nowhere.code).toBe(1)
  expect(nowhere.said).toContain('/dev/null/home')
})

test.skipIf(!(await isPossible('unshare', '-m', 'true')))(
  'a full disk under the log, and a read-only one under agents.db',
  async () => {
    await using house = openHousehold()
    const logs = join(house.home, 'logs')
    mkdirSync(logs, { recursive: true })
    const mount = `mount -t tmpfs -o size=8k tmpfs "$0" && head -c 100000 /dev/zero > "$0/full"; exec "$@"`
    const daemon = await startDaemon(house, ['unshare', '-m', 'sh', '-c', mount, logs])
    const client = await clientOf(house)
    await client.createSession({ body: { id: 's', source: 'test' } })
    expect((await client.getHealth()).status).toBe('ok')
    expect((await house.tidemark('daemon', 'stop')).code).toBe(0)
    expect(await daemon.ended).toMatchObject({ code: 0 })

    const data = join(house.folder, 'read only')
    mkdirSync(data)
    house.env['TIDEMARK_DB_PATH'] = join(data, 'agents.db')
    const bound = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"; exec "$@"'
    const refused = house.start(['daemon'], ['unshare', '-m', 'sh', '-c', bound, house.home])
    const { code, said } = await refused.ended
    expect(code).toBe(1)
    expect(said).toMatch(/cannot start|cannot be used|read-only/)
  },
)

test('a network that is cut and comes back: nothing is lost, and sync now does not wait for the pause', async () => {
  await using house = openHousehold()
  const { cloud } = await serve(house)
  try {
    await using proxy = await startFaultyProxy(cloud.url)
    await house.tidemark('config', 'set', 'endpoint', proxy.url)
    await startDaemon(house)
    const client = await clientOf(house)
    const status = async () => (await client.getSyncStatus()).sync
    await eventually(async () => (await status()).status).toBe('Synced')
    proxy.decide(() => 'cut')
    await client.createSession({ body: { id: 's', source: 'test' } })
    await eventually(async () => (await status()).status).toContain('Offline')
    expect((await status()).pending).toEqual({ sessions: 1 })
    proxy.decide(() => 'pass')
    const { files } = await client.syncNow({ body: {} })
    expect(files).toMatchObject([{ pushed: 1, error: null }])
    expect((await status()).status).toBe('Synced')
  } finally {
    await cloud.close()
  }
})

test('a token that may not write into agents keeps nothing else from syncing, and the status tells', async () => {
  await using house = openHousehold()
  const { cloud } = await serve(house)
  try {
    const { token } = await cloud.directory.createToken(
      { account: 'a', name: 'one space', scopes: SCOPES, spaces: ['notes'], defaultSpace: 'notes' },
      'test',
    )
    await house.tidemark('config', 'set', 'token', token)
    await house.tidemark('config', 'set', 'endpoint', cloud.url)
    await startDaemon(house)
    const file = join(house.folder, 'notes.db')
    write(file, "CREATE TABLE notes (id TEXT PRIMARY KEY); INSERT INTO notes VALUES ('a')")
    expect(await house.tidemark('attach', file, '--yes')).toMatchObject({ code: 0 })
    const client = await clientOf(house)
    const stateOf = async (space: string) =>
      (await client.getSyncStatus()).sync.files.find((one) => one.space === space)?.state
    await eventually(() => stateOf('notes')).toBe('synced')
    await eventually(() => stateOf('agents')).toBe('blocked')
    expect((await client.getSyncStatus()).sync.status).toContain(
      'Blocked: The token does not reach this space',
    )
  } finally {
    await cloud.close()
  }
})

test('D10: no log, message or list of processes has a value of a record, a token or a key', async () => {
  await using house = openHousehold()
  const { cloud, token } = await serve(house)
  try {
    await house.tidemark('config', 'set', 'endpoint', cloud.url)
    const daemon = house.start(['daemon', '--log-level', 'debug'])
    await eventually(daemon.said).toContain('Tidemark daemon at')
    const client = await clientOf(house)
    const secret = 'MARKED-SECRET'
    await client.createSession({
      body: { id: secret, source: secret, title: secret, project_path: secret, error: secret },
    })
    await client.createMessages({
      id: secret,
      body: { messages: [{ role: secret, text: secret, raw: { a: secret } }] },
    })
    await client.createApproval({
      body: { id: secret, tool_name: secret, tool_input: { command: secret }, context: secret },
    })
    await client.decideApproval({ id: secret, body: { decision: 'deny', comment: secret } })
    await client.search({ query: { q: secret } })
    const { url } = (await findDaemon(homeFolders(house.home))) ?? { url: null }
    await fetch(`${url}/api/v1/sessions?${secret}=${secret}`, {
      headers: { authorization: `Bearer ${secret}` },
    })
    await fetch(`${url}/api/v1/sessions`, { method: 'POST', body: `{"${secret}":` })
    write(homeFolders(house.home).agents, `INSERT INTO messages (id, text) VALUES (x'00', '${secret}')`)
    await eventually(async () => (await client.getSyncStatus()).sync.status).not.toBe('Pending')
    const list = readFileSync(`/proc/${daemon.child.pid}/cmdline`, 'utf8')
    expect((await house.tidemark('daemon', 'stop')).code).toBe(0)
    const logs = readdirSync(join(house.home, 'logs')).map((name) => join(house.home, 'logs', name))
    for (const name of logs) expect(statSync(name).mode & 0o077).toBe(0)
    const all = [list, daemon.said(), ...logs.map((name) => readFileSync(name, 'utf8'))].join('\n')
    expect(all).toContain('The daemon is ready')
    for (const hidden of [secret, token, readApiToken(homeFolders(house.home)) ?? 'none'])
      expect(all.includes(hidden)).toBe(false)
  } finally {
    await cloud.close()
  }
})
