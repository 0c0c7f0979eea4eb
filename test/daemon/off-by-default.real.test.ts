import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { connectDaemon } from '../../src/daemon/api/connect.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { homeFolders } from '../../src/machine/folders.ts'
import { isPossible, openHousehold, type Household } from './processes.ts'

/** D7: without an endpoint, or with sync turned off, no packet leaves: as the system's own calls tell it. */

const eventually = (read: () => unknown) => expect.poll(read, { timeout: 60_000 })

const canTrace = await isPossible('strace', '-o', '/dev/null', 'true')
const LOOPBACK_UP = 'ip link set lo up && exec "$@"'
const canIsolate = await isPossible('unshare', '-n', 'sh', '-c', LOOPBACK_UP, 'sh', 'true')

const OFF = [
  { why: 'no endpoint is set', settings: [] },
  {
    why: 'sync_enabled is false',
    settings: [
      ['endpoint', 'https://192.0.2.1'],
      ['token', 'tm_0123456789'],
      ['sync_enabled', 'false'],
    ],
  },
]

async function use(house: Household): Promise<void> {
  const { client } = await connectDaemon(homeFolders(house.home), { clock: systemClock })
  await client.createSession({ body: { id: 's', source: 'test' } })
  await client.createMessages({ id: 's', body: { messages: [{ role: 'user', text: 'stays here' }] } })
  await client.createApproval({ body: { tool_name: 'Bash' } })
  await eventually(async () => (await client.search({ query: { q: 'stays' } })).hits.length).toBe(1)
  await expect(client.syncNow({ body: {} })).rejects.toMatchObject({ code: /not_connected|sync_disabled/ })
}

test.skipIf(!canTrace).each(OFF)(
  'D7: $why, and nothing is connected to but this machine',
  async ({ why, settings }) => {
    await using house = openHousehold()
    for (const [name = '', value = ''] of settings) await house.tidemark('config', 'set', name, value)
    const trace = join(house.folder, 'calls')
    const calls = 'trace=connect,sendto,sendmsg,sendmmsg'
    const daemon = house.start(['daemon'], ['strace', '-f', '-e', calls, '-o', trace])
    await eventually(daemon.said).toContain(`Sync is off: ${why}`)
    await use(house)
    expect((await house.tidemark('daemon', 'stop')).code).toBe(0)
    expect((await daemon.ended).code).toBe(0)
    const lines = readFileSync(trace, 'utf8').split('\n')
    const elsewhere = lines.filter(
      (line) => /sa_family=AF_INET6?,/.test(line) && !/inet_addr\("127\.0\.0\.1"\)|"::1"/.test(line),
    )
    expect(elsewhere).toEqual([])
    expect(lines.filter((line) => /sa_family=AF_INET/.test(line) && /connect\(/.test(line))).toEqual([])
  },
)

test.skipIf(!canTrace)('the trace would have it: with an endpoint the connection is in it', async () => {
  await using house = openHousehold()
  // Nobody listens there, and no packet leaves for it.
  await house.tidemark('config', 'set', 'endpoint', 'http://127.0.0.2:59999')
  const trace = join(house.folder, 'calls')
  const daemon = house.start(['daemon'], ['strace', '-f', '-e', 'trace=connect', '-o', trace])
  await eventually(daemon.said).toContain('Sync is on')
  await eventually(() => readFileSync(trace, 'utf8')).toMatch(/sa_family=AF_INET, .*127\.0\.0\.2/)
  expect((await house.tidemark('daemon', 'stop')).code).toBe(0)
})

test.skipIf(!canIsolate)(
  'D7: it needs no network: in a namespace of its own it works as elsewhere',
  async () => {
    await using house = openHousehold()
    const daemon = house.start(['daemon'], ['unshare', '-n', 'sh', '-c', LOOPBACK_UP, 'sh'])
    await eventually(daemon.said).toContain('Tidemark daemon at')
    expect((await house.tidemark('daemon', 'status')).code).toBe(0)
    expect((await house.tidemark('sync', 'status')).said).toContain('Sync: Disabled (no endpoint is set)')
    expect((await house.tidemark('daemon', 'stop')).code).toBe(0)
    const { code, said } = await daemon.ended
    expect(code).toBe(0)
    expect(said).not.toMatch(/ (warn|error) /)
  },
)
